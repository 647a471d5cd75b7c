/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the policy says about a device and about its group, on devices that exist nowhere. */
#include "base/macro.h"
#include "base/text.h"
#include "policy/decide.h"
#include "tests/unit/fixtures/fake-device.h"
#include "tests/unit/fixtures/parse-policy.h"
#include "tests/unit/fixtures/suite.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A GPU, its sound function and its serial port; and the port they hang on. */
enum {
	GPU,
	SOUND,
	SERIAL,
	PORT,
	DEVICES,
};

static struct fake v[DEVICES];

static void make_devices(void)
{
	struct fake *group[] = { &v[GPU], &v[SOUND], &v[SERIAL], &v[PORT] };

	fake_pci(&v[GPU], "0000:01:00.0", "10de:1b80:1043:85aa", "030000");
	fake_pci(&v[SOUND], "0000:01:00.1", "10de:10f0:1043:85aa", "040300");
	fake_pci(&v[SERIAL], "0000:01:00.2", "10de:1ad7:1043:85aa", "070000");
	fake_pci(&v[PORT], "0000:00:01.0", "8086:1901:0000:0000", "060400");
	fake_group(group, ELEMENTSOF(group));
}

static void done_devices(void)
{
	for (size_t i = 0; i < DEVICES; i++)
		fake_done(&v[i]);
}

/* The decision as text; by the device's event, and for a whole group: both must say the same. */
static const char *decide(const struct policy *policy, struct fake *f)
{
	static char text[8][DRIVER_NAME_MAX + 1];
	static unsigned next;
	struct decision d, all[DEVICES];
	char *t = text[next++ % ELEMENTSOF(text)];

	ck_assert_int_eq(policy_decide(policy, &f->device, &d), 0);
	ck_assert_ptr_eq(d.device, &f->device);
	(void)snprintf(t, sizeof(text[0]), "%s", decision_text(&d));
	if (f->group_r == 0) {
		policy_decide_group(policy, f->members, f->n_members, all);
		for (size_t i = 0; i < f->n_members; i++)
			if (f->members[i] == &f->device)
				ck_assert_str_eq(decision_text(&all[i]), t);
	}
	decision_done(&d);
	return t;
}

#define DECIDES(policy, i, text) ck_assert_str_eq(decide(policy, &v[i]), text)

START_TEST(no_policy_decides_nothing)
{
	struct policy *p = rules_of("");
	struct decision d;

	make_devices();
	ck_assert_int_eq(policy_decide(p, &v[GPU].device, &d), 0);
	ck_assert_int_eq(d.kind, DECISION_NOTHING);
	ck_assert_ptr_null(d.rule);
	ck_assert_uint_eq(v[GPU].group_asked, 0);
	decision_done(&d);
	done_devices();
}
END_TEST

START_TEST(kinds_of_drivers)
{
	struct policy *p = rules_of("[device a]\nName=0000:01:00.0\nDriver=vfio\nGroup=leave\n"
				    "[device b]\nName=0000:01:00.1\nDriver=none\n"
				    "[device c]\nName=0000:01:00.2\nDriver=default\n"
				    "[device d]\nName=0000:00:01.0\nDriver=pci-stub\n");
	struct decision d;

	make_devices();
	DECIDES(p, GPU, "vfio-pci");
	DECIDES(p, SOUND, "none");
	DECIDES(p, SERIAL, "default");
	DECIDES(p, PORT, "pci-stub");
	ck_assert_int_eq(policy_decide(p, &v[SERIAL].device, &d), 0);
	ck_assert_str_eq(d.driver, ""); /* what to write */
	ck_assert_int_eq(d.cause, CAUSE_RULE);
	decision_done(&d);
	ck_assert_int_eq(policy_decide(p, &v[SOUND].device, &d), 0);
	ck_assert_str_eq(d.driver, "none");
	decision_done(&d);
	done_devices();
}
END_TEST

START_TEST(vfio_means_the_driver_of_the_bus)
{
	static const char *const want[][2] = { { "pci", "vfio-pci" },	{ "platform", "vfio-platform" },
					       { "amba", "vfio-amba" }, { "fsl-mc", "vfio-fsl-mc" },
					       { "cdx", "vfio-cdx" },	{ "ap", "vfio_ap" },
					       { "css", "vfio_ccw" } };
	struct policy *p = rules_of("[device a]\nBus=*\nDriver=vfio\n");

	for (size_t i = 0; i < ELEMENTSOF(want); i++) {
		struct fake f;

		fake_init(&f);
		fake_add(&f, FACT_BUS, want[i][0]);
		ck_assert_str_eq(decide(p, &f), want[i][1]);
		fake_done(&f);
	}
}
END_TEST

START_TEST(first_rule_that_matches_decides_over_files)
{
	struct policy *p = rules_of("[device a]\nName=other\nDriver=first\n");
	static const char b[] = "[device b]\nId=10de:*\nDriver=first\n[device c]\nBus=*\nDriver=second\n",
			  c[] = "[device d]\nName=0000:01:00.0\nDriver=third\n";
	struct rule_hit *hits;
	size_t n;

	ck_assert_int_eq(policy_parse(p, "b.conf", b, strlen(b)), 0);
	ck_assert_int_eq(policy_parse(p, "c.conf", c, strlen(c)), 0);
	make_devices();
	DECIDES(p, GPU, "first");
	DECIDES(p, PORT, "second");

	ck_assert_int_eq(policy_explain(p, &v[GPU].device, &hits, &n), 0);
	ck_assert_uint_eq(n, 3);
	ck_assert_str_eq(hits[0].rule->label, "b");
	ck_assert_str_eq(hits[1].rule->label, "c");
	ck_assert_str_eq(hits[2].rule->label, "d");
	free(hits);
	done_devices();
}
END_TEST

START_TEST(default_exempts_from_later_rules)
{
	struct policy *p = rules_of("[device a]\nName=0000:01:00.1\nDriver=default\n"
				    "[device b]\nBus=pci\nDriver=vfio\n");

	make_devices();
	DECIDES(p, SOUND, "default");
	DECIDES(p, GPU, "vfio-pci");
	done_devices();
}
END_TEST

START_TEST(unknown_fact_of_an_earlier_rule_leaves_open)
{
	struct policy *p = rules_of("[device a]\nName=0000:01:00.0\nModalias=*\nDriver=a\n"
				    "[device b]\nName=0000:01:00.*\nDriver=b\n");
	struct decision d;

	make_devices();
	fake_unknown(&v[GPU], FACT_MODALIAS, -EAGAIN);
	fake_unknown(&v[SOUND], FACT_MODALIAS, -EAGAIN);
	ck_assert_int_eq(policy_decide(p, &v[GPU].device, &d), 0);
	ck_assert_int_eq(d.kind, DECISION_UNKNOWN);
	ck_assert_int_eq(d.missing.fact, FACT_MODALIAS);
	ck_assert_str_eq(d.rule->label, "a");
	ck_assert_str_eq(decision_text(&d), "unknown");
	decision_done(&d);
	/* No rule that needs it can match this one. */
	DECIDES(p, SOUND, "b");
	done_devices();
}
END_TEST

START_TEST(a_decision_names_its_rule_and_cause)
{
	struct policy *p = rules_of("# gpu\n[device gpu]\nName=0000:01:00.0\nDriver=vfio\nGroup=none\n");
	struct decision d;

	make_devices();
	ck_assert_int_eq(policy_decide(p, &v[SOUND].device, &d), 0);
	ck_assert_int_eq(d.kind, DECISION_NONE);
	ck_assert_int_eq(d.cause, CAUSE_GROUP);
	ck_assert_str_eq(d.rule->label, "gpu");
	ck_assert_uint_eq(d.rule->line, 2);
	decision_done(&d);
	done_devices();
}
END_TEST

START_TEST(group_leave)
{
	struct policy *p = rules_of("[device gpu]\nName=0000:01:00.0\nDriver=vfio\nGroup=leave\n");

	make_devices();
	DECIDES(p, GPU, "vfio-pci");
	DECIDES(p, SOUND, "");
	done_devices();
}
END_TEST

START_TEST(group_none_vfio_or_a_driver)
{
	make_devices();
	for (int present = -1; present <= 1; present++) {
		v[SOUND].present = present; /* makes no difference here */
		DECIDES(rules_of("[device gpu]\nName=0000:01:00.0\nDriver=vfio\nGroup=none\n"), SOUND,
			"none");
		DECIDES(rules_of("[device gpu]\nName=0000:01:00.0\nDriver=vfio\nGroup=vfio\n"), SOUND,
			"vfio-pci");
		DECIDES(rules_of("[device gpu]\nName=0000:01:00.0\nDriver=vfio\nGroup=pci-stub\n"), SOUND,
			"pci-stub");
	}
	done_devices();
}
END_TEST

START_TEST(group_hold_takes_what_came_later_only)
{
	struct policy *p = rules_of("[device gpu]\nName=0000:01:00.0\nDriver=vfio\nGroup=hold\n");
	struct decision d;

	make_devices();
	v[SOUND].present = 0;
	v[SERIAL].present = 1;
	DECIDES(p, SOUND, "none");
	DECIDES(p, SERIAL, "");
	ck_assert_int_eq(policy_decide(p, &v[SERIAL].device, &d), 0);
	ck_assert_int_eq(d.kind, DECISION_LEFT);
	ck_assert_str_eq(d.rule->label, "gpu"); /* whom it blocks */
	decision_done(&d);

	v[SOUND].present = -ENODATA; /* nobody can tell: left alone */
	DECIDES(p, SOUND, "");
	done_devices();
}
END_TEST

START_TEST(hold_is_the_default_of_vfio_drivers_only)
{
	make_devices();
	DECIDES(rules_of("[device gpu]\nName=0000:01:00.0\nDriver=vfio\n"), SOUND, "none");
	DECIDES(rules_of("[device gpu]\nName=0000:01:00.0\nDriver=vfio-pci\n"), SOUND, "none");
	DECIDES(rules_of("[device gpu]\nName=0000:01:00.0\nDriver=nouveau\n"), SOUND, "");
	done_devices();
}
END_TEST

START_TEST(bridges_never_take_the_groups)
{
	struct policy *p = rules_of("[device gpu]\nName=0000:01:00.0\nDriver=vfio\nGroup=none\n");

	make_devices();
	DECIDES(p, PORT, "");
	/* But a rule of its own it follows. */
	DECIDES(rules_of("[device all]\nBus=pci\nDriver=vfio\nGroup=none\n"), PORT, "vfio-pci");
	done_devices();
}
END_TEST

START_TEST(what_may_be_a_bridge_is_left_alone)
{
	struct policy *p = rules_of("[device gpu]\nName=0000:01:00.0\nDriver=vfio\nGroup=none\n");
	const char *text;

	make_devices();
	fake_unknown(&v[PORT], FACT_CLASS, -EAGAIN);
	text = decide(p, &v[PORT]);
	ck_assert_msg(streq(text, "") || streq(text, "unknown"), "a device of unknown class is given %s",
		      text);
	done_devices();
}
END_TEST

START_TEST(own_rule_comes_before_the_groups)
{
	struct policy *p = rules_of("[device gpu]\nName=0000:01:00.0\nDriver=vfio\nGroup=none\n"
				    "[device sound]\nName=0000:01:00.1\nDriver=default\n");

	make_devices();
	DECIDES(p, SOUND, "default");
	DECIDES(p, SERIAL, "none");
	done_devices();
}
END_TEST

START_TEST(earliest_rule_of_the_group_counts)
{
	make_devices();
	DECIDES(rules_of("[device gpu]\nName=0000:01:00.0\nDriver=vfio\nGroup=none\n"
			 "[device sound]\nName=0000:01:00.1\nDriver=vfio\nGroup=pci-stub\n"),
		SERIAL, "none");
	DECIDES(rules_of("[device sound]\nName=0000:01:00.1\nDriver=vfio\nGroup=pci-stub\n"
			 "[device gpu]\nName=0000:01:00.0\nDriver=vfio\nGroup=none\n"),
		SERIAL, "pci-stub");
	/* Also when it says: leave. */
	DECIDES(rules_of("[device sound]\nName=0000:01:00.1\nDriver=vfio\nGroup=leave\n"
			 "[device gpu]\nName=0000:01:00.0\nDriver=vfio\nGroup=none\n"),
		SERIAL, "");
	done_devices();
}
END_TEST

START_TEST(kept_when_the_member_has_gone)
{
	struct policy *p = rules_of("[device gpu]\nName=0000:01:00.0\nDriver=vfio\nGroup=hold\n");
	struct fake *rest[] = { &v[SOUND], &v[SERIAL] };
	struct decision d;

	make_devices();
	fake_group(rest, ELEMENTSOF(rest));
	DECIDES(p, SOUND, "");
	v[SOUND].kept = rule_id(p->rules[0]);
	DECIDES(p, SOUND, "none");
	DECIDES(p, SERIAL, "");
	ck_assert_int_eq(policy_decide(p, &v[SOUND].device, &d), 0);
	ck_assert_int_eq(d.cause, CAUSE_GROUP);
	decision_done(&d);

	/* Alone, or with its group not known. */
	v[SOUND].group_r = -ENODATA;
	DECIDES(p, SOUND, "none");
	v[SOUND].group_may_come = true;
	DECIDES(p, SOUND, "none");
	done_devices();
}
END_TEST

START_TEST(changed_rule_voids_what_was_kept)
{
	struct policy *p = rules_of("[device gpu]\nName=0000:01:00.0\nDriver=vfio\nGroup=hold\n");
	struct fake *rest[] = { &v[SOUND], &v[SERIAL] };

	make_devices();
	fake_group(rest, ELEMENTSOF(rest));
	v[SOUND].kept = rule_id(p->rules[0]);
	DECIDES(rules_of("[device gpu]\nName=0000:01:00.0\nDriver=vfio-pci\nGroup=hold\n"), SOUND, "");
	DECIDES(rules_of("[device gpu]\nName=0000:01:00.0\nDriver=vfio\nGroup=leave\n"), SOUND, "");
	DECIDES(rules_of(""), SOUND, "");
	/* The same rule elsewhere in the file is the same rule. */
	DECIDES(rules_of("[device x]\nName=x\nDriver=x\n"
			 "[device gpu]\nName=0000:01:00.0\nDriver=vfio\nGroup=hold\n"),
		SOUND, "none");
	done_devices();
}
END_TEST

START_TEST(kept_rule_and_one_of_a_present_member)
{
	struct policy *p = rules_of("[device gpu]\nName=0000:01:00.0\nDriver=vfio\nGroup=none\n"
				    "[device serial]\nName=0000:01:00.2\nDriver=vfio\nGroup=pci-stub\n");
	struct fake *rest[] = { &v[SOUND], &v[SERIAL] };

	make_devices();
	fake_group(rest, ELEMENTSOF(rest));
	DECIDES(p, SOUND, "pci-stub");
	v[SOUND].kept = rule_id(p->rules[0]);
	DECIDES(p, SOUND, "none");
	v[SOUND].kept = rule_id(p->rules[1]);
	DECIDES(p, SOUND, "pci-stub");
	done_devices();
}
END_TEST

START_TEST(unknown_group_leaves_open)
{
	struct policy *p = rules_of("[device gpu]\nName=0000:01:00.0\nDriver=vfio\nGroup=none\n");
	struct decision d;

	make_devices();
	v[SOUND].group_r = -ENODATA;
	v[SOUND].group_may_come = true;
	ck_assert_int_eq(policy_decide(p, &v[SOUND].device, &d), 0);
	ck_assert_int_eq(d.kind, DECISION_NOTHING);
	ck_assert(d.group_unknown);
	decision_done(&d);
	/* Its own rule needs no group. */
	v[GPU].group_r = -ENODATA;
	v[GPU].group_may_come = true;
	DECIDES(p, GPU, "vfio-pci");
	done_devices();
}
END_TEST

START_TEST(companions_come_with_the_decision)
{
	struct policy *p = rules_of("[device gpu]\nName=0000:01:00.0\nDriver=vfio\nGroup=none\n");
	struct decision d;

	make_devices();
	ck_assert_int_eq(policy_decide(p, &v[GPU].device, &d), 0);
	ck_assert_uint_eq(d.n_members, 2);
	for (size_t i = 0; i < d.n_members; i++) {
		ck_assert(d.members[i].device == &v[SOUND].device ||
			  d.members[i].device == &v[SERIAL].device);
		ck_assert_str_eq(d.members[i].driver, "none");
		ck_assert_int_eq(d.members[i].cause, CAUSE_GROUP);
		ck_assert_uint_eq(d.members[i].n_members, 0);
	}
	decision_done(&d);
	done_devices();
}
END_TEST

/* All orders of the first n of the group; Heap's algorithm. */
static void permute(struct fake **group, size_t n, void (*check)(struct fake *const *group))
{
	if (n <= 1) {
		check(group);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		struct fake *swap;
		size_t k = n % 2 ? 0 : i;

		permute(group, n - 1, check);
		swap = group[k];
		group[k] = group[n - 1];
		group[n - 1] = swap;
	}
}

static unsigned orders;

static void check_order(struct fake *const *group)
{
	static struct policy *p;

	if (!p)
		p = rules_of("[device sound]\nName=0000:01:00.1\nDriver=pci-stub\nGroup=hold\n"
			     "[device gpu]\nName=0000:01:00.0\nDriver=vfio\nGroup=none\n");
	fake_group(group, DEVICES);
	DECIDES(p, GPU, "vfio-pci");
	DECIDES(p, SOUND, "pci-stub");
	DECIDES(p, SERIAL, "none");
	DECIDES(p, PORT, "");
	orders++;
}

START_TEST(order_of_members_makes_no_difference)
{
	struct fake *group[] = { &v[GPU], &v[SOUND], &v[SERIAL], &v[PORT] };

	make_devices();
	permute(group, ELEMENTSOF(group), check_order);
	ck_assert_uint_eq(orders, 24);
	done_devices();
}
END_TEST

START_TEST(large_group_asks_each_member_once)
{
	static struct fake many[FAKE_MEMBERS];
	static char names[FAKE_MEMBERS][16];
	struct policy *p = rules_of("[device x]\nName=0000:02:1f.7\nDriver=vfio\nGroup=none\n"
				    "[device y]\nId=10de:*\nDriver=y\n");
	struct fake *group[FAKE_MEMBERS];
	struct decision all[FAKE_MEMBERS];

	for (size_t i = 0; i < FAKE_MEMBERS; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "0000:02:%02x.%u", (unsigned)i / 8 + 0x18,
			       (unsigned)i % 8);
		fake_pci(&many[i], names[i], "8086:10ed:0000:0000", "020000");
		group[i] = &many[i];
	}
	fake_group(group, FAKE_MEMBERS);
	policy_decide_group(p, many[0].members, FAKE_MEMBERS, all);
	for (size_t i = 0; i < FAKE_MEMBERS; i++) {
		ck_assert_str_eq(decision_text(&all[i]), i == FAKE_MEMBERS - 1 ? "vfio-pci" : "none");
		ck_assert_uint_eq(many[i].facts[FACT_NAME].asked, 1);
		ck_assert_uint_le(many[i].facts[FACT_ID].asked, 1);
		fake_done(&many[i]);
	}
}
END_TEST

SUITE_MAIN("decide", 20, no_policy_decides_nothing, kinds_of_drivers, vfio_means_the_driver_of_the_bus,
	   first_rule_that_matches_decides_over_files, default_exempts_from_later_rules,
	   unknown_fact_of_an_earlier_rule_leaves_open, a_decision_names_its_rule_and_cause, group_leave,
	   group_none_vfio_or_a_driver, group_hold_takes_what_came_later_only,
	   hold_is_the_default_of_vfio_drivers_only, bridges_never_take_the_groups,
	   what_may_be_a_bridge_is_left_alone, own_rule_comes_before_the_groups,
	   earliest_rule_of_the_group_counts, kept_when_the_member_has_gone, changed_rule_voids_what_was_kept,
	   kept_rule_and_one_of_a_present_member, unknown_group_leaves_open,
	   companions_come_with_the_decision, order_of_members_makes_no_difference,
	   large_group_asks_each_member_once)
