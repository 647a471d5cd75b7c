/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a record says; see record.h. */
#include "state/record.h"
#include "base/hash.h"
#include "base/macro.h"
#include "base/text.h"
#include "policy/decide.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

bool record_equal(const struct record *a, const struct record *b)
{
	return a->inode == b->inode && a->rule_id == b->rule_id && a->enforced == b->enforced &&
	       streq(a->owned_override, b->owned_override) &&
	       streq(a->driver_by_override, b->driver_by_override) &&
	       streq(a->driver_before_override, b->driver_before_override) &&
	       streq(a->decision, b->decision) && streq(a->cause, b->cause) && streq(a->rule, b->rule) &&
	       streq(a->source, b->source) && streq(record_state_text(a), record_state_text(b)) &&
	       streq(a->reason, b->reason) && streq(a->wait_for, b->wait_for) &&
	       a->first_probe == b->first_probe && a->released == b->released;
}

const char *record_state_text(const struct record *record)
{
	return record->state == STATE_UNKNOWN ? record->unknown_state : device_state_to_string(record->state);
}

bool record_is_refused(const struct record *record)
{
	/* A companion that `none` bars is held as well, and has no driver to come. */
	return record->state == STATE_HELD && !streq(record->decision, "none");
}

bool record_is_left_over(const struct record *record)
{
	return !record->released && record->state != STATE_UNMANAGED && !record->owned_override[0] &&
	       !record->previous_override[0] && !record->driver_by_override[0];
}

bool record_owns(const struct record *record, const char *override)
{
	return override[0] &&
	       (streq(override, record->owned_override) || streq(override, record->previous_override));
}

bool record_gave(const struct record *record, const char *driver)
{
	return driver[0] && !streq(driver, record->driver_before_override) &&
	       (streq(driver, record->owned_override) || streq(driver, record->previous_override) ||
		streq(driver, record->driver_by_override));
}

void record_describe(struct record *record, const struct decision *decision)
{
	text_copy(record->decision, sizeof(record->decision), decision_text(decision));
	(void)strcpy(record->cause, decision->cause == CAUSE_GROUP ? "group" : "rule");
	text_copy(record->rule, sizeof(record->rule), decision->rule->label);
	rule_source(decision->rule, record->source, sizeof(record->source));
	record->rule_id = rule_id(decision->rule);
}

uint64_t record_decision_id(const struct record *record)
{
	uint64_t id = fnv1a(FNV_BASIS, &record->rule_id, sizeof(record->rule_id));

	id = fnv1a(id, record->decision, strlen(record->decision) + 1);
	id = fnv1a(id, record->cause, strlen(record->cause));
	return id ? id : 1;
}

bool record_was_enforced(const struct record *record, const struct decision *decision)
{
	struct record now = {};

	if (!decision->rule)
		return false;
	record_describe(&now, decision);
	return record->enforced == record_decision_id(&now);
}

void record_merge(struct record *merged, const struct record *now)
{
	if (now) {
		merged->first_probe = first_probe_merge(now->first_probe, merged->first_probe);
		if (!merged->enforced)
			merged->enforced = now->enforced;
		/*
		 * Another of our programs has written the override since the caller looked, and it is the
		 * very value that was decided here; not when the caller has just seen that it does not stand.
		 */
		if (!merged->owned_override[0] && now->owned_override[0] &&
		    streq(now->owned_override, merged->decision) && merged->state != STATE_FOREIGN &&
		    merged->state != STATE_FAILED)
			(void)strcpy(merged->owned_override, now->owned_override);
	}
	/* `enforced` belongs to one decision. Under another decision, differences were made by us and are not
	 * drift. */
	if (merged->state == STATE_STUCK || record_is_refused(merged) ||
	    merged->enforced != record_decision_id(merged))
		merged->enforced = 0;
}
