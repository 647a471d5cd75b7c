/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An index changes nothing but how many rules are compared: what it decides is compared with the walk through
 * all rules, on policies and devices that are made at random, the same ones each time.
 */
#include "base/macro.h"
#include "policy/decide.h"
#include "tests/unit/fixtures/fake-device.h"
#include "policy/rule-index.h"
#include "tests/unit/fixtures/mock-sysfs.h"
#include "tests/unit/fixtures/parse-policy.h"
#include "tests/unit/fixtures/suite.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define POLICIES 400
#define DEVICES 12
#define GROUP 4

static uint32_t state;

static unsigned dice(unsigned sides)
{
	/* xorshift32 */
	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return state % sides;
}

#define ONE_OF(v) ((v)[dice(ELEMENTSOF(v))])

/* What devices have, few enough for rules to hit them. */
static const char *const names[] = { "0000:03:00.0",
				     "0000:03:00.1",
				     "0000:0a:00.0",
				     "0000:0A:00.0",
				     "fff51000.ethernet",
				     "serial8250",
				     "a",
				     "" };
static const char *const ancestors[] = { "pci0000:00", "0000:00:1c.0", "0000:00:1d.0", "0000:01:00.0",
					 "soc" };
static const char *const folders[] = { "pci0000:00", "pci0000:00/1c.0", "pci0000:00/1d.0/00.0",
				       "pci10000:e0" };
static const char *const functions[] = { "00.0", "00.1", "1c.0", "1f.7" };
static const char *const ids[] = { "10de:1b80:1043:85aa", "10de:1b81:1043:85aa", "8086:10d3:8086:a01f",
				   "8086:10d3:8086:a01e", "8086:10d3",		 "8086" };
static const char *const classes[] = { "030000", "030200", "020000", "0c0330", "03" };
static const char *const modaliases[] = { "pci:v000010DEd00001B80", "platform:serial8250", "of:Nuart" };

/* The values for which rules ask. */
static const struct {
	const char *key, *values[14];
} keys[] = {
	{ "Name",
	  { "0000:03:00.0", "0000:03:00.1", "0000:0a:00.0", "0000:0A:00.0", "0000:03:*", "0000:0?:00.0",
	    "0000:0A:*", "0001:*", "*.ethernet", "fff51000.ethernet", "serial*", "a", "[a]", "*" } },
	{ "Ancestor",
	  { "pci0000:00", "0000:00:1c.0", "0000:00:1D.0", "0000:00:*", "soc", "s?c", "pci*", "0001:*" } },
	{ "Path",
	  { "pci0000:00/00.0", "pci0000:00/1c.0/00.0", "PCI0000:00/1C.0/00.1", "pci0000:00/1c.0/*",
	    "pci0000:00/*/00.0", "pci0000:00/1c.0/00.0/vf1", "pci0000:00/1c.0/00.*/VF1",
	    "pci0000:00/1c.0/00.0/vf*", "pci0000:00/1c.0", "*/1c.0/*", "pci10000:e0/*",
	    "pci0000:00/1d.0/00.0/*", "pci0000:00/1d.0/00.0/00.1/vf2", "pci0000:00/1f.7" } },
	{ "Id",
	  { "10de:1b80", "10DE:1B81", "10de:*", "8086:10d3", "8086:10d3:8086:a01f", "8086:10d3:8086:*",
	    "8086:10d3:*:a01e", "*:10d3", "ffff:ffff", "10de:1b8?" } },
	{ "Class", { "03", "0302", "030200", "02", "020000", "0C03", "0[23]", "03*", "ff" } },
	{ "Bus", { "pci", "platform", "p*" } },
	{ "Modalias", { "pci:v000010DE*", "platform:serial8250", "*uart" } },
	{ "Attr.label", { "left", "right", "0x*" } },
};

static const char *random_value(unsigned key)
{
	unsigned n = 0;

	while (n < ELEMENTSOF(keys[key].values) && keys[key].values[n])
		n++;
	return keys[key].values[dice(n)];
}

static struct policy *random_policy(unsigned most)
{
	static const char *const actions[] = { "Driver=none",
					       "Driver=default",
					       "Driver=b",
					       "Driver=vfio",
					       "Driver=b\nGroup=hold",
					       "Driver=b\nGroup=c",
					       "Driver=none\nGroup=none" };
	char text[32768];
	size_t n = 0;
	const unsigned rules = 1 + dice(most);

	for (unsigned i = 0; i < rules; i++) {
		n += (size_t)snprintf(text + n, sizeof(text) - n, "[device r%u]\n%s\n", i, ONE_OF(actions));
		for (unsigned k = 1 + dice(2); k > 0; k--) {
			unsigned key = dice(ELEMENTSOF(keys));

			/* Not all names are of PCI, and with Id= or the like they would have to be. */
			if (streq(keys[key].key, "Name"))
				n += (size_t)snprintf(text + n, sizeof(text) - n, "Bus=p*\n");
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s=%s", keys[key].key,
					      random_value(key));
			for (unsigned more = dice(3); more > 0; more--)
				n += (size_t)snprintf(text + n, sizeof(text) - n, " %s", random_value(key));
			n += (size_t)snprintf(text + n, sizeof(text) - n, "\n");
		}
	}
	ck_assert_uint_lt(n, sizeof(text));
	return rules_of(text);
}

/* A path and the place that goes with it, both "" for a device without; texts live until the next device. */
static void random_path(struct fake *f, char *path, char *place, size_t size)
{
	const char *folder = ONE_OF(folders), *function = ONE_OF(functions);

	path[0] = place[0] = '\0';
	if (dice(8) > 0)
		(void)snprintf(place, size, "%s/%s", folder, function);
	if (place[0] && dice(3) > 0)
		(void)snprintf(path, size, "%s", place);
	else if (place[0])
		(void)snprintf(path, size, "%s/%s/vf%u", folder, ONE_OF(functions), dice(3));
	if (path[0])
		fake_add(f, FACT_PATH, path);
	/* With a fact that cannot be asked nothing can be said without asking, either. */
	if (dice(3) > 0)
		f->place = place;
}

static void random_device(struct fake *f, char *path, char *place, size_t size)
{
	fake_init(f);
	fake_add(f, FACT_BUS, dice(4) ? "pci" : "platform");
	fake_add(f, FACT_NAME, ONE_OF(names));
	for (unsigned n = dice(4); n > 0; n--)
		fake_add(f, FACT_ANCESTOR, ONE_OF(ancestors));
	random_path(f, path, place, size);
	for (unsigned n = dice(8) ? 1 : dice(3); n > 0; n--)
		fake_add(f, FACT_ID, ONE_OF(ids));
	if (dice(8) > 0)
		fake_add(f, FACT_CLASS, ONE_OF(classes));
	if (dice(2) > 0)
		fake_add(f, FACT_MODALIAS, ONE_OF(modaliases));
	if (dice(2) > 0)
		fake_attr(f, "label", dice(2) ? "left" : "0x1");
	for (enum fact fact = FACT_NAME; fact < FACT_COUNT; fact++)
		if (dice(12) == 0) {
			fake_unknown(f, fact, dice(2) ? -EAGAIN : -EIO);
			if (fact == FACT_PATH)
				f->place = NULL;
		}
	f->present = (int)dice(3) - 1;
}

static void same_decision(const struct decision *a, const struct decision *b)
{
	ck_assert_ptr_eq(a->rule, b->rule);
	ck_assert_int_eq(a->kind, b->kind);
	ck_assert_int_eq(a->cause, b->cause);
	ck_assert_int_eq(a->missing.fact, b->missing.fact);
	ck_assert_int_eq(a->group_unknown, b->group_unknown);
	ck_assert_str_eq(a->driver, b->driver);
}

/* The same device anew: what it has answered for one policy would be taken over to the other. */
static void ask_again(struct fake *f)
{
	device_done(&f->device);
	f->device.own_policy = NULL;
}

START_TEST(decides_as_the_walk_through_all_rules)
{
	char path[DEVICES][64], place[DEVICES][64];
	unsigned decided = 0, unknown = 0;
	struct fake v[DEVICES];

	state = 20260214;
	for (unsigned p = 0; p < POLICIES; p++) {
		struct policy *plain = random_policy(40), indexed = *plain;

		ck_assert_int_eq(policy_build_index(&indexed), 0);
		ck_assert_ptr_null(plain->index);
		for (unsigned i = 0; i < DEVICES; i++) {
			struct decision expected, got;

			random_device(&v[i], path[i], place[i], sizeof(path[i]));
			policy_decide_own(plain, &v[i].device, &expected);
			ask_again(&v[i]);
			policy_decide_own(&indexed, &v[i].device, &got);
			same_decision(&expected, &got);
			decided += got.rule != NULL;
			unknown += got.kind == DECISION_UNKNOWN;
			ask_again(&v[i]);
		}
		plain->arena = indexed.arena; /* which has the index, too */
	}
	/* Not by never matching, nor by always matching. */
	ck_assert_uint_gt(decided, POLICIES * DEVICES / 4);
	ck_assert_uint_lt(decided, POLICIES * DEVICES);
	ck_assert_uint_gt(unknown, POLICIES / 4);
}
END_TEST

START_TEST(decides_groups_as_the_walk_through_all_rules)
{
	char path[GROUP][64], place[GROUP][64];
	struct fake v[GROUP], *group[GROUP];
	struct device *members[GROUP];
	unsigned companions = 0;

	state = 4711;
	for (unsigned p = 0; p < POLICIES; p++) {
		struct policy *plain = random_policy(5), indexed = *plain;
		struct decision expected[GROUP], got[GROUP];

		ck_assert_int_eq(policy_build_index(&indexed), 0);
		for (unsigned i = 0; i < GROUP; i++) {
			random_device(&v[i], path[i], place[i], sizeof(path[i]));
			group[i] = &v[i];
			members[i] = &v[i].device;
		}
		fake_group(group, GROUP);
		policy_decide_group(plain, members, GROUP, expected);
		for (unsigned i = 0; i < GROUP; i++)
			ask_again(&v[i]);
		policy_decide_group(&indexed, members, GROUP, got);
		for (unsigned i = 0; i < GROUP; i++) {
			same_decision(&expected[i], &got[i]);
			companions += got[i].cause == CAUSE_GROUP;
			fake_done(&v[i]);
		}
		plain->arena = indexed.arena;
	}
	ck_assert_uint_gt(companions, POLICIES / 4);
}
END_TEST

START_TEST(rules_are_found_by_their_ids)
{
	struct policy *plain, indexed;

	state = 17;
	plain = random_policy(40);
	indexed = *plain;
	ck_assert_int_eq(policy_build_index(&indexed), 0);
	for (size_t i = 0; i < plain->n_rules; i++)
		ck_assert_ptr_eq(policy_find_rule(&indexed, rule_id(plain->rules[i])), plain->rules[i]);
	ck_assert_ptr_null(policy_find_rule(&indexed, 1));
	plain->arena = indexed.arena;
}
END_TEST

/* How many rules of a policy are candidates for a device. */
static unsigned candidates(struct policy *policy, struct fake *f)
{
	struct candidates c;
	unsigned n = 0;
	size_t last = 0;

	ck_assert_int_eq(policy_build_index(policy), 0);
	candidates_start(&c, policy, &f->device);
	for (const struct rule *rule; (rule = candidates_next(&c)); n++) {
		ck_assert(n == 0 || rule->order > last);
		last = rule->order;
	}
	return n;
}

START_TEST(literal_rules_about_others_are_not_looked_at)
{
	char text[65536];
	size_t n = 0;
	struct fake f;

	for (unsigned i = 0; i < 1000; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "[device r%u]\nDriver=none\n%s%04x%s\n", i,
				      i % 4 == 0   ? "Name=0001:03:"
				      : i % 4 == 1 ? "Id=10de:"
				      : i % 4 == 2 ? "Path=pci0001:00/"
						   : "Class=03",
				      i, i % 4 == 0 ? ".*" : "");
	ck_assert_uint_lt(n, sizeof(text));
	fake_pci(&f, "0000:03:00.0", "8086:10d3:8086:a01f", "020000");
	fake_add(&f, FACT_PATH, "pci0000:00/1c.0/00.0");
	ck_assert_uint_eq(candidates(rules_of(text), &f), 0);
	fake_done(&f);
	fake_pci(&f, "0001:03:00.0", "10de:0001:8086:a01f", "030003");
	ck_assert_uint_eq(candidates(rules_of(text), &f), 250 + 2);
	fake_done(&f);
}
END_TEST

START_TEST(device_with_more_names_than_there_is_room_for)
{
	static const char *const many[] = { "a:a:a:a:a:a:a", "b:b:b:b:b:b:b", "c:c:c:c:c:c:c",
					    "d:d:d:d:d:d:d", "e:e:e:e:e:e:e", "f:f:f:f:f:f:f",
					    "0000:00:1c.0" };
	struct policy *p = rules_of("[device a]\nAncestor=0001:00:*\nDriver=none\n"
				    "[device b]\nAncestor=0000:00:1c.0\nDriver=none\n");
	struct decision d;
	struct fake f;

	ck_assert_int_eq(policy_build_index(p), 0);
	fake_pci(&f, "0000:03:00.0", "8086:10d3:8086:a01f", "020000");
	for (size_t i = 0; i < ELEMENTSOF(many); i++)
		fake_add(&f, FACT_ANCESTOR, many[i]);
	policy_decide_own(p, &f.device, &d);
	ck_assert_str_eq(d.rule->label, "b");
	fake_done(&f);
}
END_TEST

START_TEST(facts_are_asked_for_when_a_rule_needs_them)
{
	struct policy *p = rules_of("[device a]\nName=0000:03:00.0\nDriver=none\n"
				    "[device b]\nId=8086:10d3\nDriver=none\n"
				    "[device c]\nClass=03\nDriver=none\n");
	struct decision d;
	struct fake f;

	ck_assert_int_eq(policy_build_index(p), 0);
	fake_pci(&f, "0000:03:00.0", "8086:10d3:8086:a01f", "020000");
	policy_decide_own(p, &f.device, &d);
	ck_assert_str_eq(d.rule->label, "a");
	ck_assert_uint_eq(f.facts[FACT_ID].asked, 0);
	fake_done(&f);

	fake_pci(&f, "0000:04:00.0", "8086:10d3:8086:a01f", "020000");
	policy_decide_own(p, &f.device, &d);
	ck_assert_str_eq(d.rule->label, "b");
	ck_assert_uint_eq(f.facts[FACT_CLASS].asked, 0);
	fake_done(&f);
}
END_TEST

/* Whether a rule asks the device for its path, as which it is looked for among virtual functions. */
static bool asks_for_path(const char *rule_path, const char *place, const char *path)
{
	char text[256];
	struct decision d;
	struct policy *p;
	struct fake f;
	bool asked;

	(void)snprintf(text, sizeof(text), "[device a]\nPath=%s\nDriver=none\n", rule_path);
	p = rules_of(text);
	ck_assert_int_eq(policy_build_index(p), 0);
	fake_pci(&f, "0000:03:00.0", "8086:10d3:8086:a01f", "020000");
	fake_add(&f, FACT_PATH, path);
	f.place = place;
	policy_decide_own(p, &f.device, &d);
	asked = f.facts[FACT_PATH].asked > 0;
	fake_done(&f);
	return asked;
}

START_TEST(path_is_asked_for_where_the_place_fits)
{
	static const char place[] = "pci0000:00/1c.0/00.1", vf[] = "pci0000:00/1c.0/00.0/vf1";

	ck_assert(asks_for_path("pci0000:00/1c.0/00.1", place, place));
	ck_assert(asks_for_path("PCI0000:00/1C.0/00.1", place, vf));
	ck_assert(asks_for_path("pci0000:00/1c.0/00.0/vf1", place, vf));
	ck_assert(asks_for_path("pci0000:00/1c.0/00.0/vf*", place, vf));
	ck_assert(asks_for_path("pci0000:00/1c.0/*", place, place));
	ck_assert(asks_for_path("*/1c.0/00.1", place, place));
	ck_assert(asks_for_path("pci0000:00/1c.0/00.0", NULL, vf));
	ck_assert(!asks_for_path("pci0000:00/1c.0/00.0", place, vf));
	ck_assert(!asks_for_path("pci0000:00/1d.0/00.1", place, place));
	ck_assert(!asks_for_path("pci0000:00/1d.0/*", place, place));
	ck_assert(!asks_for_path("pci0000:00/1d.0/00.0/vf*", place, vf));
	ck_assert(!asks_for_path("pci0000:00/1c.0/00.1", "", ""));
}
END_TEST

/* Checks the label of the rule that decides about a device in a tree, with and without index. */
static void decides_in_tree(const struct policy *plain, const struct policy *indexed, struct sysfs *sysfs,
			    const char *devpath, const char *label)
{
	const struct policy *const policies[] = { plain, indexed };

	for (size_t i = 0; i < ELEMENTSOF(policies); i++) {
		struct sysfs_device *d = mock_device(sysfs, devpath);
		struct decision decision;

		policy_decide_own(policies[i], &d->device, &decision);
		ck_assert_str_eq(decision.rule ? decision.rule->label : "", label);
		sysfs_device_free(d);
	}
}

START_TEST(functions_in_a_tree_real_and_virtual)
{
	struct mock *m = mock_new();
	const char *port = mock_pci_add(m, "0000:00:1c.0", NULL, 0x8086, 0x1901, 0x060400);
	const char *pf = mock_pci_add(m, "0000:03:00.0", port, 0x8086, 0x10c9, 0x020000);
	const char *vf = mock_pci_add(m, "0000:03:10.0", port, 0x8086, 0x10ca, 0x020000);
	const char *other = mock_pci_add(m, "0000:03:10.1", port, 0x8086, 0x10ca, 0x020000);
	const char *platform = mock_platform_add(m, "serial8250", NULL);
	static const char text[] = "[device its-slot]\nPath=pci0000:00/1c.0/10.0\nDriver=none\n"
				   "[device virtual]\nPath=pci0000:00/1c.0/00.0/vf0\nDriver=none\n"
				   "[device elsewhere]\nPath=pci0000:00/1d.0/*\nDriver=none\n"
				   "[device below]\nPath=pci0000:00/1c.0/10.*\nDriver=none\n"
				   "[device card]\nId=8086:10C9\nDriver=none\n"
				   "[device serial]\nName=serial8250\nDriver=none\n";
	struct policy *plain = rules_of(text), *indexed = rules_of(text);
	struct sysfs sysfs;

	ck_assert_int_eq(policy_build_index(indexed), 0);
	mock_sriov(m, pf, 8, 0x80, 2, 0x10ca);
	sysfs_init(&sysfs, &m->settings);
	decides_in_tree(plain, indexed, &sysfs, port, "");
	decides_in_tree(plain, indexed, &sysfs, pf, "card");
	decides_in_tree(plain, indexed, &sysfs, vf, "virtual");
	decides_in_tree(plain, indexed, &sysfs, other, "below");
	decides_in_tree(plain, indexed, &sysfs, platform, "serial");
	mock_free(m);
}
END_TEST

SUITE_MAIN("index", 60, decides_as_the_walk_through_all_rules, decides_groups_as_the_walk_through_all_rules,
	   rules_are_found_by_their_ids, literal_rules_about_others_are_not_looked_at,
	   device_with_more_names_than_there_is_room_for, facts_are_asked_for_when_a_rule_needs_them,
	   path_is_asked_for_where_the_place_fits, functions_in_a_tree_real_and_virtual)
