/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the enforcer remembers of a device, and whose an override is by that. The record comes before the
 * write of an override, so whoever finds a value of ours in sysfs finds the record that claims it.
 */
#pragma once

#include "enforce/apply.h"

/*
 * Writes the record unless `old` (NULL: not known) says the same already. Without a state directory nothing
 * is kept, which is not an error. 0 or negative errno.
 */
int apply_write_record(struct sysfs_device *d, const struct record *old, const struct record *record);

/* The same where the caller goes on without the record: a failure is logged. True: it is written. */
bool apply_write_record_or_log(struct sysfs_device *d, const struct record *old, const struct record *record);

/* Whether the guard is writing this override, or has died over it before it was recorded; see intent.h. */
bool apply_is_being_written(const struct sysfs_device *d, const char *override);

/* Whether an override that stands is ours: the record claims it, or no record does and the guard has written
 * it. */
bool apply_owns(const struct sysfs_device *d, const struct record *record, const char *override);

/* Whether this very decision was seen enforced since the device was added or its rule changed last. */
bool apply_was_enforced(const struct decision *decision);

/* Whether a person has had it released, so that policy does not count for it; see record.h. */
bool apply_is_released(const struct sysfs_device *d);
void outcome_set_released(struct outcome *o);

/*
 * Whether the device has drifted: this very decision was enforced according to the record, and override or
 * driver have been changed by others since.
 */
bool apply_has_drifted(const struct decision *decision, const struct record *record, const char *override,
		       const char *driver);

/* Records that the override that stands is ours: the guard wrote it, and died over it. 0 or negative errno.
 */
int apply_take_over(struct sysfs_device *d, const char *override);

/*
 * Records a state and its reason where nothing was done about a decision. `override` is what stands; it is
 * ours or not as it was before.
 */
void apply_record_state(const struct decision *decision, const char *override, enum device_state state,
			const char *reason, const char *wait_for);

/* The state that the device's record tells; STATE_UNKNOWN: there is none. */
enum device_state apply_recorded_state(const struct sysfs_device *d);

/* Has the kernel announce a change of the device if its record tells another state than `before`, so that
 * udev's properties follow. */
void apply_announce_state(struct sysfs_device *d, enum device_state before);

/* Records that a child did not come back from the kernel while `doing` something with the device. */
void apply_record_stuck(struct sysfs_device *d, const char *doing);

/*
 * FirstProbe, as far as it shows right after the write. The `driver` link is there from the beginning of a
 * probe on. If the decided driver is bound already, nobody can tell whether it came by our override.
 */
enum first_probe apply_first_probe(const struct decision *decision, enum occasion occasion);

/*
 * Looks at the driver once more, with the probe behind us: on Linux 7 and later a write is no barrier, so a
 * driver that had matched before the write makes its link after it. `old` is what was recorded before.
 */
void apply_recheck_first_probe(const struct decision *decision, enum occasion occasion,
			       const struct record *old, struct record *record);

/*
 * Logs what others have done to the device, once for each change: the record, `old`, remembers what was said,
 * with who wrote it, and the outcome has that as its reason. writer: as in apply_decision_after().
 */
void apply_log_others(const struct decision *decision, const struct record *old, const char *writer,
		      bool drifted, struct outcome *o);
