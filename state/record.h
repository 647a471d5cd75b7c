/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the programs remember about a device, and what follows from that. The guard keeps one in memory; in
 * the state directory they are files (record-file.h).
 */
#pragma once

#include "policy/decide.h"
#include "state/device-state.h"
#include "state/first-probe-claim.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

struct record {
	uint64_t inode; /* of the device's sysfs folder */
	/*
	 * Id of the decision, once it was seen enforced: others made what differs since. 0 while the device
	 * is stuck: what it is like when it comes back is our doing.
	 */
	uint64_t enforced;
	char owned_override[128]; /* the override that we wrote and that is therefore ours; "": none is */
	/* The one of ours that owned_override is about to replace; set between the record and the write only.
	 */
	char previous_override[128];
	/* The driver that came by an override of ours which was cleared since; set while it stays. */
	char driver_by_override[128];
	/* The driver that had the device already when an override of ours came to name it. */
	char driver_before_override[128];
	char decision[128], cause[8]; /* "rule" or "group" */
	char rule[256];		      /* the rule's label */
	uint64_t rule_id;
	char source[PATH_MAX]; /* the rule's FILE:LINE */
	enum device_state state;
	char unknown_state[16]; /* the word that was read, with STATE_UNKNOWN */
	enum first_probe first_probe;
	char reason[512];
	/*
	 * A person has had it given back whatever policy says: policy counts for it again after
	 * record_set_released(), for another device under its name, or after the next boot.
	 */
	bool released;
	/* While it is blocked because it is in use: what tells that this may have ended. A node
	 * ("/dev/i2c-4"): its close; "mount", "net": a change of these; "time": nothing does. */
	char wait_for[256];
};

bool record_equal(const struct record *a, const struct record *b);

/* The word for its state: also one that another version has written. */
const char *record_state_text(const struct record *record);

/* Whether the kernel has refused it its driver, for the sake of its IOMMU group. */
bool record_is_refused(const struct record *record);

/*
 * Nothing of ours is left on the device, by which the record would tell it again: only what became of a rule
 * that has gone, such as that the device was stuck.
 */
bool record_is_left_over(const struct record *record);

/* Whether an override that stands is ours, as far as the record knows; see apply_owns(). */
bool record_owns(const struct record *record, const char *override);

/* Whether a bound driver came by an override of ours, which may be gone. */
bool record_gave(const struct record *record, const char *driver);

/* DECISION=, CAUSE=, RULE=, RULE_ID= and SOURCE= of a decision that has a rule. */
void record_describe(struct record *record, const struct decision *decision);

/* The id of what was decided by which rule, as the record has it: another decision has another id; never 0.
 */
uint64_t record_decision_id(const struct record *record);

/* Whether this very decision was seen enforced since the device was added, whatever others did since. */
bool record_was_enforced(const struct record *record, const struct decision *decision);

/*
 * Adds to a record what another program wrote into the one that is there `now` (NULL: there is none): its
 * FirstProbe, as first_probe_merge() has it, that this very decision was enforced, and that the decided
 * override is ours.
 */
void record_merge(struct record *merged, const struct record *now);
