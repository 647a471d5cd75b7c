/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Makes sysfs agree with a decision about one device; see apply.h. */
#include "enforce/apply.h"
#include "base/macro.h"
#include "base/text.h"
#include "sysfs/binding.h"
#include "enforce/apply-record.h"
#include "enforce/in-use-answer.h"
#include "sysfs/override-support.h"
#include "state/device-event.h"
#include "state/evaluate.h"
#include "sysfs/iommu.h"
#include "policy/vfio-driver.h"
#include "state/record.h"
#include "state/record-file.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static void _printf_(3, 4) outcome_set(struct outcome *o, enum device_state state, const char *format, ...)
{
	va_list ap;

	o->state = state;
	va_start(ap, format);
	(void)vsnprintf(o->reason, sizeof(o->reason), format, ap);
	va_end(ap);
}

/* One decision on its way into sysfs. */
struct apply_run {
	const struct decision *decision;
	enum occasion occasion;
	const char *foreign; /* an override that is replaced although it is not ours; "": none */
	struct sysfs_device *d;
	struct record old;    /* what is recorded; empty where there is no record */
	struct record record; /* what is to be recorded */
	struct outcome *outcome;
	/* By what the device was found in use when it was to be moved under this very decision; empty: it was
	 * not. */
	struct in_use_answer use;
	const char *writer; /* the last other program that wrote the override; "": not known */
	bool drifted;	    /* others have changed it, and that is left to them */
	bool is_news;	    /* something else was recorded as decided, or nothing */
	bool asked; /* by a person: the device is probed also where its bus does not do so by itself */
	char record_error[256]; /* with outcome->unrecorded: why */
};

/* A driver is bound that was not decided; nothing is unbound here. */
static void outcome_set_other_driver(struct outcome *o, const struct decision *decision, const char *driver)
{
	o->other_driver = true;
	if (decision->rule && decision->rule->rebind == REBIND_NO)
		outcome_set(o, STATE_BLOCKED, "stays with %s: Rebind=no", driver);
	else
		outcome_set(o, STATE_PENDING, "still bound to %s", driver);
}

/*
 * The driver was asked and has not bound the device. With a new device the kernel's own first probe may still
 * be to come: a PCI device is matched only after its uevent, and until then a probe succeeds without any
 * match.
 */
static void outcome_set_not_bound(struct apply_run *a)
{
	const char *driver = a->decision->driver;
	char supplier[8], hint[256];

	a->outcome->not_bound = true;
	if (a->occasion == OCCASION_ADDED) {
		outcome_set(a->outcome, STATE_PENDING, "%s has not bound it", driver);
		return;
	}
	if (sysfs_device_read(a->d, "waiting_for_supplier", supplier, sizeof(supplier)) >= 0 &&
	    streq(supplier, "1")) {
		outcome_set(a->outcome, STATE_PENDING, "%s has not bound it: it waits for another device",
			    driver);
		return;
	}
	override_support_hint(a->d->sysfs->root, driver, hint, sizeof(hint));
	outcome_set(a->outcome, STATE_FAILED,
		    "%s is registered, was asked to probe it, and has not bound it%s%s", driver,
		    hint[0] ? "; " : "", hint);
}

/* The driver is registered with the bus, and the device has none: has the bus probe it. */
static void probe_by_decided_driver(struct apply_run *a)
{
	const struct decision *decision = a->decision;
	struct outcome *o = a->outcome;
	char driver[BOUND_MAX];
	int r = device_probe(a->d);

	bound_driver(a->d, driver, sizeof(driver));
	if (streq(driver, decision->driver))
		o->state = STATE_ENFORCED;
	else if (driver[0])
		outcome_set_other_driver(o, decision, driver);
	/* drivers_probe says EINVAL whatever is wrong, so look at the group for the reason. */
	else if (r < 0 && !driver_leaves_dma(decision->driver) &&
		 iommu_group_is_owned(a->d, o->reason, sizeof(o->reason)))
		o->state = STATE_HELD;
	else if (r >= 0)
		outcome_set_not_bound(a);
	/* EAGAIN and EINVAL: the device is not ready yet, so the kernel's own first probe is still to come.
	 */
	else if (r == -EAGAIN || r == -EINVAL || r == -ENOENT)
		outcome_set(o, STATE_PENDING, "%s has not bound it", decision->driver);
	else
		outcome_set(o, STATE_FAILED, "probing by %s: %s", decision->driver, strerror(-r));
}

/* The override stands. The driver is left as it is unless the device has none. */
static void settle_driver(struct apply_run *a)
{
	const struct decision *decision = a->decision;
	struct outcome *o = a->outcome;
	char driver[BOUND_MAX];

	bound_driver(a->d, driver, sizeof(driver));
	if (decision->kind == DECISION_NONE) {
		if (driver[0])
			outcome_set_other_driver(o, decision, driver);
		else
			o->state = state_as_decided(decision);
		return;
	}
	if (streq(driver, decision->driver)) {
		o->state = STATE_ENFORCED;
	} else if (driver[0]) {
		outcome_set_other_driver(o, decision, driver);
	} else if (!driver_is_registered(a->d, decision->driver)) {
		o->needs_module = true;
		outcome_set(o, STATE_PENDING, "driver %s is not loaded", decision->driver);
	} else if (!a->asked && bus_is_probed_by_hand(a->d)) {
		outcome_set(o, STATE_PENDING, "drivers_autoprobe of bus %s is 0, so it is not probed",
			    a->d->bus);
	} else {
		probe_by_decided_driver(a);
	}
}

/* A driver that is bound already when an override comes to name it has not come by that override. */
static void record_driver_before(struct apply_run *a)
{
	struct record *record = &a->record;
	char driver[BOUND_MAX];

	bound_driver(a->d, driver, sizeof(driver));
	if (driver[0] && (streq(driver, a->old.driver_before_override) ||
			  (streq(driver, a->decision->driver) && !record_gave(&a->old, driver))))
		text_copy(record->driver_before_override, sizeof(record->driver_before_override), driver);
}

/* The override is what is wanted, or it is somebody else's: then the outcome says so. Nothing is to be
 * written. */
static bool override_is_to_stay(const char *override, const char *want, bool ours, struct outcome *o)
{
	if (streq(override, want))
		return true;
	if (!override[0] || ours)
		return false;
	o->state = STATE_FOREIGN;
	reason_set_foreign(o->reason, sizeof(o->reason), override);
	return true;
}

/*
 * Write-ahead: record first, then write. A reader of our value finds a record that claims it; a crash in
 * between claims a value that is not set, which is harmless. The record names the new override and the one of
 * ours that it replaces (`before`, "": none) until the new one is known to stand, so a crash leaves no doubt
 * about either. Without a record no driver's name is written, since nobody could tell later that it is ours.
 * `none` is written all the same: a quarantine must hold, whatever else fails. An override may be cleared,
 * too.
 */
static bool record_claim_or_refuse(struct apply_run *a, const char *before)
{
	struct record *record = &a->record;
	const char *want = a->decision->driver;
	int r;

	(void)strcpy(record->owned_override, want);
	(void)strcpy(record->previous_override, before);
	record->state = STATE_PENDING;
	r = apply_write_record(a->d, &a->old, record);
	if (r == -ECANCELED) {
		outcome_set_released(a->outcome);
		return false;
	}
	a->outcome->unrecorded = r < 0;
	if (r < 0)
		(void)snprintf(a->record_error, sizeof(a->record_error),
			       "writing the record under %.200s: %s", a->d->sysfs->state_dir, strerror(-r));
	if (r < 0 && a->decision->kind == DECISION_DRIVER) {
		outcome_set(a->outcome, STATE_FAILED, "%s, so the override is not written", a->record_error);
		return false;
	}
	if (r >= 0)
		a->old = *record;
	record->previous_override[0] = '\0';
	return true;
}

/* `override` is to be replaced, and ours if `before` is not "". */
static bool write_override_or_refuse(struct apply_run *a, const char *override, const char *before)
{
	const bool first_probe_is_known = a->old.first_probe != FIRST_PROBE_UNSEEN;
	const char *want = a->decision->driver;
	char now[OVERRIDE_MAX];
	int r;

	if (!record_claim_or_refuse(a, before))
		return false;
	/*
	 * Somebody may have written since we read, mostly the guard, which cannot wait for us. A writer of
	 * the very same value in this moment cannot be told from the guard.
	 */
	if (sysfs_device_override(a->d, now) >= 0 &&
	    override_is_to_stay(now, want, streq(now, override) || apply_is_being_written(a->d, now),
				a->outcome)) {
		if (a->outcome->state == STATE_FOREIGN)
			a->record.owned_override[0] = '\0';
		return a->outcome->state != STATE_FOREIGN;
	}
	r = override_write(a->d, want);
	if (r < 0) {
		(void)strcpy(a->record.owned_override, before);
		outcome_set(a->outcome, STATE_FAILED, "writing %s to driver_override: %s",
			    want[0] ? want : "nothing", strerror(-r));
		return false;
	}
	a->outcome->wrote = true;
	if (!first_probe_is_known)
		a->record.first_probe = apply_first_probe(a->decision, a->occasion);
	return true;
}

/* The device has drifted away from the decision, and this is no occasion to bring it back. */
static bool drift_is_to_stay(struct apply_run *a, const char *override, bool ours)
{
	char driver[BOUND_MAX];

	if (a->occasion != OCCASION_AGAIN)
		return false;
	bound_driver(a->d, driver, sizeof(driver));
	if (!apply_has_drifted(a->decision, &a->old, override, driver))
		return false;
	/* Its override is as decided, so whoever wrote that last did not bring this about. */
	if (streq(override, a->decision->driver))
		a->writer = "";
	a->outcome->state = STATE_PENDING;
	reason_set_drift(a->outcome->reason, sizeof(a->outcome->reason), override, driver);
	a->drifted = true;
	(void)strcpy(a->record.owned_override, ours ? override : "");
	(void)strcpy(a->record.driver_by_override, a->old.driver_by_override);
	return true;
}

static void record_use_before(struct apply_run *a)
{
	const struct record *old = &a->old;

	if (old->state != STATE_BLOCKED || old->rule_id != a->record.rule_id ||
	    !streq(old->decision, a->record.decision))
		return;
	(void)strcpy(a->use.reason, old->reason);
	(void)strcpy(a->use.wait_for, old->wait_for);
}

/*
 * Makes the override as decided. A non-empty `foreign` is overwritten but never recorded, so it stays foreign
 * if a later step fails.
 */
static bool settle_override_or_refuse(struct apply_run *a)
{
	struct sysfs_device *d = a->d;
	const char *want = a->decision->driver;
	char override[OVERRIDE_MAX], before[sizeof(a->record.owned_override)] = "";
	bool ours;
	int r;

	/* Read the override before the record: whoever writes an override has written its record earlier. */
	r = sysfs_device_override(d, override);
	if (!d->sysfs->state_dir || record_read(d->sysfs->state_dir, d->bus, d->name, d->inode, &a->old) < 0)
		a->old = (struct record){};
	a->is_news = record_decision_id(&a->old) != record_decision_id(&a->record);
	record_driver_before(a);
	record_use_before(a);
	if (r < 0) {
		outcome_set(a->outcome, STATE_FAILED, "reading driver_override: %s", strerror(-r));
		/* Whatever stands there, what was ours still is. */
		(void)strcpy(a->record.owned_override, a->old.owned_override);
		(void)strcpy(a->record.previous_override, a->old.previous_override);
		(void)strcpy(a->record.driver_by_override, a->old.driver_by_override);
		return false;
	}
	ours = apply_owns(d, &a->old, override);

	if ((!override[0] || ours || streq(override, want)) && drift_is_to_stay(a, override, ours))
		return false;
	if (override_is_to_stay(override, want, ours || streq(override, a->foreign), a->outcome)) {
		if (ours)
			(void)strcpy(a->record.owned_override, want);
		return a->outcome->state != STATE_FOREIGN;
	}
	if (ours)
		text_copy(before, sizeof(before), override);
	return write_override_or_refuse(a, override, before);
}

/* The override is clear. The device is probed by its own driver if we have cleared it, or the kernel refused
 * it. */
static void settle_default(struct apply_run *a)
{
	const struct decision *decision = a->decision;
	struct record *record = &a->record;
	struct outcome *o = a->outcome;
	char driver[BOUND_MAX];

	bound_driver(a->d, driver, sizeof(driver));
	o->state = STATE_ENFORCED;
	if (!driver[0]) {
		int r = 0;

		/* Whichever driver takes the device now does so by itself. */
		if ((o->wrote || record_is_refused(&a->old)) && (a->asked || !bus_is_probed_by_hand(a->d)))
			r = device_probe(a->d);
		bound_driver(a->d, driver, sizeof(driver));
		/* `drivers_probe` succeeds when no driver matches; that is not an error. */
		if (!driver[0] && (r < 0 ? iommu_group_refuses(a->d, o->reason, sizeof(o->reason))
					 : iommu_group_is_owned(a->d, o->reason, sizeof(o->reason))))
			o->state = STATE_HELD;
		return;
	}
	/* This driver came by our override and would not have come by itself. */
	if (record_gave(&a->old, driver)) {
		text_copy(record->driver_by_override, sizeof(record->driver_by_override), driver);
		if (decision->rule->rebind == REBIND_NO)
			outcome_set_other_driver(o, decision, driver);
		else
			outcome_set(o, STATE_PENDING, "still bound to %s, which came by an override of ours",
				    driver);
	}
}

/* Fills in what is known before anything is done. Refuses where there is nothing to do. */
static bool apply_prepare_or_refuse(const struct decision *decision, enum occasion occasion,
				    const char *foreign, struct apply_run *ret, struct outcome *outcome)
{
	struct sysfs_device *d = to_sysfs_device(decision->device);

	*outcome = (struct outcome){ .state = STATE_UNMANAGED };
	*ret = (struct apply_run){
		.decision = decision,
		.occasion = occasion,
		.foreign = foreign,
		.d = d,
		.outcome = outcome,
		.writer = "",
	};
	switch (decision->kind) {
	case DECISION_NOTHING:
	case DECISION_LEFT:
	case DECISION_BRIDGE:
		return false;
	case DECISION_UNKNOWN:
		outcome->state = STATE_PENDING;
		decision_missing_text(decision, outcome->reason, sizeof(outcome->reason));
		return false;
	case DECISION_NONE:
	case DECISION_DRIVER:
	case DECISION_DEFAULT:
		break;
	}
	if (apply_is_released(d)) {
		outcome_set_released(outcome);
		return false;
	}

	record_describe(&ret->record, decision);
	ret->record.inode = d->inode;
	return true;
}

/*
 * The override was written without a record. Whatever came of it, a step has failed: nobody will know that
 * the override is ours.
 */
static void outcome_say_unrecorded(struct apply_run *a)
{
	if (a->outcome->state == STATE_FAILED)
		return;
	outcome_set(a->outcome, STATE_FAILED, "%s; the override is %s all the same", a->record_error,
		    a->decision->driver[0] ? "written" : "cleared");
}

static void apply_save_record(struct apply_run *a)
{
	struct record *record = &a->record;

	/* Meanwhile, by a person; its record says so and nothing else. */
	if (a->outcome->released)
		return;
	/* It is no failure that a device goes away while it is looked at. */
	if (a->outcome->state == STATE_FAILED && sysfs_device_is_gone(a->d)) {
		a->outcome->gone = true;
		outcome_set(a->outcome, STATE_PENDING, "the device has gone");
		return;
	}

	/* Nothing was learnt about the use here, so it is waited for as before. */
	if (a->use.wait_for[0] && a->outcome->other_driver && a->outcome->state == STATE_PENDING) {
		outcome_set(a->outcome, STATE_BLOCKED, "%s", a->use.reason);
		(void)strcpy(record->wait_for, a->use.wait_for);
	}
	record->state = a->outcome->state;
	(void)strcpy(record->reason, a->outcome->reason);
	if (record->first_probe == FIRST_PROBE_UNSEEN)
		record->first_probe = a->old.first_probe;
	/* `enforced` belongs to one decision. Under another one, differences were made by us and are not
	 * drift. */
	if (a->outcome->state == state_as_decided(a->decision) ||
	    a->old.enforced == record_decision_id(record))
		record->enforced = record_decision_id(record);
	if (a->outcome->unrecorded)
		outcome_say_unrecorded(a);
	else
		a->outcome->unrecorded = !apply_write_record_or_log(a->d, &a->old, record);
	if (a->is_news)
		device_event_log_decision(a->d->bus, a->d->name, record);
}

void apply_override(const struct decision *decision, enum occasion occasion, struct outcome *ret)
{
	struct apply_run a;

	if (!apply_prepare_or_refuse(decision, occasion, "", &a, ret))
		return;
	if (settle_override_or_refuse(&a))
		ret->state = STATE_PENDING;
	/* An override that stood has its record already, and so has one that was written. */
	if (!ret->wrote && ret->state == STATE_PENDING)
		return;
	apply_log_others(decision, &a.old, a.writer, a.drifted, ret);
	apply_save_record(&a);
}

static void apply_replacing(struct apply_run *a)
{
	const struct decision *decision = a->decision;

	if (settle_override_or_refuse(a)) {
		if (decision->kind == DECISION_DEFAULT) {
			settle_default(a);
		} else {
			settle_driver(a);
			apply_recheck_first_probe(a->decision, a->occasion, &a->old, &a->record);
		}
		outcome_add_iommu(decision, a->outcome);
		outcome_add_vfio(decision, &a->old, a->outcome);
	}
	apply_log_others(decision, &a->old, a->writer, a->drifted, a->outcome);
	apply_save_record(a);
}

void apply_decision(const struct decision *decision, enum occasion occasion, struct outcome *ret)
{
	struct apply_run a;

	if (apply_prepare_or_refuse(decision, occasion, "", &a, ret))
		apply_replacing(&a);
}

void apply_decision_over(const struct decision *decision, const char *override, struct outcome *ret)
{
	struct apply_run a;

	if (!apply_prepare_or_refuse(decision, OCCASION_LATER, override, &a, ret))
		return;
	a.asked = true;
	apply_replacing(&a);
}

void apply_decision_after(const struct decision *decision, const char *writer, struct outcome *ret)
{
	struct apply_run a;

	if (!apply_prepare_or_refuse(decision, OCCASION_AGAIN, "", &a, ret))
		return;
	a.writer = writer;
	apply_replacing(&a);
}
