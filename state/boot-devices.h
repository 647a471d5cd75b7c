/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The devices that were there at the boot's first sweep: STATE_DIR/present, its first line the boot id, then
 * the inode of a device's sysfs folder a line. The list never changes once it is there.
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
};

/*
 * Whether a device was there at the boot's first sweep; reads the list when it is not known. 1; 0;
 * -ENODATA: no sweep of this boot has left its list, so nobody can tell; other negative errno: the list
 * cannot be read.
 */
_must_check_ int boot_devices_has(struct boot_devices *list, const char *state_dir, uint64_t inode);
void boot_devices_done(struct boot_devices *list);

/* Writes the list, unless this boot has one. 1: written, 0: there was one; negative errno. */
_must_check_ int boot_devices_write(const char *state_dir, const uint64_t *inodes, size_t n);

/* 0 or -ENAMETOOLONG. */
_must_check_ int boot_devices_path(const char *state_dir, char *buf, size_t size);
