/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What members of a group get that match no rule, and that answers of an older policy are not used. */
#include "base/macro.h"
#include "base/text.h"
#include "policy/decide.h"
#include "policy/match.h"
#include "tests/unit/fixtures/fake-device.h"
#include "tests/unit/fixtures/parse-policy.h"
#include "tests/unit/fixtures/suite.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

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
	check_other_member(GPU_RULE "Group=none\n", "060000", DECISION_BRIDGE, 0);
	check_other_member(GPU_RULE "Group=none\n", "060400", DECISION_BRIDGE, 0);
	/* An ISA bridge, and what has no better class, as NVSwitch and NTB. */
	check_other_member(GPU_RULE "Group=none\n", "060100", DECISION_NONE, 1);
	check_other_member(GPU_RULE "Group=none\n", "068000", DECISION_NONE, 1);
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
	struct missing missing = { .fact = FACT_COUNT };
	struct fake f;

	fake_init(&f);
	fake_unknown(&f, FACT_MODALIAS, -EAGAIN);
	fake_unknown(&f, FACT_ID, -EAGAIN);
	ck_assert_int_eq(rule_match(rule, &f.device, &missing), MATCH_UNKNOWN);
	ck_assert_int_eq(missing.fact, FACT_MODALIAS);
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

/* What the group says for the companion, or what was given it, stays as it is while something cannot be read.
 */
static void check_unknown(struct fake *other, const char *words)
{
	struct fake gpu, *group[] = { &gpu, other };
	struct decision d;
	char text[256];

	fake_pci(&gpu, "0000:01:00.0", "10de:1b80:1043:85aa", "030000");
	fake_group(group, 2);
	ck_assert_int_eq(policy_decide(rules_of(GPU_RULE "Group=hold\n"), &other->device, &d), 0);
	ck_assert_int_eq(d.kind, DECISION_UNKNOWN);
	ck_assert_int_eq(d.cause, CAUSE_GROUP);
	decision_missing_text(&d, text, sizeof(text));
	ck_assert_str_eq(text, words);
	decision_done(&d);
	fake_done(&gpu);
	fake_done(other);
}

START_TEST(companion_whose_class_cannot_be_read_is_unknown)
{
	static const int errors[] = { -ELOOP, -EIO, -ENFILE, -ENOMEM, -EAGAIN };

	for (size_t i = 0; i < ELEMENTSOF(errors); i++) {
		struct fake other;
		char words[256];

		fake_pci(&other, "0000:01:00.1", "8086:1900:0000:0000", "040300");
		fake_unknown(&other, FACT_CLASS, errors[i]);
		(void)snprintf(words, sizeof(words), "whether it is a bridge %s%s",
			       errors[i] == -EAGAIN ? "is not known yet" : "cannot be read: ",
			       errors[i] == -EAGAIN ? "" : strerror(-errors[i]));
		check_unknown(&other, words);
	}
}
END_TEST

START_TEST(companion_is_unknown_if_what_was_present_or_given_cannot_be_read)
{
	struct fake other;

	fake_pci(&other, "0000:01:00.1", "8086:1900:0000:0000", "040300");
	other.present = -EMFILE;
	check_unknown(&other, "what was present at boot cannot be read: Too many open files");
	fake_pci(&other, "0000:01:00.1", "8086:1900:0000:0000", "040300");
	other.kept_r = -EIO;
	check_unknown(&other, "the record of the device cannot be read: Input/output error");
}
END_TEST

START_TEST(companion_is_unknown_while_an_earlier_rule_may_match_a_member)
{
	struct policy *policy =
		rules_of("[device a]\nAttr.label=a\nDriver=none\nGroup=leave\n" GPU_RULE "Group=none\n"
			 "[device z]\nAttr.other=z\nDriver=none\nGroup=none\n");
	struct fake gpu, sound, *group[] = { &gpu, &sound };
	struct decision d;
	char text[256];

	fake_pci(&gpu, "0000:01:00.0", "10de:1b80:1043:85aa", "030000");
	fake_pci(&sound, "0000:01:00.1", "10de:10f0:1043:85aa", "040300");
	fake_group(group, 2);
	fake_unknown(&gpu, FACT_ATTR, -EINVAL);
	ck_assert_int_eq(policy_decide(policy, &sound.device, &d), 0);
	ck_assert_int_eq(d.kind, DECISION_UNKNOWN);
	decision_missing_text(&d, text, sizeof(text));
	ck_assert_str_eq(text, "Attr.label of test.conf:1 cannot be read: Invalid argument");
	decision_done(&d);
	fake_done(&gpu);
	fake_done(&sound);
}
END_TEST

SUITE_MAIN("decide-again", 20, companion_whose_class_cannot_be_read_is_unknown,
	   companion_is_unknown_if_what_was_present_or_given_cannot_be_read,
	   companion_is_unknown_while_an_earlier_rule_may_match_a_member,
	   bridges_of_every_kind_are_left_alone, member_of_a_group_that_is_left_has_no_rule,
	   answer_of_an_older_policy_at_the_same_address_is_not_used, first_of_several_unknown_facts_is_named,
	   own_rule_alone_asks_for_no_group)
