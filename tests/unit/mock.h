/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A sysfs tree, policy directories and a state directory in a folder of the test's own, made in domain
 * words. Links are relative, as sysfs has them. There is no kernel behind it: writing a file changes the
 * file and nothing binds; that is tested in the VM.
 *
 * Devices are named by their devpath ("/devices/pci0000:00/0000:00:03.0"). Whatever cannot be made ends the
 * test. Strings that are handed out live as long as the mock.
 */
#pragma once

#include "policy.h"
#include "sysfs.h"

#include <sys/types.h>

enum mock_dir {
	MOCK_ETC,
	MOCK_RUN,
	MOCK_USR,
	MOCK_DIRS,
};

struct mock {
	struct arena arena;
	const char *root; /* the folder of all */
	const char *sysfs, *state;
	const char *conf[MOCK_DIRS];
	struct settings settings; /* points to the above */
};

struct mock *mock_new(void);
struct mock *mock_free(struct mock *m);

/* A function under a bridge, or under the host bridge of its domain when parent is NULL. Returns its devpath.
 */
const char *mock_pci_add(struct mock *m, const char *name, const char *parent, unsigned vendor,
	unsigned device, unsigned class);
/* A device of the platform bus; modalias may be NULL. */
const char *mock_platform_add(struct mock *m, const char *name, const char *modalias);
/* A device of any bus, with nothing but a subsystem link and, if so wanted, a driver_override file. */
const char *mock_device_add(
	struct mock *m, const char *bus, const char *parent, const char *name, bool override);
/* As if unplugged; the same name may be added again and then has another inode. */
void mock_remove(struct mock *m, const char *devpath);

void mock_driver_add(struct mock *m, const char *bus, const char *driver);
void mock_bind(struct mock *m, const char *devpath, const char *driver);
void mock_unbind(struct mock *m, const char *devpath);

/* Puts devices into an IOMMU group; the list ends with NULL. */
void mock_group(struct mock *m, unsigned number, ...) __attribute__((sentinel));

/* Process 4711, qemu, has the group open through VFIO (/dev/null stands for its node), or has no more. */
void mock_group_open(struct mock *m, unsigned number);
void mock_group_close(struct mock *m);

/* A network interface or block device below a device: its folder, and the link of its class to it. */
void mock_class_add(struct mock *m, const char *class, const char *parent, const char *name);

/* A virtual function's links, both ways. */
void mock_physfn(struct mock *m, const char *vf, const char *pf, unsigned number);
/* The files by which a physical function tells where its virtual functions are. */
void mock_sriov(
	struct mock *m, const char *pf, unsigned total, unsigned offset, unsigned stride, unsigned vf_device);

/* What an attribute of the device contains, as the kernel would print it. */
void mock_attr(struct mock *m, const char *devpath, const char *attr, const char *text);
void mock_attr_bytes(struct mock *m, const char *devpath, const char *attr, const void *data, size_t size);
void mock_attr_remove(struct mock *m, const char *devpath, const char *attr);
/* Opening or reading it sleeps, as with a kernel that holds the device's lock. */
void mock_attr_hangs(struct mock *m, const char *devpath, const char *attr);
void mock_attr_link(struct mock *m, const char *devpath, const char *attr, const char *target);

/* All bytes of a file, and of a device's driver_override. */
const char *mock_read(struct mock *m, const char *path);
const char *mock_override(struct mock *m, const char *devpath);
const char *mock_path(struct mock *m, const char *devpath, const char *attr);

/* Writes a policy file anew under a new inode, and returns its path. */
const char *mock_policy(struct mock *m, enum mock_dir dir, const char *name, const char *text);

/* The policy of the directories; the device at a devpath. Free as usual. */
struct policy *mock_load(struct mock *m);
struct sysfs_device *mock_device(struct sysfs *sysfs, const char *devpath);

/* The record of a device as it stands; false: there is none that counts. */
bool mock_record(struct mock *m, const char *devpath, struct record *ret);

/* For files made by hand. */
const char *mock_printf(struct mock *m, const char *format, ...) _printf_(2, 3);
void make_file(const char *path, const void *data, size_t size);
void make_dirs(const char *path);
