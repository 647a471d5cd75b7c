/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The devices that were present at boot: STATE_DIR/present, its first line the boot id, then the inode of a
 * device's sysfs folder a line.
 *
 * A device was present at boot if the kernel announced it before the boot's coldplug had been worked off
 * (udev's queue was empty for the first time after it), however late its bus was found: disks behind VMD
 * or on Hyper-V's virtual PCI bus come only when a module is loaded. The first sweep writes the list. Until
 * the end of the coldplug the list is open, and whatever is asked about was present. Then it is completed,
 * once, and never changes again.
 */
#pragma once

#include "base/macro.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct boot_devices {
	uint64_t *inodes; /* sorted */
	size_t n;
	bool known;
	bool complete; /* the boot's coldplug has been worked off */
	int error;     /* why it is not known; 0: nobody has tried to read it */
};

/*
 * Reads the list of this boot. 0; -ENODATA: no sweep of this boot has left one; other negative errno: it
 * cannot be read. The result stays in the list, so that boot_devices_find() repeats it.
 */
_must_check_ int boot_devices_load(struct boot_devices *list, const char *state_dir);
void boot_devices_done(struct boot_devices *list);

/*
 * Whether a device was present at boot, by a list that boot_devices_load() has read; no memory is
 * allocated. 1; 0; -ENODATA: nobody can tell; other negative errno: the list could not be read.
 */
_must_check_ int boot_devices_find(const struct boot_devices *list, uint64_t inode);
/* The same, reading the list when it is not known. */
_must_check_ int boot_devices_has(struct boot_devices *list, const char *state_dir, uint64_t inode);

/*
 * Writes the list, unless this boot has one; `complete`: or completes the one that there is by these
 * devices. 1: written; 0: the list stays as it is; negative errno.
 */
_must_check_ int boot_devices_write(const char *state_dir, const uint64_t *inodes, size_t n, bool complete);

/*
 * Watches for another list, with inotify: a file descriptor to poll, and what to do when it has something to
 * read. True: the list has been written. Negative errno where nothing can be watched.
 */
_must_check_ int boot_devices_watch(const char *state_dir);
bool boot_devices_watch_changed(int fd);

/* 0 or -ENAMETOOLONG. */
_must_check_ int boot_devices_path(const char *state_dir, char *buf, size_t size);
