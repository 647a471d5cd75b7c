/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writes the state directory: records, last good copies of policy files, the list of what was present at
 * the boot's first sweep. Everything is written whole to a temporary file and renamed; it lives on a tmpfs
 * and dies with the boot, so nothing is synced. The forms are in state/record.h.
 */
#pragma once

#include "policy/policy.h"
#include "state/record.h"

#include <stddef.h>
#include <stdint.h>

/*
 * Replaces the record of a device. What another program has learnt about the same device meanwhile stays: its
 * FirstProbe, as first_probe_merge() has it, that this very decision was enforced, and that the decided
 * override is ours. 0 or negative errno.
 */
int record_write(const char *state_dir, struct record_key key, const struct record *record);

/*
 * Changes nothing but FirstProbe in the record of a device, as first_probe_merge() has it; without a record,
 * nothing. 0 or negative errno.
 */
int record_set_first_probe(const char *state_dir, struct record_key key, const char *first_probe);

/* Removes it; there being none is fine. */
int record_remove(const char *state_dir, struct record_key key);

/*
 * Locks a device against other rebinds until the file descriptor is closed, here and in every child. Waits
 * until `deadline` (now_usec()). A file descriptor; -ETIMEDOUT; other negative errno.
 */
int device_lock_acquire(const char *state_dir, const char *bus, const char *name, uint64_t deadline);

/* Puts text into STATE_DIR/name, at once and whole. 0 or negative errno. */
int state_write(const char *state_dir, const char *name, const char *text);

/* Removes STATE_DIR/name; there being none is fine. */
int state_remove(const char *state_dir, const char *name);

/*
 * The list of the boot's first sweep, the inodes of the devices' folders, unless this boot has one: 1:
 * written, 0: there was one; negative errno.
 */
int boot_devices_write(const char *state_dir, const uint64_t *inodes, size_t n);

/*
 * Keeps a copy of each file that is good and not yet kept in this version, forgets those of files that have
 * gone (unless a directory could not be listed), and logs the errors of each file that is not, once for each
 * of its versions, whoever comes by. Trouble here is logged, never returned: a full /run must not stop
 * enforcement.
 */
void policy_copies_update(const char *state_dir, const struct policy *policy);

/* Removes the copies of files that no longer exist, and what a killed program left a minute ago or before. */
void state_dir_clean(const char *state_dir, const struct policy *policy);
