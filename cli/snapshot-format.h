/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The file that `overridectl snapshot` writes: text, a line each for what a decision may need of a machine.
 *
 *     driver-overrides snapshot 1
 *     directory PATH
 *     file PATH CONTENT        as it was read, with its newlines
 *     link PATH TARGET         relative, "../" first and then names, as sysfs has them
 *     withheld PATH            there is such a file, and its content is left out: it counts as unreadable
 *     boot complete|open       what was present at boot is known, and whether that list is complete
 *     present BUS/NAME         was present at boot
 *     record BUS/NAME LINES    what the programs remember of it, but for boot and inode
 *     model BUS/NAME TEXT      as udev calls it
 *     end N                    N lines are between the first and this one
 *
 * Paths begin with one of snapshot_folders and lie below the snapshot's root: "sys" stands for /sys, the
 * others for what is beside it. Bytes outside printable ASCII, the backslash, and a space in a path are \xHH.
 * Lines are in the order of their bytes, so that two snapshots can be compared by diff(1).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define SNAPSHOT_HEADER "driver-overrides snapshot 1"

enum {
	SNAPSHOT_SIZE_MAX = 64 * 1024 * 1024,
	SNAPSHOT_PATH_MAX = 2048,
	SNAPSHOT_ENTRIES_MAX = 500000, /* files, links and folders, those on the way to others among them */
};

enum snapshot_kind {
	SNAPSHOT_DIRECTORY,
	SNAPSHOT_FILE,
	SNAPSHOT_LINK,
	SNAPSHOT_WITHHELD,
	SNAPSHOT_BOOT,
	SNAPSHOT_PRESENT,
	SNAPSHOT_RECORD,
	SNAPSHOT_MODEL,
	SNAPSHOT_KINDS,
};

extern const char *const snapshot_kind_names[SNAPSHOT_KINDS];

/* Whether a link's target can be in a snapshot: "../" some times, and then names. */
bool snapshot_target_is_plain(const char *target, size_t *ret_ups);

/* Whether a path is one that can be in a snapshot. */
bool snapshot_path_is_plain(const char *path);
