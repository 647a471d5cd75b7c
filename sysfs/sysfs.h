/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Devices as a sysfs tree shows them, real or mock: where they are, and the facts that rules ask for.
 * Reads only. Any read here may sleep in the kernel (driver_override on pci and amba takes the device's
 * lock before Linux 7, and who knows what an attribute does), so those who must not wait call it from a
 * process that may be left behind, and let `progress` tell where that one stands.
 */
#pragma once

#include "base/macro.h"
#include "policy/device.h"
#include "policy/settings.h"
#include "state/boot-devices.h"
#include "state/record-file.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#define OVERRIDE_MAX 4096 /* sysfs hands out a page at most */

/*
 * What is being done right now, for the one who waits for it. May lie in shared memory: the pointers are to
 * what parent and child have at the same place, since all of it was there before the child was.
 */
struct progress {
	const struct sysfs_device *device; /* whose file it is; NULL: none yet */
	const char *verb, *attr;	   /* "reading", "driver_override" */
};

/* "reading driver_override of pci 0000:03:00.0", for messages. */
void progress_text(const struct progress *p, char *buf, size_t size);

struct device_cache;

struct sysfs {
	const char *root;	   /* "/sys" */
	const char *state_dir;	   /* where records are; NULL: there are none */
	struct progress *progress; /* NULL: nobody watches */
	/* All links of devices are made: a device without `physfn` is no virtual function. */
	bool settled;
	/* The kernel may be waiting for us with a device's lock held: attributes that take one are not read.
	 */
	bool shuns_locks;
	int seqnum_fd; /* of kernel/uevent_seqnum, for sysfs_device_announced(); -EBADF: not open */
	struct boot_devices present; /* read when it is first asked for */
	/* Somebody else's list, to be used in place of this one; NULL: none is lent. */
	const struct boot_devices *lent_present;
	struct device_cache *cache; /* what was read before; NULL: nothing is kept */
};

struct sysfs_device {
	struct device device;
	struct sysfs *sysfs;
	const char *devpath; /* "/devices/pci0000:00/0000:00:03.0" */
	const char *bus, *name;
	uint64_t inode;	       /* of its folder; 0: not known yet */
	const char *announced; /* its modalias, see sysfs_device_announced(); NULL: it is to be read */
	const char *group_id;  /* number of the IOMMU group, NULL: none or not known yet */
	bool group_asked;
	struct device **members; /* of the group, itself among them; those that we made are ours */
	size_t n_members;
	bool members_borrowed;
	bool is_new;	 /* it is being added, so nothing can have been recorded about it before */
	bool unreadable; /* a read of it did not come back: what is not in its path is not known */
};

static inline struct sysfs_device *to_sysfs_device(struct device *d)
{
	return container_of(d, struct sysfs_device, device);
}

/* For its record. */
static inline struct record_key sysfs_device_key(const struct sysfs_device *d)
{
	return (struct record_key){ d->bus, d->name, d->inode, d->sysfs->root, d->devpath };
}

void sysfs_init(struct sysfs *sysfs, const struct settings *settings);
/* Also opens beforehand what sysfs_device_announced() will need. */
void sysfs_prepare(struct sysfs *sysfs);
void sysfs_done(struct sysfs *sysfs);

/*
 * The device at a devpath ("/devices/…"); bus may be NULL and is then read. 0; -ENODEV: no device there;
 * -EINVAL: not a path below /devices; -ENOMEM. Free with sysfs_device_free().
 */
int sysfs_device_new(struct sysfs *sysfs, const char *devpath, const char *bus, struct sysfs_device **ret);

/*
 * The same for a device that the kernel has just announced, into memory of the caller's and without a look at
 * it: strings are borrowed, the inode is not known before sysfs_device_stat(). sysfs_device_reset() when
 * done.
 */
void sysfs_device_init(struct sysfs_device *d, struct sysfs *sysfs, const char *devpath, const char *bus);
void sysfs_device_reset(struct sysfs_device *d);

/* Fills in the inode of its folder. 0; -ENODEV: it has gone; other negative errno. */
int sysfs_device_stat(struct sysfs_device *d);

/*
 * Tells the device from any other that has its name, before it or after it, as long as the machine runs:
 * "INODE:MODALIAS", the inode being that of its folder. modalias: NULL if it has none.
 */
void sysfs_device_identity(const struct sysfs_device *d, const char *modalias, char *buf, size_t size);

/* Whether its folder has gone since, or another device has its name: where its inode is not known, only the
 * former. */
bool sysfs_device_is_gone(const struct sysfs_device *d);

/* The device of this name on this bus; names with `/`, and `.` and `..`, are -EINVAL. */
int sysfs_device_find(struct sysfs *sysfs, const char *bus, const char *name, struct sysfs_device **ret);

/*
 * The device that a person means: a sysfs path, "pci/0000:03:00.0", "0000:03:00.0", "03:00.0", a network
 * interface, a block device or its /dev node. 0; -ENODEV: none; -ENOTUNIQ: a name that several buses have, or
 * a disk behind several controllers.
 */
int sysfs_device_lookup(struct sysfs *sysfs, const char *name, struct sysfs_device **ret);

/* What to say of the error, to the person who gave the name. */
const char *sysfs_lookup_error(int r);

struct sysfs_device *sysfs_device_free(struct sysfs_device *d);

static inline void sysfs_device_freep(struct sysfs_device **d)
{
	sysfs_device_free(*d);
}

/* What somebody (udev, the kernel's uevent) told us already need not be read: a fact with one value. */
int sysfs_device_tell(struct sysfs_device *d, enum fact fact, const char *text);

/*
 * What the kernel's uevent says of a device: its modalias (borrowed; NULL: nothing) and the uevent's number.
 * True: it is the last that the kernel has sent, so that this is of the device that is there, and the
 * modalias need not be read. Else the device may have gone since, and another be there under its name. After
 * sysfs_prepare().
 */
bool sysfs_device_announced(struct sysfs_device *d, const char *modalias, uint64_t seqnum);

/* Whether the device has a driver_override file: only then is it any business of ours. */
bool sysfs_device_is_supported(const struct sysfs_device *d);

/*
 * All supported devices of all buses, in no order; members of one group share their lists. The array is
 * malloc()ed: sysfs_devices_free().
 */
int sysfs_enumerate(struct sysfs *sysfs, struct sysfs_device ***ret, size_t *ret_n);
void sysfs_devices_free(struct sysfs_device **v, size_t n);

/* ROOT/DEVPATH/attr. 0 or -ENAMETOOLONG. */
int sysfs_device_path(const struct sysfs_device *d, const char *attr, char *buf, size_t size);

/* First line of an attribute, without the newline. Its length, or negative errno. */
int sysfs_device_read(const struct sysfs_device *d, const char *attr, char *buf, size_t size);

/* The override; "" when there is none, however this kernel says that. 0 or negative errno. */
int sysfs_device_override(const struct sysfs_device *d, char buf[static OVERRIDE_MAX]);

/* Last part of where a link of the device points to ("driver", "subsystem"); -ENOENT: no such link. */
int sysfs_device_link(const struct sysfs_device *d, const char *link, char *buf, size_t size);

/* Says what is being done, if anybody watches. */
void sysfs_progress(const struct sysfs_device *d, const char *verb, const char *attr);
