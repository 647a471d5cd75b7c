/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the enforcer remembers of a device, and whose an override is by that; see apply-record.h. */
#include "enforce/apply-record.h"
#include "base/errno.h"
#include "base/log.h"
#include "base/text.h"
#include "state/evaluate.h"
#include "state/intent.h"
#include "state/record.h"
#include "state/record-file.h"
#include "sysfs/binding.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

int apply_write_record(struct sysfs_device *d, const struct record *old, const struct record *record)
{
	const char *state_dir = d->sysfs->state_dir;

	if (!state_dir || (old && record_equal(old, record)))
		return 0;
	/* The record of another device that has its name by now must stay. */
	if (sysfs_device_is_gone(d))
		return -ENODEV;
	return record_write(state_dir, sysfs_device_key(d), record);
}

bool apply_write_record_or_log(struct sysfs_device *d, const struct record *old, const struct record *record)
{
	int r = apply_write_record(d, old, record);

	/* A device that a person has had released meanwhile has a record that says so. One that has gone
	 * needs none. */
	if (r == -ECANCELED || r == -ENODEV)
		return true;
	if (r < 0)
		log_errno(LOG_WARNING, r, "%s %s: cannot write the record under %s: %m, going on without it",
			  d->bus, d->name, d->sysfs->state_dir);
	return r >= 0;
}

bool apply_is_being_written(const struct sysfs_device *d, const char *override)
{
	return d->sysfs->state_dir && intent_is_pending(d->sysfs->state_dir, d->bus, d->name, override);
}

bool apply_owns(const struct sysfs_device *d, const struct record *record, const char *override)
{
	return override[0] && (record_owns(record, override) ||
			       (!record->owned_override[0] && apply_is_being_written(d, override)));
}

bool apply_was_enforced(const struct decision *decision)
{
	const struct sysfs_device *d = to_sysfs_device(decision->device);
	struct record record;

	return d->sysfs->state_dir &&
	       record_read(d->sysfs->state_dir, d->bus, d->name, d->inode, &record) >= 0 &&
	       record_was_enforced(&record, decision);
}

bool apply_is_released(const struct sysfs_device *d)
{
	struct record record;

	return d->sysfs->state_dir &&
	       record_read(d->sysfs->state_dir, d->bus, d->name, d->inode, &record) >= 0 && record.released;
}

void outcome_set_released(struct outcome *o)
{
	*o = (struct outcome){ .state = STATE_UNMANAGED, .released = true };
	text_copy(o->reason, sizeof(o->reason), REASON_RELEASED);
}

bool apply_has_drifted(const struct decision *decision, const struct record *record, const char *override,
		       const char *driver)
{
	const struct device_observation now = {
		.decision = decision, .record = record, .driver = driver, .override = override, .kept_off = ""
	};

	return record_was_enforced(record, decision) && !observation_is_as_decided(&now);
}

int apply_take_over(struct sysfs_device *d, const char *override)
{
	struct record record = {};

	if (!d->sysfs->state_dir || strlen(override) >= sizeof(record.owned_override))
		return -EINVAL;
	if (record_read(d->sysfs->state_dir, d->bus, d->name, d->inode, &record) < 0)
		record.state = STATE_FOREIGN;
	record.inode = d->inode;
	(void)strcpy(record.owned_override, override);
	record.previous_override[0] = '\0';
	return apply_write_record(d, NULL, &record);
}

void apply_record_state(const struct decision *decision, const char *override, enum device_state state,
			const char *reason, const char *wait_for)
{
	struct sysfs_device *d = to_sysfs_device(decision->device);
	struct record record = {};

	if (!d->sysfs->state_dir)
		return;
	/* Without a record it is a new one. */
	ignore_error(record_read(d->sysfs->state_dir, d->bus, d->name, d->inode, &record));
	record.inode = d->inode;
	text_copy(record.owned_override, sizeof(record.owned_override),
		  apply_owns(d, &record, override) ? override : "");
	record.previous_override[0] = '\0';
	if (decision->rule)
		record_describe(&record, decision);
	record.state = state;
	text_copy(record.reason, sizeof(record.reason), reason);
	text_copy(record.wait_for, sizeof(record.wait_for), wait_for);
	(void)apply_write_record_or_log(d, NULL, &record);
}

enum device_state apply_recorded_state(const struct sysfs_device *d)
{
	struct record record;

	return d->sysfs->state_dir &&
			       record_read(d->sysfs->state_dir, d->bus, d->name, d->inode, &record) >= 0
		       ? record.state
		       : STATE_UNKNOWN;
}

void apply_announce_state(struct sysfs_device *d, enum device_state before)
{
	int r = 0;

	if (apply_recorded_state(d) != before)
		r = device_announce(d, "change");
	/* One that has gone has no state. */
	if (r < 0 && r != -ENOENT && r != -ENODEV)
		log_line(LOG_WARNING, "%s %s: cannot ask for its uevent: %s, so udev keeps its former state",
			 d->bus, d->name, strerror(-r));
}

void apply_record_stuck(struct sysfs_device *d, const char *doing)
{
	struct record record = {};

	if (!d->sysfs->state_dir)
		return;
	if (record_read(d->sysfs->state_dir, d->bus, d->name, d->inode, &record) < 0)
		record.inode = d->inode;
	record.state = STATE_STUCK;
	(void)snprintf(record.reason, sizeof(record.reason), "%s did not come back", doing);
	(void)apply_write_record_or_log(d, NULL, &record);
}

static bool occasion_is_first(enum occasion occasion)
{
	return occasion == OCCASION_ADDED || occasion == OCCASION_BOOT;
}

enum first_probe apply_first_probe(const struct decision *decision, enum occasion occasion)
{
	char driver[BOUND_MAX];

	if (!occasion_is_first(occasion) || decision->kind == DECISION_DEFAULT)
		return FIRST_PROBE_UNSEEN;
	bound_driver(to_sysfs_device(decision->device), driver, sizeof(driver));
	if (!driver[0])
		return FIRST_PROBE_WON;
	/* At boot the driver may be built in, or have come long before this package did. */
	return occasion == OCCASION_BOOT || streq(driver, decision->driver) ? FIRST_PROBE_UNKNOWN
									    : FIRST_PROBE_LOST;
}

void apply_recheck_first_probe(const struct decision *decision, enum occasion occasion,
			       const struct record *old, struct record *record)
{
	char driver[BOUND_MAX];

	if (!occasion_is_first(occasion) || (record->first_probe ?: old->first_probe) != FIRST_PROBE_WON)
		return;
	bound_driver(to_sysfs_device(decision->device), driver, sizeof(driver));
	if (driver[0] && !streq(driver, decision->driver))
		record->first_probe = FIRST_PROBE_LOST;
}

void apply_log_others(const struct decision *decision, const struct record *old, const char *writer,
		      bool drifted, struct outcome *o)
{
	const struct sysfs_device *d = to_sysfs_device(decision->device);
	const bool known = record_tells_of_others(old);
	const char *state = device_state_to_string(o->state);
	size_t n;

	if (!drifted && o->state != STATE_FOREIGN) {
		if (known && !o->wrote && o->state == state_as_decided(decision))
			log_line(LOG_NOTICE, "%s %s: %s: others have made it as decided again", d->bus,
				 d->name, state);
		return;
	}
	if (known && reason_tells(old->reason, o->reason)) {
		(void)strcpy(o->reason, old->reason);
		return;
	}
	n = strlen(o->reason);
	if (writer[0])
		(void)snprintf(o->reason + n, sizeof(o->reason) - n, "; written by %.200s", writer);
	/* A name that a process has given itself must not begin another line of the record. */
	for (char *c = o->reason + n; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = ' ';
	log_line(LOG_NOTICE, "%s %s: %s: %s", d->bus, d->name, state, o->reason);
}
