/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the programs remember about a device, under the state directory: read here, written by enforce/
 * (and, where it lives in memory, by the guard). One file a device, `KEY=value` lines, unknown keys are
 * passed over so that a newer program may add some.
 *
 *     VERSION=1
 *     BOOT_ID=…      the boot it was written in
 *     INODE=…        of the device's sysfs folder: another device under the same name has another one
 *     SET=…          the override that we wrote and that is therefore ours; absent when none is
 *     WAS=…          what of ours SET= is about to replace; here between the record and the write only
 *     GIVEN=…        the driver that came by an override of ours which was cleared since, while it stays
 *     KEPT=…         the driver that had the device already when an override of ours came to name it
 *     DECISION=… CAUSE=rule|group RULE=label RULE_ID=hex SOURCE=file:line STATE=… REASON=…
 *     ENFORCED=hex   id of the decision, when it was seen enforced; what differs since, others did. Not with
 *                    STATE=stuck: what it is like when it comes back is our doing
 *     FIRST_PROBE=…  guaranteed, won, lost or unknown; absent: nobody has seen it
 */
#pragma once

#include "state/device-state.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECORD_VERSION 1

struct record {
	uint64_t inode;
	uint64_t rule_id;
	uint64_t enforced;
	enum device_state state;
	char unknown_state[16]; /* the word that was read, with STATE_UNKNOWN */
	char owned_override[128];
	char previous_override[128];
	char driver_by_override[128];
	char driver_before_override[128];
	char decision[128];
	char cause[8];
	char rule[256];
	char source[PATH_MAX];
	char first_probe[16];
	char reason[512];
};

/* The device that a record is about; the strings are borrowed. */
struct record_key {
	const char *bus, *name;
	uint64_t inode;			  /* of its sysfs folder, when it was looked at */
	const char *sysfs_root, *devpath; /* its folder is SYSFS_ROOT/DEVPATH */
};

/* STATE_DIR/devices/BUS:NAME, both escaped. 0 or -ENAMETOOLONG. */
int record_path(const char *state_dir, const char *bus, const char *name, char *buf, size_t size);

/*
 * Whoever moves a device holds flock(2) of this file, also when it was left behind in the kernel; with the
 * same results as above. It need not exist.
 */
int record_lock_path(const char *state_dir, const char *bus, const char *name, char *buf, size_t size);

/*
 * The record of the device that has this inode now. 0; -ENOENT: there is none; -ESTALE: there is one, but
 * of another boot, another device under the same name, or of a version that we do not know: it counts for
 * nothing. *ret is filled on 0 only.
 */
int record_read(const char *state_dir, const char *bus, const char *name, uint64_t inode, struct record *ret);

/* The word for its state: also one that another version has written. */
const char *record_state_text(const struct record *record);

bool record_equal(const struct record *a, const struct record *b);

/* Whether the kernel has refused it its driver, for the sake of its IOMMU group. */
bool record_is_refused(const struct record *record);

/*
 * Of two claims about a first probe, the earlier and the later, the one that counts; either may be "". What
 * is claimed is refined and never raised: whoever saw it lost is right, only a hold guarantees, and else who
 * looked first knows best.
 */
const char *first_probe_merge(const char *old, const char *new);

/* Whether an override that stands is ours, as far as the record knows; see apply_owns(). */
bool record_owns(const struct record *record, const char *override);

/* Whether a bound driver came by an override of ours, which may be gone. */
bool record_gave(const struct record *record, const char *driver);

struct decision;

/* DECISION=, CAUSE=, RULE=, RULE_ID= and SOURCE= of a decision that has a rule. */
void record_describe(struct record *record, const struct decision *decision);

/* Of what was decided by which rule, as the record has it: another decision has another id; never 0. */
uint64_t record_decision_id(const struct record *record);

/* Whether this very decision was seen enforced since the device was added, whatever others did since. */
bool record_was_enforced(const struct record *record, const struct decision *decision);

/* The devices that were there at the boot's first sweep; it never changes once it is there. */
struct boot_devices {
	uint64_t *inodes; /* sorted */
	size_t n;
	bool known;
};

/*
 * Whether a device was there at the boot's first sweep; reads the list when it is not known. 1; 0;
 * -ENODATA: no sweep of this boot has left its list, so nobody can tell.
 */
int boot_devices_has(struct boot_devices *list, const char *state_dir, uint64_t inode);
void boot_devices_done(struct boot_devices *list);

/* STATE_DIR/present: the list, first line the boot id, then an inode a line. */
int boot_devices_path(const char *state_dir, char *buf, size_t size);
