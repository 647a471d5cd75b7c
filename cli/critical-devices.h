/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The devices that a machine cannot lose: what its file systems and its swap lie on, and its network cards.
 */
#pragma once

#include "base/arena.h"
#include "base/array.h"
#include "base/macro.h"
#include "policy/settings.h"

#include <stdbool.h>
#include <stddef.h>

/* A disk or an interface, and for whom it is there. */
struct critical_device {
	const char *devpath; /* "/devices/pci0000:00/…/nvme0n1" */
	const char *what;    /* "the root file system", "/home", "swap", "network interface eth0" */
	bool vital;	     /* without it the machine does not boot */
	bool optional;	     /* the boot goes on without it: nofail, noauto */
	bool network;
};

struct critical_devices {
	struct critical_device *v;
	size_t n, allocated;
	struct strings missing; /* what fstab and crypttab want at boot, and is not here */
	const char *sysfs;	/* as given; what the kernel does not tell through sysfs is beside it */
	char *root;		/* the same without links */
	struct arena arena;
};

/*
 * What is in use for the machine itself, or will be at its next boot: by the mounts of this process, fstab
 * and swap beside the sysfs tree; and all interfaces of hardware. 0 or negative errno.
 */
_must_check_ int critical_devices_find(struct critical_devices *c, const struct settings *settings);
/* All disks and all interfaces, whoever uses them. */
_must_check_ int critical_devices_list(struct critical_devices *c, const struct settings *settings);
void critical_devices_done(struct critical_devices *c);

/* Whether one is the device at a devpath or below it. */
bool critical_device_is_below(const struct critical_device *device, const char *devpath);
/* What is there of the first of them; NULL: none is. */
const char *critical_devices_first_below(const struct critical_devices *c, const char *devpath);

/* One more, by the path of its folder or of a link to that. 0, also where there is nothing, or -ENOMEM. */
_must_check_ int critical_devices_add(struct critical_devices *c, const char *path,
				      const struct critical_device *use);
/*
 * A file system's block device: with all others of a btrfs, and down through partitions, md, dm and NVMe
 * paths to the hardware.
 */
_must_check_ int critical_disk_add(struct critical_devices *c, const char *path,
				   const struct critical_device *use);
/* The disks of all that is mounted, or will be at boot. */
_must_check_ int critical_mounts_add(struct critical_devices *c);
