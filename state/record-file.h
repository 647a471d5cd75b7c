/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The files of records, one a device: STATE_DIR/devices/BUS:NAME. `KEY=value` lines; unknown keys are passed
 * over, so that a newer program may add some.
 *
 *     VERSION=1
 *     BOOT_ID=…      the boot it was written in
 *     INODE=…        of the device's sysfs folder: another device under the same name has another one
 *     SET=…          owned_override; absent when none is ours
 *     WAS=…          previous_override
 *     GIVEN=…        driver_by_override
 *     KEPT=…         driver_before_override
 *     DECISION=… CAUSE=rule|group RULE=label RULE_ID=hex SOURCE=file:line STATE=… REASON=…
 *     ENFORCED=hex   enforced
 *     WAIT_FOR=…     with STATE=blocked, see wait_for in record.h
 *     RELEASED=1     released
 *     FIRST_PROBE=…  guaranteed, won, lost or unknown; absent: nobody has seen it
 */
#pragma once

#include "base/macro.h"
#include "state/record.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECORD_VERSION 1

/* The device that a record is about; the strings are borrowed. */
struct record_key {
	const char *bus, *name;
	uint64_t inode;			  /* of its sysfs folder, when it was looked at */
	const char *sysfs_root, *devpath; /* its folder is SYSFS_ROOT/DEVPATH */
};

/* STATE_DIR/devices/BUS:NAME, both escaped. 0 or -ENAMETOOLONG. */
_must_check_ int record_path(const char *state_dir, const char *bus, const char *name, char *buf,
			     size_t size);

/*
 * The record of the device that has this inode now. 0; -ENOENT: there is none; -ESTALE: there is one, but
 * of another boot, another device under the same name, or of a version that we do not know: it counts for
 * nothing. *ret is filled on 0 only.
 */
_must_check_ int record_read(const char *state_dir, const char *bus, const char *name, uint64_t inode,
			     struct record *ret);

/*
 * Calls for the device of each record file, whatever that is worth, until it returns other than 0, which is
 * returned. The names may not outlive the call. Without a state directory there are none.
 */
int record_each(const char *state_dir, int (*each)(const char *bus, const char *name, void *userdata),
		void *userdata);

/*
 * Replaces the record of a device. What another program has learnt about the same device meanwhile stays, see
 * record_merge(). 0; -ECANCELED: a person has had the device released meanwhile, and this record does not say
 * so, so it is not written; other negative errno.
 */
_must_check_ int record_write(const char *state_dir, struct record_key key, const struct record *record);

/*
 * Changes nothing but FirstProbe in the record of a device, as first_probe_merge() has it; without a record,
 * nothing. 0 or negative errno.
 */
_must_check_ int record_set_first_probe(const char *state_dir, struct record_key key, enum first_probe claim);

/*
 * Sets or takes back `released` in the record of a device; without a record, one is made to set it in. 0 or
 * negative errno.
 */
_must_check_ int record_set_released(const char *state_dir, struct record_key key, bool released);

/*
 * Removes it; that there is none is no error. What was seen of the device's first probe stays, and is in its
 * next record (first-probe-file.h). 0 or negative errno.
 */
_must_check_ int record_remove(const char *state_dir, struct record_key key);
