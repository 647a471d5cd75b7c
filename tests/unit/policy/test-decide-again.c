/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What members of a group get that match no rule, and that answers of an older policy are not used. */
#include "base/text.h"
#include "policy/decide.h"
#include "policy/match.h"
#include "tests/unit/fixtures/fake-device.h"
#include "tests/unit/fixtures/parse-policy.h"
#include "tests/unit/fixtures/suite.h"

#include <errno.h>
#include <stddef.h>

#define GPU_RULE "[device gpu]\nName=0000:01:00.0\nDriver=vfio-pci\n"

static void check_other_member(const char *policy, const char *class, enum decision_kind kind, int has_rule)
{
	struct fake gpu, other, *group[] = { &gpu, &other };
	struct decision d;

	fake_pci(&gpu, "0000:01:00.0", "10de:1b80:1043:85aa", "030000");
	fake_pci(&other, "0000:00:00.0", "8086:1900:0000:0000", class);
	fake_group(group, 2);
	ck_assert_int_eq(policy_decide(rules_of(policy), &other.device, &d), 0);
	ck_assert_int_eq(d.kind, kind);
	ck_assert_int_eq(d.rule != NULL, has_rule);
	decision_done(&d);
	fake_done(&gpu);
	fake_done(&other);
}

START_TEST(bridges_of_every_kind_are_left_alone)
{
	check_other_member(GPU_RULE "Group=none\n", "060000", DECISION_NOTHING, 0);
	check_other_member(GPU_RULE "Group=none\n", "060400", DECISION_NOTHING, 0);
	check_other_member(GPU_RULE "Group=none\n", "040300", DECISION_NONE, 1);
}
END_TEST

START_TEST(member_of_a_group_that_is_left_has_no_rule)
{
	check_other_member(GPU_RULE "Group=leave\n[device x]\nName=x\nDriver=none\nGroup=none\n", "040300",
			   DECISION_NOTHING, 0);
}
END_TEST

START_TEST(answer_of_an_older_policy_at_the_same_address_is_not_used)
{
	struct policy *policy = rules_of(GPU_RULE);
	struct decision d;
	struct fake gpu;

	fake_pci(&gpu, "0000:01:00.0", "10de:1b80:1043:85aa", "030000");
	policy_decide_own(policy, &gpu.device, &d);
	ck_assert_int_eq(d.kind, DECISION_DRIVER);
	policy->n_rules = 0;
	policy->serial++;
	policy_decide_own(policy, &gpu.device, &d);
	ck_assert_int_eq(d.kind, DECISION_NOTHING);
	fake_done(&gpu);
}
END_TEST

START_TEST(first_of_several_unknown_facts_is_named)
{
	struct rule *rule = one_rule("[device x]\nModalias=x*\nId=8086:1900\nDriver=none\n");
	enum fact missing = FACT_COUNT;
	struct fake f;

	fake_init(&f);
	fake_unknown(&f, FACT_MODALIAS, -EAGAIN);
	fake_unknown(&f, FACT_ID, -EAGAIN);
	ck_assert_int_eq(rule_match(rule, &f.device, &missing), MATCH_UNKNOWN);
	ck_assert_int_eq(missing, FACT_MODALIAS);
	fake_done(&f);
}
END_TEST

START_TEST(own_rule_alone_asks_for_no_group)
{
	struct policy *policy = rules_of(GPU_RULE "Group=none\n");
	struct fake gpu, sound, *group[] = { &gpu, &sound };
	struct decision d;

	fake_pci(&gpu, "0000:01:00.0", "10de:1b80:1043:85aa", "030000");
	fake_pci(&sound, "0000:01:00.1", "10de:10f0:1043:85aa", "040300");
	fake_group(group, 2);
	policy_decide_own(policy, &gpu.device, &d);
	ck_assert_str_eq(decision_text(&d), "vfio-pci");
	policy_decide_own(policy, &sound.device, &d);
	ck_assert_int_eq(d.kind, DECISION_NOTHING);
	ck_assert_ptr_null(d.rule);
	ck_assert_uint_eq(gpu.group_asked + sound.group_asked, 0);
	fake_done(&gpu);
	fake_done(&sound);
}
END_TEST

SUITE_MAIN("decide-again", 20, bridges_of_every_kind_are_left_alone,
	   member_of_a_group_that_is_left_has_no_rule,
	   answer_of_an_older_policy_at_the_same_address_is_not_used, first_of_several_unknown_facts_is_named,
	   own_rule_alone_asks_for_no_group)
