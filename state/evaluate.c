/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* State and Reason of a device; see evaluate.h. The words are the contract's. */
#include "state/evaluate.h"
#include "base/macro.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static void _printf_(3, 4)
	become(struct device_evaluation *v, enum device_state state, const char *format, ...)
{
	va_list ap;

	v->state = state;
	va_start(ap, format);
	(void)vsnprintf(v->reason, sizeof(v->reason), format, ap);
	va_end(ap);
}

enum device_state state_as_decided(const struct decision *decision)
{
	return decision->kind == DECISION_NONE && decision->cause == CAUSE_GROUP ? STATE_HELD
										 : STATE_ENFORCED;
}

static bool is_ours(const struct device_observation *s)
{
	return s->record && record_owns(s->record, s->override);
}

/* Bound by an override of ours, and would not be by itself. */
static bool is_given(const struct device_observation *s)
{
	return s->record && record_gave(s->record, s->driver);
}

static bool recorded_as(const struct device_observation *s, enum device_state state)
{
	return s->record && s->record->state == state;
}

/* The kernel has refused it its driver when it was tried last. */
static bool is_refused(const struct device_observation *s)
{
	return s->record && record_is_refused(s->record) && !s->driver[0];
}

/* Of one that is kept off or refused: as it is now, or as it was found then. */
static const char *refusal(const struct device_observation *s)
{
	return s->kept_off[0] ? s->kept_off : s->record->reason;
}

/* This very decision was in force at some time since the device was added: what differs, others did since. */
static bool was_enforced(const struct device_observation *s)
{
	return s->record && record_was_enforced(s->record, s->decision);
}

/* Nothing is decided: what stands there is ours from before, somebody else's, or nothing. */
static void without_decision(const struct device_observation *s, struct device_evaluation *v)
{
	if (is_ours(s) || (s->record && s->record->driver_by_override[0] &&
			   streq(s->driver, s->record->driver_by_override))) {
		become(v, recorded_as(s, STATE_BLOCKED) ? STATE_BLOCKED : STATE_PENDING,
		       "its rule is gone; to be given back to its own driver%s%s",
		       s->record->reason[0] ? ": " : "", s->record->reason);
		v->advice = ACTION_GIVE_BACK;
	} else if (s->override[0])
		become(v, STATE_FOREIGN, "driver_override is %.100s, which was not set by policy",
		       s->override);
	else if (is_refused(s)) {
		become(v, s->kept_off[0] ? STATE_HELD : STATE_PENDING, "%s", refusal(s));
		v->advice = ACTION_GIVE_BACK;
	} else if (s->kept_off[0])
		become(v, STATE_HELD, "%s", s->kept_off);
	else if (s->decision->group_unknown && !s->driver[0] && s->iommu)
		become(v, STATE_UNMANAGED, "%s; a rule of a member may decide then", s->iommu);
	else
		become(v, STATE_UNMANAGED, "%s", "");
}

static bool is_as_decided(const struct device_observation *s)
{
	switch (s->decision->kind) {
	case DECISION_NONE:
		return streq(s->override, "none") && !s->driver[0];
	case DECISION_DRIVER:
		return streq(s->override, s->decision->driver) && streq(s->driver, s->decision->driver);
	case DECISION_DEFAULT:
		/* One that was refused its driver is to get it when its group is free. */
		return !s->override[0] && !is_given(s) &&
		       !(!s->driver[0] && (s->kept_off[0] || is_refused(s)));
	case DECISION_NOTHING:
	case DECISION_UNKNOWN:
		break;
	}
	return false;
}

/* Decided, and not so. What the enforcer wrote down about it is said as long as it is about this decision. */
static void not_as_decided(const struct device_observation *s, struct device_evaluation *v)
{
	const struct decision *d = s->decision;
	const char *want = decision_text(d);
	bool same = s->record && streq(s->record->decision, want) && s->record->rule_id == rule_id(d->rule);

	v->advice = was_enforced(s) ? ACTION_NONE : ACTION_REBIND;
	if (recorded_as(s, STATE_STUCK))
		become(v, STATE_STUCK, "%s", s->record->reason);
	else if (s->override[0] && !streq(s->override, d->driver) && !is_ours(s)) {
		become(v, STATE_FOREIGN, "driver_override is %.100s, which was not set by policy",
		       s->override);
		v->advice = ACTION_NONE;
	} else if (s->kept_off[0] || (same && is_refused(s)))
		become(v, STATE_HELD, "%s", refusal(s));
	else if (was_enforced(s))
		become(v, STATE_PENDING, "drifted: driver_override is %.100s, driver is %.100s",
		       s->override[0] ? s->override : "empty", s->driver[0] ? s->driver : "none");
	else if (same && (recorded_as(s, STATE_FAILED) || recorded_as(s, STATE_PENDING)))
		become(v, s->record->state, "%s", s->record->reason);
	else if (same && recorded_as(s, STATE_BLOCKED) && s->driver[0])
		become(v, STATE_BLOCKED, "%s", s->record->reason);
	else
		become(v, STATE_PENDING, "driver_override is %.100s, driver is %.100s",
		       s->override[0] ? s->override : "empty", s->driver[0] ? s->driver : "none");
}

/* Of a device that is for VFIO: what it means that no IOMMU stands behind it. */
static void mind_iommu(const struct device_observation *s, struct device_evaluation *v)
{
	const size_t n = strlen(v->reason);

	if (!s->unreadable && s->iommu && s->decision->kind == DECISION_DRIVER &&
	    (s->iommu_is_fake || v->state != STATE_ENFORCED) && !strstr(v->reason, s->iommu))
		(void)snprintf(v->reason + n, sizeof(v->reason) - n, "%s%s", n > 0 ? "; " : "", s->iommu);
}

static void reach(const struct device_observation *s, struct device_evaluation *v)
{
	const struct decision *d = s->decision;

	*v = (struct device_evaluation){ .state = STATE_UNMANAGED };
	if (s->unreadable) {
		become(v, STATE_STUCK, "reading its files in sysfs did not come back");
		return;
	}
	switch (d->kind) {
	case DECISION_NOTHING:
		without_decision(s, v);
		return;
	case DECISION_UNKNOWN:
		become(v, STATE_PENDING, "%s of %s:%u cannot be compared yet",
		       d->missing == FACT_COUNT ? "the IOMMU group" : fact_key(d->missing), d->rule->file,
		       d->rule->line);
		return;
	case DECISION_NONE:
	case DECISION_DRIVER:
	case DECISION_DEFAULT:
		break;
	}
	if (!is_as_decided(s)) {
		not_as_decided(s, v);
		return;
	}
	v->state = state_as_decided(d);
	if (!was_enforced(s))
		v->advice = ACTION_RECORD;
}

void device_state_evaluate(const struct device_observation *s, struct device_evaluation *v)
{
	reach(s, v);
	mind_iommu(s, v);
}
