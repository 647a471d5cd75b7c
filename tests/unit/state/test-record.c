/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a record keeps of the one that another program wrote meanwhile. No files here. */
#include "base/macro.h"
#include "base/text.h"
#include "state/record.h"
#include "tests/unit/fixtures/suite.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* A record of a decision for vfio-pci. */
static struct record record_new(enum device_state state, const char *owned)
{
	struct record record = { .state = state, .rule_id = 7 };

	(void)strcpy(record.decision, "vfio-pci");
	(void)strcpy(record.cause, "rule");
	text_copy(record.owned_override, sizeof(record.owned_override), owned);
	return record;
}

START_TEST(override_that_another_program_wrote_stays_ours)
{
	static const struct {
		enum device_state state;
		const char *mine, *now, *expected;
	} cases[] = {
		{ STATE_PENDING, "", "vfio-pci", "vfio-pci" },
		{ STATE_PENDING, "", "", "" },
		{ STATE_PENDING, "vfio-pci", "other", "vfio-pci" },
		/* Not the decided value. */
		{ STATE_PENDING, "", "other", "" },
		/* The caller has just seen that it does not stand. */
		{ STATE_FOREIGN, "", "vfio-pci", "" },
		{ STATE_FAILED, "", "vfio-pci", "" },
	};

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		struct record merged = record_new(cases[i].state, cases[i].mine);
		const struct record now = record_new(STATE_PENDING, cases[i].now);

		record_merge(&merged, &now);
		ck_assert_msg(streq(merged.owned_override, cases[i].expected), "row %zu: %s", i,
			      merged.owned_override);
	}
}
END_TEST

START_TEST(enforced_is_kept_for_the_same_decision_only)
{
	struct record merged, now = record_new(STATE_ENFORCED, "vfio-pci");

	now.enforced = record_decision_id(&now);
	merged = record_new(STATE_PENDING, "vfio-pci");
	record_merge(&merged, &now);
	ck_assert_uint_eq(merged.enforced, now.enforced);

	merged = record_new(STATE_PENDING, "vfio-pci");
	merged.rule_id++;
	record_merge(&merged, &now);
	ck_assert_uint_eq(merged.enforced, 0);

	merged = record_new(STATE_PENDING, "vfio-pci");
	merged.enforced = now.enforced + 1;
	record_merge(&merged, NULL);
	ck_assert_uint_eq(merged.enforced, 0);
}
END_TEST

START_TEST(stuck_or_refused_device_was_not_enforced)
{
	static const enum device_state states[] = { STATE_STUCK, STATE_HELD };

	for (size_t i = 0; i < ELEMENTSOF(states); i++) {
		struct record merged = record_new(states[i], "vfio-pci");

		merged.enforced = record_decision_id(&merged);
		record_merge(&merged, NULL);
		ck_assert_uint_eq(merged.enforced, 0);
	}
}
END_TEST

SUITE_MAIN("record", 20, override_that_another_program_wrote_stays_ours,
	   enforced_is_kept_for_the_same_decision_only, stuck_or_refused_device_was_not_enforced)
