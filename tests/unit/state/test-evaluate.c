/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* State, reason and pending action from a decision, a record and what was observed: no files at all. */
#include "base/macro.h"
#include "base/text.h"
#include "policy/decide.h"
#include "state/evaluate.h"
#include "state/record.h"
#include "tests/unit/fixtures/parse-policy.h"
#include "tests/unit/fixtures/suite.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define KEPT "its group is in use"
#define IOMMU "there is no IOMMU"

/* What the record says of the decision. */
enum about {
	NO_RECORD,
	THIS,	  /* the very decision */
	ANOTHER,  /* another one */
	ENFORCED, /* the very decision, which was enforced once */
};

struct evaluate_case {
	enum decision_kind kind;
	enum decision_cause cause;
	bool group_unknown;
	enum about about;
	enum device_state recorded;
	const char *recorded_reason;		  /* NULL: "as recorded" */
	const char *owned, *by_override, *before; /* NULL: "" */
	const char *override, *driver, *kept_off; /* NULL: "" */
	bool unreadable;
	const char *iommu;
	bool iommu_is_fake;
	enum device_state state;
	enum pending_action action;
	const char *reason; /* all of it */
};

static const char *or_empty(const char *s)
{
	return s ? s : "";
}

static void record_fill(struct record *record, const struct evaluate_case *c, const struct decision *decision,
			const struct rule *other)
{
	struct decision recorded = *decision;

	if (c->about == ANOTHER || !decision->rule)
		recorded.rule = other;
	record_describe(record, &recorded);
	record->state = c->recorded;
	text_copy(record->owned_override, sizeof(record->owned_override), or_empty(c->owned));
	text_copy(record->driver_by_override, sizeof(record->driver_by_override), or_empty(c->by_override));
	text_copy(record->driver_before_override, sizeof(record->driver_before_override),
		  or_empty(c->before));
	(void)strcpy(record->reason, c->recorded_reason ? c->recorded_reason : "as recorded");
	if (c->about == ENFORCED)
		record->enforced = record_decision_id(record);
}

static void check_case(const struct evaluate_case *c, size_t i)
{
	struct policy *policy = rules_of("[device x]\nName=x\nDriver=vfio-pci\n"
					 "[device y]\nName=y\nDriver=none\n");
	struct decision decision = {
		.kind = c->kind,
		.cause = c->cause,
		.group_unknown = c->group_unknown,
		.missing = { .fact = FACT_COUNT, .what = "the IOMMU group", .error = -EAGAIN },
		.rule = c->kind == DECISION_NOTHING ? NULL : policy->rules[0]
	};
	struct device_observation o = { .decision = &decision,
					.override = or_empty(c->override),
					.driver = or_empty(c->driver),
					.kept_off = or_empty(c->kept_off),
					.unreadable = c->unreadable,
					.iommu = c->iommu,
					.iommu_is_fake = c->iommu_is_fake };
	struct device_evaluation e;
	struct record record = {};

	if (c->kind == DECISION_NONE)
		(void)strcpy(decision.driver, "none");
	else if (c->kind == DECISION_DRIVER)
		(void)strcpy(decision.driver, "vfio-pci");
	if (c->about != NO_RECORD) {
		record_fill(&record, c, &decision, policy->rules[1]);
		o.record = &record;
	}
	device_state_evaluate(&o, &e);
	ck_assert_msg(e.state == c->state && e.action == c->action && streq(e.reason, c->reason),
		      "row %zu: %s, action %d: %s", i, device_state_to_string(e.state), (int)e.action,
		      e.reason);
	/* What is as decided has nothing left to do but to be recorded, and no driver to be taken from. */
	if (observation_is_as_decided(&o) && !c->unreadable) {
		ck_assert_int_eq(e.state, state_as_decided(&decision));
		ck_assert(!observation_has_wrong_driver(&o));
	}
}

#define CHECK_CASES(cases)                                                                                   \
	for (size_t i = 0; i < ELEMENTSOF(cases); i++)                                                       \
	check_case(&(cases)[i], i)

#define FOREIGN "driver_override is other, which was not set by policy"
#define DRIFT "drifted: driver_override is vfio-pci, driver is nvme"
#define NOT_YET "driver_override is empty, driver is none"

static const struct evaluate_case decided_driver_cases[] = {
#define ROW .kind = DECISION_DRIVER
	{ ROW, .override = "vfio-pci", .driver = "vfio-pci", .state = STATE_ENFORCED, .action = ACTION_RECORD,
	  .reason = "" },
	{ ROW, .override = "vfio-pci", .driver = "vfio-pci", .about = ENFORCED, .recorded = STATE_ENFORCED,
	  .owned = "vfio-pci", .state = STATE_ENFORCED, .reason = "" },
	{ ROW, .state = STATE_PENDING, .action = ACTION_REBIND, .reason = NOT_YET },
	{ ROW, .override = "vfio-pci", .state = STATE_PENDING, .action = ACTION_REBIND,
	  .reason = "driver_override is vfio-pci, driver is none" },
	{ ROW, .driver = "vfio-pci", .state = STATE_PENDING, .action = ACTION_REBIND,
	  .reason = "driver_override is empty, driver is vfio-pci" },
	{ ROW, .override = "vfio-pci", .driver = "nvme", .state = STATE_PENDING, .action = ACTION_REBIND,
	  .reason = "driver_override is vfio-pci, driver is nvme" },
	/* What others changed after it was enforced is shown, recorded, and left alone. */
	{ ROW, .override = "vfio-pci", .driver = "nvme", .about = ENFORCED, .recorded = STATE_ENFORCED,
	  .owned = "vfio-pci", .state = STATE_PENDING, .action = ACTION_NOTE, .reason = DRIFT },
	{ ROW, .override = "vfio-pci", .driver = "nvme", .about = ENFORCED, .recorded = STATE_PENDING,
	  .recorded_reason = DRIFT, .state = STATE_PENDING, .reason = DRIFT },
	{ ROW, .override = "other", .driver = "other", .state = STATE_FOREIGN, .action = ACTION_NOTE,
	  .reason = FOREIGN },
	{ ROW, .override = "other", .about = THIS, .recorded = STATE_PENDING, .owned = "vfio-pci",
	  .state = STATE_FOREIGN, .action = ACTION_NOTE, .reason = FOREIGN },
	/* A record may tell who it was; but not about another override, or another state. */
	{ ROW, .override = "other", .about = THIS, .recorded = STATE_FOREIGN,
	  .recorded_reason = FOREIGN "; written by sh (pid 1)", .state = STATE_FOREIGN,
	  .reason = FOREIGN "; written by sh (pid 1)" },
	{ ROW, .override = "other", .about = ANOTHER, .recorded = STATE_FOREIGN, .recorded_reason = FOREIGN,
	  .state = STATE_FOREIGN, .action = ACTION_NOTE, .reason = FOREIGN },
	{ ROW, .override = "third", .about = THIS, .recorded = STATE_FOREIGN, .recorded_reason = FOREIGN,
	  .state = STATE_FOREIGN, .action = ACTION_NOTE,
	  .reason = "driver_override is third, which was not set by policy" },
	{ ROW, .override = "other", .about = THIS, .recorded = STATE_FOREIGN,
	  .recorded_reason = FOREIGN " of ours", .state = STATE_FOREIGN, .action = ACTION_NOTE,
	  .reason = FOREIGN },
	/* As decided again, and the record does not say so yet. */
	{ ROW, .override = "vfio-pci", .driver = "vfio-pci", .about = ENFORCED, .recorded = STATE_FOREIGN,
	  .state = STATE_ENFORCED, .action = ACTION_NOTE, .reason = "" },
	/* Ours from another decision. */
	{ ROW, .override = "other", .about = ANOTHER, .recorded = STATE_ENFORCED, .owned = "other",
	  .state = STATE_PENDING, .action = ACTION_REBIND,
	  .reason = "driver_override is other, driver is none" },
	/* Records of this decision are repeated, those of another one are not. */
	{ ROW, .driver = "nvme", .about = THIS, .recorded = STATE_FAILED, .state = STATE_FAILED,
	  .action = ACTION_REBIND, .reason = "as recorded" },
	{ ROW, .driver = "nvme", .about = THIS, .recorded = STATE_PENDING, .state = STATE_PENDING,
	  .action = ACTION_REBIND, .reason = "as recorded" },
	{ ROW, .driver = "nvme", .about = THIS, .recorded = STATE_BLOCKED, .state = STATE_BLOCKED,
	  .action = ACTION_REBIND, .reason = "as recorded" },
	{ ROW, .about = THIS, .recorded = STATE_BLOCKED, .state = STATE_PENDING, .action = ACTION_REBIND,
	  .reason = NOT_YET },
	{ ROW, .about = THIS, .recorded = STATE_UNKNOWN, .state = STATE_PENDING, .action = ACTION_REBIND,
	  .reason = NOT_YET },
	{ ROW, .about = ANOTHER, .recorded = STATE_FAILED, .state = STATE_PENDING, .action = ACTION_REBIND,
	  .reason = NOT_YET },
	{ ROW, .about = ANOTHER, .recorded = STATE_STUCK, .state = STATE_STUCK, .action = ACTION_REBIND,
	  .reason = "as recorded" },
	{ ROW, .about = ENFORCED, .recorded = STATE_STUCK, .override = "other", .state = STATE_STUCK,
	  .reason = "as recorded" },
	/* The kernel keeps drivers off. */
	{ ROW, .override = "vfio-pci", .kept_off = KEPT, .state = STATE_HELD, .action = ACTION_REBIND,
	  .reason = KEPT },
	{ ROW, .override = "vfio-pci", .about = THIS, .recorded = STATE_HELD, .owned = "vfio-pci",
	  .state = STATE_HELD, .action = ACTION_REBIND, .reason = "as recorded" },
	{ ROW, .override = "vfio-pci", .about = ANOTHER, .recorded = STATE_HELD, .owned = "vfio-pci",
	  .state = STATE_PENDING, .action = ACTION_REBIND,
	  .reason = "driver_override is vfio-pci, driver is none" },
	{ ROW, .unreadable = true, .override = "vfio-pci", .driver = "vfio-pci", .iommu = IOMMU,
	  .iommu_is_fake = true, .state = STATE_STUCK,
	  .reason = "reading its files in sysfs did not come back" },
	/* What the IOMMU means: of a device in good order only where VFIO has made one up. */
	{ ROW, .override = "vfio-pci", .driver = "vfio-pci", .iommu = IOMMU, .state = STATE_ENFORCED,
	  .action = ACTION_RECORD, .reason = "" },
	{ ROW, .override = "vfio-pci", .driver = "vfio-pci", .iommu = IOMMU, .iommu_is_fake = true,
	  .state = STATE_ENFORCED, .action = ACTION_RECORD, .reason = IOMMU },
	{ ROW, .iommu = IOMMU, .state = STATE_PENDING, .action = ACTION_REBIND,
	  .reason = NOT_YET "; " IOMMU },
	{ ROW, .kept_off = KEPT ", for " IOMMU, .iommu = IOMMU, .state = STATE_HELD, .action = ACTION_REBIND,
	  .reason = KEPT ", for " IOMMU },
#undef ROW
};

START_TEST(decided_driver)
{
	CHECK_CASES(decided_driver_cases);
}
END_TEST

static const struct evaluate_case decided_none_cases[] = {
#define ROW .kind = DECISION_NONE
	{ ROW, .override = "none", .state = STATE_ENFORCED, .action = ACTION_RECORD, .reason = "" },
	{ ROW, .override = "none", .cause = CAUSE_GROUP, .state = STATE_HELD, .action = ACTION_RECORD,
	  .reason = "" },
	{ ROW, .override = "none", .cause = CAUSE_GROUP, .about = ENFORCED, .recorded = STATE_HELD,
	  .owned = "none", .state = STATE_HELD, .reason = "" },
	{ ROW, .override = "none", .driver = "nvme", .state = STATE_PENDING, .action = ACTION_REBIND,
	  .reason = "driver_override is none, driver is nvme" },
	{ ROW, .state = STATE_PENDING, .action = ACTION_REBIND, .reason = NOT_YET },
	/* Barred by `none`, and so not refused anything. */
	{ ROW, .about = THIS, .recorded = STATE_HELD, .state = STATE_PENDING, .action = ACTION_REBIND,
	  .reason = NOT_YET },
	{ ROW, .override = "none", .kept_off = KEPT, .state = STATE_ENFORCED, .action = ACTION_RECORD,
	  .reason = "" },
	{ ROW, .override = "none", .iommu = IOMMU, .iommu_is_fake = true, .state = STATE_ENFORCED,
	  .action = ACTION_RECORD, .reason = "" },
#undef ROW
};

START_TEST(decided_none)
{
	CHECK_CASES(decided_none_cases);
}
END_TEST

static const struct evaluate_case decided_default_cases[] = {
#define ROW .kind = DECISION_DEFAULT
	{ ROW, .driver = "nvme", .state = STATE_ENFORCED, .action = ACTION_RECORD, .reason = "" },
	{ ROW, .state = STATE_ENFORCED, .action = ACTION_RECORD, .reason = "" },
	/* Its driver came by an override of ours, and stays after that. */
	{ ROW, .driver = "vfio-pci", .about = ANOTHER, .recorded = STATE_ENFORCED, .owned = "vfio-pci",
	  .state = STATE_PENDING, .action = ACTION_REBIND,
	  .reason = "driver_override is empty, driver is vfio-pci" },
	{ ROW, .driver = "vfio-pci", .about = THIS, .recorded = STATE_BLOCKED, .by_override = "vfio-pci",
	  .state = STATE_BLOCKED, .action = ACTION_REBIND, .reason = "as recorded" },
	/* It had that driver before. */
	{ ROW, .driver = "nvme", .about = ANOTHER, .recorded = STATE_ENFORCED, .owned = "nvme",
	  .before = "nvme", .state = STATE_ENFORCED, .action = ACTION_RECORD, .reason = "" },
	{ ROW, .override = "vfio-pci", .driver = "nvme", .about = ANOTHER, .owned = "vfio-pci",
	  .state = STATE_PENDING, .action = ACTION_REBIND,
	  .reason = "driver_override is vfio-pci, driver is nvme" },
	{ ROW, .override = "other", .driver = "nvme", .state = STATE_FOREIGN, .action = ACTION_NOTE,
	  .reason = FOREIGN },
	/* It is to get its driver when its group is free. */
	{ ROW, .kept_off = KEPT, .state = STATE_HELD, .action = ACTION_REBIND, .reason = KEPT },
	{ ROW, .driver = "nvme", .kept_off = KEPT, .state = STATE_ENFORCED, .action = ACTION_RECORD,
	  .reason = "" },
	{ ROW, .about = THIS, .recorded = STATE_HELD, .state = STATE_HELD, .action = ACTION_REBIND,
	  .reason = "as recorded" },
	{ ROW, .driver = "nvme", .about = THIS, .recorded = STATE_HELD, .state = STATE_ENFORCED,
	  .action = ACTION_RECORD, .reason = "" },
#undef ROW
};

START_TEST(decided_default)
{
	CHECK_CASES(decided_default_cases);
}
END_TEST

#define GIVE_BACK "its rule is gone; to be given back to its own driver: as recorded"

static const struct evaluate_case nothing_decided_cases[] = {
#define ROW .kind = DECISION_NOTHING
	{ ROW, .driver = "nvme", .state = STATE_UNMANAGED, .reason = "" },
	{ ROW, .override = "other", .driver = "nvme", .state = STATE_FOREIGN, .reason = FOREIGN },
	{ ROW, .override = "other", .about = ANOTHER, .recorded = STATE_ENFORCED, .owned = "vfio-pci",
	  .state = STATE_FOREIGN, .reason = FOREIGN },
	{ ROW, .override = "vfio-pci", .driver = "vfio-pci", .about = ANOTHER, .recorded = STATE_ENFORCED,
	  .owned = "vfio-pci", .state = STATE_PENDING, .action = ACTION_GIVE_BACK, .reason = GIVE_BACK },
	{ ROW, .override = "vfio-pci", .driver = "vfio-pci", .about = ANOTHER, .recorded = STATE_BLOCKED,
	  .owned = "vfio-pci", .state = STATE_BLOCKED, .action = ACTION_GIVE_BACK, .reason = GIVE_BACK },
	{ ROW, .driver = "vfio-pci", .about = ANOTHER, .by_override = "vfio-pci", .state = STATE_PENDING,
	  .action = ACTION_GIVE_BACK, .reason = GIVE_BACK },
	{ ROW, .driver = "nvme", .about = ANOTHER, .by_override = "vfio-pci", .state = STATE_UNMANAGED,
	  .reason = "" },
	/* Refused its driver: given back, when its group is free. */
	{ ROW, .about = ANOTHER, .recorded = STATE_HELD, .state = STATE_PENDING, .action = ACTION_GIVE_BACK,
	  .reason = "as recorded" },
	{ ROW, .about = ANOTHER, .recorded = STATE_HELD, .kept_off = KEPT, .state = STATE_HELD,
	  .action = ACTION_GIVE_BACK, .reason = KEPT },
	{ ROW, .kept_off = KEPT, .state = STATE_HELD, .reason = KEPT },
	{ ROW, .group_unknown = true, .iommu = IOMMU, .state = STATE_UNMANAGED,
	  .reason = IOMMU "; a rule of a member may decide then" },
	{ ROW, .group_unknown = true, .driver = "nvme", .iommu = IOMMU, .state = STATE_UNMANAGED,
	  .reason = "" },
	/* What a rule that has gone left behind, and nothing on the device. */
	{ ROW, .driver = "nvme", .about = ANOTHER, .recorded = STATE_STUCK, .state = STATE_UNMANAGED,
	  .action = ACTION_GIVE_BACK, .reason = "" },
	{ ROW, .driver = "nvme", .about = ANOTHER, .recorded = STATE_FAILED, .state = STATE_UNMANAGED,
	  .action = ACTION_GIVE_BACK, .reason = "" },
	{ ROW, .unreadable = true, .state = STATE_STUCK,
	  .reason = "reading its files in sysfs did not come back" },
#undef ROW
};

START_TEST(nothing_decided)
{
	CHECK_CASES(nothing_decided_cases);
}
END_TEST

static const struct evaluate_case decision_that_waits_for_a_fact_cases[] = {
	{ .kind = DECISION_UNKNOWN,
	  .override = "other",
	  .driver = "nvme",
	  .about = ENFORCED,
	  .recorded = STATE_FAILED,
	  .state = STATE_PENDING,
	  .reason = "the IOMMU group is not known yet" },
};

/* What holds of a device as decided, too, is said of each. */
START_TEST(a_driver_that_was_not_told_apart)
{
	struct policy *policy = rules_of("[device x]\nName=x\nDriver=vfio\n");
	struct decision decision = {
		.kind = DECISION_DRIVER, .rule = policy->rules[0], .driver = "vfio-pci", .vfio_unknown = "why"
	};
	struct device_observation o = {
		.decision = &decision, .driver = "vfio-pci", .override = "vfio-pci", .kept_off = ""
	};
	struct device_evaluation e;
	struct record record = { .state = STATE_FAILED };

	device_state_evaluate(&o, &e);
	ck_assert_int_eq(e.state, STATE_ENFORCED);
	ck_assert_str_eq(
		e.reason,
		"which VFIO driver was made for it is not known: why; it gets vfio-pci, the plain one");
	decision.vfio_kept = true;
	record_describe(&record, &decision);
	(void)strcpy(record.reason, "it failed");
	o.record = &record;
	o.driver = "";
	device_state_evaluate(&o, &e);
	ck_assert_str_eq(e.reason,
			 "it failed; which VFIO driver was made for it is not known: why; it keeps vfio-pci");
	/* The enforcer has recorded it so. */
	(void)strcpy(record.reason, e.reason);
	device_state_evaluate(&o, &e);
	ck_assert_str_eq(e.reason, record.reason);
	decision.vfio_unknown = NULL;
	(void)strcpy(record.reason, "");
	device_state_evaluate(&o, &e);
	ck_assert_str_eq(e.reason, "");
	policy_free(policy);
}
END_TEST

START_TEST(decision_that_waits_for_a_fact)
{
	CHECK_CASES(decision_that_waits_for_a_fact_cases);
}
END_TEST

/* Whatever is decided: what is shown, and what is left to do. */
START_TEST(released_device_is_as_if_nothing_were_decided)
{
	struct rule rule = { .rebind = REBIND_SAFE };
	const struct decision vfio = { .kind = DECISION_DRIVER, .rule = &rule, .driver = "vfio-pci" };
	struct record record = { .released = true, .state = STATE_UNMANAGED };
	struct device_observation o = { .decision = &vfio,
					.record = &record,
					.driver = "nvme",
					.override = "",
					.kept_off = "",
					.iommu = IOMMU };
	struct device_evaluation e;

	device_state_evaluate(&o, &e);
	ck_assert_int_eq(e.state, STATE_UNMANAGED);
	ck_assert_int_eq(e.action, ACTION_NONE);
	ck_assert_str_eq(e.reason, REASON_RELEASED);
	o.override = "other";
	device_state_evaluate(&o, &e);
	ck_assert_int_eq(e.state, STATE_FOREIGN);
	ck_assert_int_eq(e.action, ACTION_NONE);
	/* An event that decided before it has written after it. */
	(void)strcpy(record.owned_override, "vfio-pci");
	o.override = "vfio-pci";
	device_state_evaluate(&o, &e);
	ck_assert_int_eq(e.action, ACTION_GIVE_BACK);
	/* The process that was to release it has not come back. */
	record.state = STATE_STUCK;
	device_state_evaluate(&o, &e);
	ck_assert_int_eq(e.state, STATE_STUCK);
	ck_assert_int_eq(e.action, ACTION_GIVE_BACK);
}
END_TEST

SUITE_MAIN("evaluate", 20, decided_driver, decided_none, decided_default, nothing_decided,
	   decision_that_waits_for_a_fact, a_driver_that_was_not_told_apart,
	   released_device_is_as_if_nothing_were_decided)
