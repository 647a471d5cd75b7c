/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Makes sysfs agree with a decision about one device; see apply.h. */
#include "enforce/apply.h"
#include "base/log.h"
#include "base/macro.h"
#include "base/text.h"
#include "sysfs/binding.h"
#include "state/intent.h"
#include "state/store.h"
#include "sysfs/iommu.h"
#include "policy/vfio-driver.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

const char *device_state_to_string(enum device_state state)
{
	switch (state) {
	case STATE_UNMANAGED:
		return "unmanaged";
	case STATE_FOREIGN:
		return "foreign";
	case STATE_ENFORCED:
		return "enforced";
	case STATE_HELD:
		return "held";
	case STATE_PENDING:
		return "pending";
	case STATE_BLOCKED:
		return "blocked";
	case STATE_FAILED:
		return "failed";
	case STATE_STUCK:
		return "stuck";
	}
	return "";
}

static void _printf_(3, 4) outcome_set(struct outcome *o, enum device_state state, const char *format, ...)
{
	va_list ap;

	o->state = state;
	va_start(ap, format);
	(void)vsnprintf(o->reason, sizeof(o->reason), format, ap);
	va_end(ap);
}

/* The state directory, or NULL for one that keeps nothing. */
static int apply_write_record(struct sysfs_device *d, const struct record *old, const struct record *record)
{
	const char *state_dir = d->sysfs->state_dir;
	int r;

	if (!state_dir || (old && record_equal(old, record)))
		return 0;
	r = record_write(state_dir, sysfs_device_key(d), record);
	if (r < 0)
		log_line(LOG_WARNING, "%s %s: cannot write its record under %s: %s", d->bus, d->name,
			 state_dir, strerror(-r));
	return r;
}

/* Something is bound that was not decided; nothing is unbound here. */
static void outcome_set_other_driver(struct outcome *o, const struct decision *decision, const char *driver)
{
	if (decision->rule && decision->rule->rebind == REBIND_NO)
		outcome_set(o, STATE_BLOCKED, "stays with %s: Rebind=no", driver);
	else
		outcome_set(o, STATE_PENDING, "still bound to %s", driver);
}

enum device_state state_as_decided(const struct decision *decision)
{
	return decision->kind == DECISION_NONE && decision->cause == CAUSE_GROUP ? STATE_HELD
										 : STATE_ENFORCED;
}

void outcome_add_iommu(const struct decision *decision, struct outcome *o)
{
	struct sysfs_device *d = to_sysfs_device(decision->device);
	const size_t n = strlen(o->reason);
	enum iommu iommu;
	const char *text;

	if (decision->kind != DECISION_DRIVER || !driver_is_vfio(decision->driver))
		return;
	iommu = sysfs_device_iommu(d);
	text = iommu_consequence(iommu);
	if (!text || (o->state == STATE_ENFORCED && iommu != IOMMU_FAKE))
		return;
	(void)snprintf(o->reason + n, sizeof(o->reason) - n, "%s%s", n > 0 ? "; " : "", text);
	if (o->wrote && iommu != IOMMU_LATER)
		log_line(LOG_WARNING, "%s %s: for %s, but %s", d->bus, d->name, decision->driver, text);
}

/* The override stands; what about the driver? */
static void settle_driver(const struct decision *decision, struct sysfs_device *d, struct outcome *o)
{
	char driver[BOUND_MAX];
	int r;

	bound_driver(d, driver, sizeof(driver));
	if (decision->kind == DECISION_NONE) {
		if (driver[0])
			outcome_set_other_driver(o, decision, driver);
		else
			o->state = state_as_decided(decision);
		return;
	}

	if (!driver[0] && driver_is_registered(d, decision->driver)) {
		r = device_probe(d);
		bound_driver(d, driver, sizeof(driver));
		/* Whatever is wrong, drivers_probe says EINVAL. */
		if (!driver[0] && r < 0 && !driver_leaves_dma(decision->driver) &&
		    iommu_group_is_owned(d, o->reason, sizeof(o->reason))) {
			o->state = STATE_HELD;
			return;
		}
		/* EAGAIN, EINVAL: not ready yet, so the kernel's own first probe is still to come. */
		if (!driver[0] && r < 0 && r != -EAGAIN && r != -EINVAL && r != -ENOENT) {
			outcome_set(o, STATE_FAILED, "probing by %s: %s", decision->driver, strerror(-r));
			return;
		}
		if (!driver[0]) {
			outcome_set(o, STATE_PENDING, "%s has not bound it", decision->driver);
			return;
		}
	} else if (!driver[0]) {
		o->needs_module = true;
		outcome_set(o, STATE_PENDING, "driver %s is not loaded", decision->driver);
		return;
	}
	if (streq(driver, decision->driver))
		o->state = STATE_ENFORCED;
	else
		outcome_set_other_driver(o, decision, driver);
}

/*
 * FirstProbe as far as it shows right after we wrote. A driver's link is there from the beginning of its
 * probe. Where it is the decided one already, nobody can tell whether it came by our override.
 */
static const char *first_probe_after_write(const struct sysfs_device *d, const struct decision *decision,
					   enum occasion occasion)
{
	char driver[BOUND_MAX];

	if (occasion == OCCASION_LATER || decision->kind == DECISION_DEFAULT)
		return "";
	bound_driver(d, driver, sizeof(driver));
	if (!driver[0])
		return "won";
	/* At boot it may be built in, or have come long before this package did. */
	return occasion == OCCASION_BOOT || streq(driver, decision->driver) ? "unknown" : "lost";
}

/*
 * A second look, with the probe behind us: on Linux 7 and later a write is no barrier, and a driver that had
 * matched before it makes its link afterwards.
 */
static void first_probe_recheck(const struct sysfs_device *d, const struct decision *decision,
				enum occasion occasion, const struct record *old, struct record *record)
{
	char driver[BOUND_MAX];

	if (occasion == OCCASION_LATER ||
	    !streq(record->first_probe[0] ? record->first_probe : old->first_probe, "won"))
		return;
	bound_driver(d, driver, sizeof(driver));
	if (driver[0] && !streq(driver, decision->driver))
		(void)strcpy(record->first_probe, "lost");
}

/* The guard writes before it records, and may die in between; see intent.h. */
static bool override_is_being_written(const struct sysfs_device *d, const char *override)
{
	return d->sysfs->state_dir && intent_is_pending(d->sysfs->state_dir, d->bus, d->name, override);
}

bool apply_owns(const struct sysfs_device *d, const struct record *record, const char *override)
{
	return override[0] && (record_owns(record, override) ||
			       (!record->owned_override[0] && override_is_being_written(d, override)));
}

/* A driver that is bound already when an override comes to name it has not come by that. */
static void record_driver_before(const struct sysfs_device *d, const struct record *old, const char *want,
				 struct record *record)
{
	char driver[BOUND_MAX];

	bound_driver(d, driver, sizeof(driver));
	if (driver[0] && (streq(driver, old->driver_before_override) ||
			  (streq(driver, want) && !record_gave(old, driver))))
		text_copy(record->driver_before_override, sizeof(record->driver_before_override), driver);
}

/* Nothing is to be written over an override: it is what is wanted, or somebody else's, which o says. */
static bool override_is_to_stay(const char *override, const char *want, bool ours, struct outcome *o)
{
	if (streq(override, want))
		return true;
	if (!override[0] || ours)
		return false;
	outcome_set(o, STATE_FOREIGN, "driver_override is %.100s, which was not set by us", override);
	return true;
}

/*
 * The record comes before the write: whoever finds our value in sysfs then finds, too, that it is ours,
 * and one who died in between has claimed nothing that is not so. `foreign`, if not "", is replaced although
 * it is not ours, and is never recorded: while it stands it is still not ours, whatever fails.
 */
static bool settle_override_or_refuse(const struct decision *decision, enum occasion occasion,
				      const char *foreign, struct sysfs_device *d, struct record *old,
				      struct record *record, struct outcome *o)
{
	const char *want = decision->driver;
	char override[OVERRIDE_MAX], now[OVERRIDE_MAX];
	char before[sizeof(record->owned_override)] = "";
	bool ours, is_known;
	int r;

	/* In this order: who writes an override has written the record before. */
	r = sysfs_device_override(d, override);
	if (!d->sysfs->state_dir || record_read(d->sysfs->state_dir, d->bus, d->name, d->inode, old) < 0)
		*old = (struct record){};
	record_driver_before(d, old, want, record);
	if (r < 0) {
		outcome_set(o, STATE_FAILED, "reading driver_override: %s", strerror(-r));
		/* Whatever stands there, what was ours still is. */
		(void)strcpy(record->owned_override, old->owned_override);
		(void)strcpy(record->previous_override, old->previous_override);
		(void)strcpy(record->driver_by_override, old->driver_by_override);
		return false;
	}
	ours = apply_owns(d, old, override);

	if (override_is_to_stay(override, want, ours || streq(override, foreign), o)) {
		if (ours)
			(void)strcpy(record->owned_override, want);
		return o->state != STATE_FOREIGN;
	}

	/* Both values are named until one is known to stand: whoever dies in between leaves no doubt. */
	if (ours)
		text_copy(before, sizeof(before), override);
	(void)strcpy(record->owned_override, want);
	(void)strcpy(record->previous_override, before);
	(void)strcpy(record->state, device_state_to_string(STATE_PENDING));
	r = apply_write_record(d, old, record);
	if (r < 0 && want[0]) {
		outcome_set(o, STATE_FAILED, "recording the override before it is written: %s", strerror(-r));
		return false;
	}
	is_known = old->first_probe[0];
	*old = *record;
	record->previous_override[0] = '\0';

	/*
	 * Another may have written since it was read: the guard mostly, which cannot wait for us. One who
	 * writes the very same in this moment cannot be told from it.
	 */
	if (sysfs_device_override(d, now) >= 0 &&
	    override_is_to_stay(now, want, streq(now, override) || override_is_being_written(d, now), o)) {
		if (o->state == STATE_FOREIGN)
			record->owned_override[0] = '\0';
		return o->state != STATE_FOREIGN;
	}
	r = override_write(d, want);
	if (r < 0) {
		(void)strcpy(record->owned_override, before);
		outcome_set(o, STATE_FAILED, "writing %s to driver_override: %s", want[0] ? want : "nothing",
			    strerror(-r));
		return false;
	}
	o->wrote = true;
	if (!is_known)
		(void)strcpy(record->first_probe, first_probe_after_write(d, decision, occasion));
	return true;
}

static void settle_default(const struct decision *decision, struct sysfs_device *d, const struct record *old,
			   struct record *record, struct outcome *o)
{
	char driver[BOUND_MAX];

	bound_driver(d, driver, sizeof(driver));
	o->state = STATE_ENFORCED;
	if (!driver[0]) {
		int r = 0;

		/* Whichever takes it now does so by itself. */
		if (o->wrote || record_is_refused(old))
			r = device_probe(d);
		bound_driver(d, driver, sizeof(driver));
		/* That nothing wants it is no failure of a probe. */
		if (!driver[0] && (r < 0 ? iommu_group_refuses(d, o->reason, sizeof(o->reason))
					 : iommu_group_is_owned(d, o->reason, sizeof(o->reason))))
			o->state = STATE_HELD;
		return;
	}
	/* It came by our override and would not have come by itself. */
	if (record_gave(old, driver)) {
		text_copy(record->driver_by_override, sizeof(record->driver_by_override), driver);
		if (decision->rule->rebind == REBIND_NO)
			outcome_set_other_driver(o, decision, driver);
		else
			outcome_set(o, STATE_PENDING, "still bound to %s, which came by an override of ours",
				    driver);
	}
}

/* What the record says before anything was done. False: there is nothing to do, and the outcome says why. */
static bool apply_prepare_or_refuse(const struct decision *decision, struct record *record,
				    struct outcome *ret)
{
	*ret = (struct outcome){ .state = STATE_UNMANAGED };
	switch (decision->kind) {
	case DECISION_NOTHING:
		return false;
	case DECISION_UNKNOWN:
		outcome_set(ret, STATE_PENDING, "%s of %s:%u cannot be compared yet",
			    decision->missing == FACT_COUNT ? "the IOMMU group" : fact_key(decision->missing),
			    decision->rule->file, decision->rule->line);
		return false;
	case DECISION_NONE:
	case DECISION_DRIVER:
	case DECISION_DEFAULT:
		break;
	}

	record_describe(record, decision);
	record->inode = to_sysfs_device(decision->device)->inode;
	return true;
}

static void apply_save_record(const struct decision *decision, const struct record *old,
			      struct record *record, struct outcome *o)
{
	(void)strcpy(record->state, device_state_to_string(o->state));
	(void)strcpy(record->reason, o->reason);
	if (!record->first_probe[0])
		(void)strcpy(record->first_probe, old->first_probe);
	/* Of another decision it says nothing any more: what differs from that one since is our doing. */
	if (o->state == state_as_decided(decision) || old->enforced == record_decision_id(record))
		record->enforced = record_decision_id(record);
	(void)apply_write_record(to_sysfs_device(decision->device), old, record);
}

void apply_override(const struct decision *decision, enum occasion occasion, struct outcome *ret)
{
	struct sysfs_device *d = to_sysfs_device(decision->device);
	struct record old = {}, record = {};

	if (!apply_prepare_or_refuse(decision, &record, ret))
		return;
	if (settle_override_or_refuse(decision, occasion, "", d, &old, &record, ret))
		ret->state = STATE_PENDING;
	/* What stood already has its record, and what was written has one that says so. */
	if (!ret->wrote && ret->state == STATE_PENDING)
		return;
	apply_save_record(decision, &old, &record, ret);
}

static void apply_over(const struct decision *decision, enum occasion occasion, const char *foreign,
		       struct outcome *ret)
{
	struct sysfs_device *d = to_sysfs_device(decision->device);
	struct record old = {}, record = {};

	if (!apply_prepare_or_refuse(decision, &record, ret))
		return;
	if (settle_override_or_refuse(decision, occasion, foreign, d, &old, &record, ret)) {
		if (decision->kind == DECISION_DEFAULT) {
			settle_default(decision, d, &old, &record, ret);
		} else {
			settle_driver(decision, d, ret);
			first_probe_recheck(d, decision, occasion, &old, &record);
		}
		outcome_add_iommu(decision, ret);
	}
	apply_save_record(decision, &old, &record, ret);
}

void apply_decision(const struct decision *decision, enum occasion occasion, struct outcome *ret)
{
	apply_over(decision, occasion, "", ret);
}

void apply_decision_over(const struct decision *decision, const char *override, struct outcome *ret)
{
	apply_over(decision, OCCASION_LATER, override, ret);
}

int apply_release(struct sysfs_device *d, char *ret_reason, size_t size)
{
	const char *state_dir = d->sysfs->state_dir;
	char override[OVERRIDE_MAX], driver[BOUND_MAX];
	struct record record;
	int r, cleared = 0;

	if (!state_dir || record_read(state_dir, d->bus, d->name, d->inode, &record) < 0)
		return 0;
	if (record.owned_override[0] || record.previous_override[0]) {
		r = sysfs_device_override(d, override);
		if (r < 0) {
			(void)snprintf(ret_reason, size, "reading driver_override: %s", strerror(-r));
			return r;
		}
		if (record_owns(&record, override)) {
			r = override_write(d, "");
			if (r < 0) {
				(void)snprintf(ret_reason, size, "clearing driver_override: %s",
					       strerror(-r));
				return r;
			}
			cleared = 1;
		}
	}
	r = record_remove(state_dir, sysfs_device_key(d));
	if (r < 0) {
		(void)snprintf(ret_reason, size, "removing its record: %s", strerror(-r));
		return r;
	}
	bound_driver(d, driver, sizeof(driver));
	if (cleared && !driver[0])
		(void)device_probe(d); /* by whichever driver is there for it; none is as good an answer */
	return cleared;
}

bool apply_was_enforced(const struct decision *decision)
{
	const struct sysfs_device *d = to_sysfs_device(decision->device);
	struct record record;

	return d->sysfs->state_dir &&
	       record_read(d->sysfs->state_dir, d->bus, d->name, d->inode, &record) >= 0 &&
	       record_was_enforced(&record, decision);
}

int apply_take_over(struct sysfs_device *d, const char *override)
{
	struct record record = {};

	if (!d->sysfs->state_dir || strlen(override) >= sizeof(record.owned_override))
		return -EINVAL;
	if (record_read(d->sysfs->state_dir, d->bus, d->name, d->inode, &record) < 0)
		(void)strcpy(record.state, device_state_to_string(STATE_FOREIGN));
	record.inode = d->inode;
	(void)strcpy(record.owned_override, override);
	record.previous_override[0] = '\0';
	return apply_write_record(d, NULL, &record);
}

void apply_record_state(const struct decision *decision, const char *override, enum device_state state,
			const char *reason)
{
	struct sysfs_device *d = to_sysfs_device(decision->device);
	struct record record = {};

	if (!d->sysfs->state_dir)
		return;
	(void)record_read(d->sysfs->state_dir, d->bus, d->name, d->inode, &record);
	record.inode = d->inode;
	text_copy(record.owned_override, sizeof(record.owned_override),
		  apply_owns(d, &record, override) ? override : "");
	record.previous_override[0] = '\0';
	if (decision->rule)
		record_describe(&record, decision);
	(void)strcpy(record.state, device_state_to_string(state));
	text_copy(record.reason, sizeof(record.reason), reason);
	(void)apply_write_record(d, NULL, &record);
}

void apply_record_stuck(struct sysfs_device *d, const char *doing)
{
	struct record record = {};

	if (!d->sysfs->state_dir)
		return;
	if (record_read(d->sysfs->state_dir, d->bus, d->name, d->inode, &record) < 0)
		record.inode = d->inode;
	(void)strcpy(record.state, device_state_to_string(STATE_STUCK));
	(void)snprintf(record.reason, sizeof(record.reason), "%s did not come back", doing);
	(void)apply_write_record(d, NULL, &record);
}
