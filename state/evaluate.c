/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* State and Reason of a device; see evaluate.h. */
#include "state/evaluate.h"
#include "base/macro.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static void _printf_(3, 4)
	evaluation_set(struct device_evaluation *e, enum device_state state, const char *format, ...)
{
	va_list ap;

	e->state = state;
	va_start(ap, format);
	(void)vsnprintf(e->reason, sizeof(e->reason), format, ap);
	va_end(ap);
}

/* What a reason of drift begins with. */
#define DRIFTED "drifted: "

void reason_set_foreign(char *buf, size_t size, const char *override)
{
	(void)snprintf(buf, size, "driver_override is %.100s, which was not set by policy", override);
}

void reason_set_drift(char *buf, size_t size, const char *override, const char *driver)
{
	(void)snprintf(buf, size, DRIFTED "driver_override is %.100s, driver is %.100s",
		       override[0] ? override : "empty", driver[0] ? driver : "none");
}

bool reason_tells(const char *recorded, const char *reason)
{
	const char *rest = startswith(recorded, reason);

	return rest && (!*rest || startswith(rest, "; "));
}

bool record_tells_of_others(const struct record *record)
{
	return record->state == STATE_FOREIGN ||
	       (record->state == STATE_PENDING && startswith(record->reason, DRIFTED));
}

enum device_state state_as_decided(const struct decision *decision)
{
	return decision->kind == DECISION_NONE && decision->cause == CAUSE_GROUP ? STATE_HELD
										 : STATE_ENFORCED;
}

static bool override_is_ours(const struct device_observation *o)
{
	return o->record && record_owns(o->record, o->override);
}

static bool record_has_state(const struct device_observation *o, enum device_state state)
{
	return o->record && o->record->state == state;
}

/* The kernel refused it its driver at the last attempt. */
static bool driver_is_refused(const struct device_observation *o)
{
	return o->record && record_is_refused(o->record) && !o->driver[0];
}

/* Why the kernel keeps drivers off the device: as it is now, or as it was at the last attempt. */
static const char *refusal_reason(const struct device_observation *o)
{
	return o->kept_off[0] ? o->kept_off : o->record->reason;
}

/* This very decision was in force at some time since the device was added; others made what differs now. */
static bool decision_was_enforced(const struct device_observation *o)
{
	return o->record && record_was_enforced(o->record, o->decision);
}

bool observation_has_wrong_driver(const struct device_observation *o)
{
	switch (o->decision->kind) {
	case DECISION_DRIVER:
		return o->driver[0] && !streq(o->driver, o->decision->driver);
	case DECISION_NONE:
		return o->driver[0];
	case DECISION_DEFAULT:
	case DECISION_NOTHING:
	case DECISION_LEFT:
	case DECISION_BRIDGE:
		/* An override of ours brought it, and it would not have come by itself. */
		return o->record && record_gave(o->record, o->driver);
	case DECISION_UNKNOWN:
		break;
	}
	return false;
}

bool observation_is_as_decided(const struct device_observation *o)
{
	if (observation_has_wrong_driver(o) || !streq(o->override, o->decision->driver))
		return false;
	switch (o->decision->kind) {
	case DECISION_NONE:
		return true;
	case DECISION_DRIVER:
		return o->driver[0];
	case DECISION_DEFAULT:
		/* A device that was refused its driver is to get it when its group is free. */
		return o->driver[0] || !(o->kept_off[0] || driver_is_refused(o));
	case DECISION_NOTHING:
	case DECISION_LEFT:
	case DECISION_BRIDGE:
	case DECISION_UNKNOWN:
		break;
	}
	return false;
}

/* Nothing is decided: an override is left over from a former rule of ours, or is foreign, or there is none.
 */
static void evaluate_undecided(const struct device_observation *o, struct device_evaluation *e)
{
	if (override_is_ours(o) || (o->record && o->record->driver_by_override[0] &&
				    streq(o->driver, o->record->driver_by_override))) {
		evaluation_set(e, record_has_state(o, STATE_BLOCKED) ? STATE_BLOCKED : STATE_PENDING,
			       "its rule is gone; to be given back to its own driver%s%s",
			       o->record->reason[0] ? ": " : "", o->record->reason);
		e->action = ACTION_GIVE_BACK;
	} else if (o->override[0]) {
		e->state = STATE_FOREIGN;
		reason_set_foreign(e->reason, sizeof(e->reason), o->override);
	} else if (driver_is_refused(o)) {
		evaluation_set(e, o->kept_off[0] ? STATE_HELD : STATE_PENDING, "%s", refusal_reason(o));
		e->action = ACTION_GIVE_BACK;
	} else if (o->kept_off[0])
		evaluation_set(e, STATE_HELD, "%s", o->kept_off);
	else if (o->decision->group_unknown && !o->driver[0] && o->iommu)
		evaluation_set(e, STATE_UNMANAGED, "%s; a rule of a member may decide then", o->iommu);
	else
		evaluation_set(e, STATE_UNMANAGED, "%s", "");
	if (e->state == STATE_UNMANAGED && o->decision->kind == DECISION_NOTHING && o->record &&
	    record_is_left_over(o->record))
		e->action = ACTION_GIVE_BACK;
}

/* Others made the difference. Once that is recorded, the record may also say who it was. */
static void evaluate_others(const struct device_observation *o, bool same, enum device_state state,
			    const char *reason, struct device_evaluation *e)
{
	bool recorded = same && record_has_state(o, state) && reason_tells(o->record->reason, reason);

	evaluation_set(e, state, "%s", recorded ? o->record->reason : reason);
	e->action = recorded ? ACTION_NONE : ACTION_NOTE;
}

/*
 * Something is decided, and the device differs from it. What the enforcer recorded about the device is
 * repeated as long as it is about this decision.
 */
static void evaluate_difference(const struct device_observation *o, struct device_evaluation *e)
{
	const struct decision *d = o->decision;
	const char *want = decision_text(d);
	bool same = o->record && streq(o->record->decision, want) && o->record->rule_id == rule_id(d->rule);
	char reason[512];

	e->action = decision_was_enforced(o) ? ACTION_NONE : ACTION_REBIND;
	if (record_has_state(o, STATE_STUCK))
		evaluation_set(e, STATE_STUCK, "%s", o->record->reason);
	else if (o->override[0] && !streq(o->override, d->driver) && !override_is_ours(o)) {
		reason_set_foreign(reason, sizeof(reason), o->override);
		evaluate_others(o, same, STATE_FOREIGN, reason, e);
	} else if (o->kept_off[0] || (same && driver_is_refused(o)))
		evaluation_set(e, STATE_HELD, "%s", refusal_reason(o));
	else if (decision_was_enforced(o)) {
		reason_set_drift(reason, sizeof(reason), o->override, o->driver);
		evaluate_others(o, same, STATE_PENDING, reason, e);
	} else if (same && (record_has_state(o, STATE_FAILED) || record_has_state(o, STATE_PENDING)))
		evaluation_set(e, o->record->state, "%s", o->record->reason);
	else if (same && record_has_state(o, STATE_BLOCKED) && o->driver[0])
		evaluation_set(e, STATE_BLOCKED, "%s", o->record->reason);
	else
		evaluation_set(e, STATE_PENDING, "driver_override is %.100s, driver is %.100s",
			       o->override[0] ? o->override : "empty", o->driver[0] ? o->driver : "none");
}

/* Adds what the IOMMU means for a device that is to have a VFIO driver. */
static void evaluation_add_iommu(const struct device_observation *o, struct device_evaluation *e)
{
	const size_t n = strlen(e->reason);

	if (!o->unreadable && o->iommu && o->decision->kind == DECISION_DRIVER &&
	    (o->iommu_is_fake || e->state != STATE_ENFORCED) && !strstr(e->reason, o->iommu))
		(void)snprintf(e->reason + n, sizeof(e->reason) - n, "%s%s", n > 0 ? "; " : "", o->iommu);
}

/* Adds that `vfio` could not be told apart, unless what is recorded says so already. */
static void evaluation_add_vfio(const struct device_observation *o, struct device_evaluation *e)
{
	const size_t n = strlen(e->reason);
	char note[DECISION_NOTE_MAX];

	decision_vfio_note(o->decision, note);
	if (!o->unreadable && note[0] && !strstr(e->reason, note))
		(void)snprintf(e->reason + n, sizeof(e->reason) - n, "%s%s", n > 0 ? "; " : "", note);
}

static void evaluate_observation(const struct device_observation *o, struct device_evaluation *e)
{
	const struct decision *d = o->decision;

	if (o->unreadable) {
		evaluation_set(e, STATE_STUCK, "reading its files in sysfs did not come back");
		return;
	}
	switch (d->kind) {
	case DECISION_NOTHING:
	case DECISION_LEFT:
	case DECISION_BRIDGE:
		evaluate_undecided(o, e);
		return;
	case DECISION_UNKNOWN:
		e->state = STATE_PENDING;
		decision_missing_text(d, e->reason, sizeof(e->reason));
		return;
	case DECISION_NONE:
	case DECISION_DRIVER:
	case DECISION_DEFAULT:
		break;
	}
	if (!observation_is_as_decided(o)) {
		evaluate_difference(o, e);
		return;
	}
	e->state = state_as_decided(d);
	if (!decision_was_enforced(o))
		e->action = ACTION_RECORD;
	else if (!record_has_state(o, e->state))
		e->action = ACTION_NOTE;
}

/* A person has had it given back: it is as if nothing were decided, whatever is. */
static void evaluate_released(const struct device_observation *o, struct device_evaluation *e)
{
	static const struct decision nothing = { .kind = DECISION_NOTHING };
	struct device_observation released = *o;

	released.decision = &nothing;
	released.iommu = NULL;
	evaluate_undecided(&released, e);
	if (record_has_state(o, STATE_STUCK)) {
		evaluation_set(e, STATE_STUCK, "%s", o->record->reason);
		e->action = ACTION_GIVE_BACK;
	}
	if (e->state == STATE_UNMANAGED)
		evaluation_set(e, STATE_UNMANAGED, "%s", REASON_RELEASED);
}

void device_state_evaluate(const struct device_observation *observation, struct device_evaluation *ret)
{
	*ret = (struct device_evaluation){ .state = STATE_UNMANAGED };
	if (observation->record && observation->record->released && !observation->unreadable) {
		evaluate_released(observation, ret);
		return;
	}
	evaluate_observation(observation, ret);
	evaluation_add_iommu(observation, ret);
	evaluation_add_vfio(observation, ret);
}
