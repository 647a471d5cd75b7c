/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the filter spares, policy decides nothing about: shown by rules, devices and groups by chance. */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "policy/decide.h"
#include "tests/unit/fixtures/fake-device.h"
#include "tests/unit/fixtures/filter-kernel.h"
#include "tests/unit/fixtures/suite.h"

/* Devices and rules by chance, from so few values that many match. */
static uint64_t chance_state = 1;

static unsigned chance(unsigned n)
{
	chance_state = chance_state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)(chance_state >> 33) % n;
}

#define CHOOSE(list) ((list)[chance(ELEMENTSOF(list))])

static const char *const card_names[] = { "0000:01:00.0", "0000:01:00.1", "0000:0a:00.0", "10000:01:00.0" };
static const struct {
	unsigned vendor, device;
	const char *id;
} ids[] = { { 0x10de, 0x1b80, "10de:1b80:1043:8595" },
	    { 0x10de, 0x10f0, "10de:10f0:1043:8595" },
	    { 0x8086, 0x10d3, "8086:10d3:0000:0000" } };
static const struct {
	unsigned value;
	const char *text;
} classes[] = { { 0x030000, "030000" }, { 0x040300, "040300" }, { 0x060400, "060400" } };

static const char *const condition_texts[] = {
	"Name=0000:01:00.0",
	"Name=0000:01:00.*",
	"Name=0000:0A:00.0",
	"Name=0000:* 10000:01:00.0",
	"Name=10000:*",
	"Name=0000:01:00.[0-3]",
	"Name=MSFT0101:00",
	"Name=MSFT0101:*",
	"Id=10de:1b80",
	"Id=10DE:*",
	"Id=10de:1b80:1043:8595",
	"Id=10de:1b80:1043:0000",
	"Id=8086:10d?",
	"Id=*:10d3",
	"Class=03",
	"Class=0300 0604",
	"Class=030000",
	"Class=0[34]*",
	"Class=04*",
	"Bus=pci",
	"Bus=platform",
	"Bus=p*",
	"Attr.x=y",
	"Modalias=*",
	"Path=pci0000:00/*",
	"Path=*",
};
static const char *const actions[] = { "Driver=vfio-pci",
				       "Driver=none",
				       "Driver=default",
				       "Driver=none\nGroup=hold",
				       "Driver=vfio-pci\nGroup=leave",
				       "Driver=e1000e\nGroup=none" };

/* What contradicts itself is refused: then another one. The text must live as long as the policy. */
static struct policy *policy_by_chance(char *text, size_t size)
{
	struct policy *policy = calloc(1, sizeof(*policy));
	size_t n = 0;

	ck_assert_ptr_nonnull(policy);
	for (unsigned rule = 0, rules = 1 + chance(3); rule < rules; rule++) {
		/* Of one key only once. */
		const char *first = CHOOSE(condition_texts), *second = CHOOSE(condition_texts);

		n += (size_t)snprintf(text + n, size - n, "[device d%u]\n%s\n", rule, first);
		if (chance(2) && strncmp(first, second, 2) != 0)
			n += (size_t)snprintf(text + n, size - n, "%s\n", second);
		n += (size_t)snprintf(text + n, size - n, "%s\n\n", CHOOSE(actions));
	}
	if (policy_parse(policy, "chance.conf", text, n) == 0)
		return policy;
	policy_free(policy);
	return policy_by_chance(text, size);
}

/* The same device as the policy sees it and as the kernel has it. */
struct seen_twice {
	struct fake fake;
	struct pci_dev___local kernel;
	bool is_pci;
};

static void device_by_chance(struct seen_twice *d, unsigned number)
{
	static const struct bus_type___local platform_bus = { .name = "platform" };
	const unsigned id = chance(ELEMENTSOF(ids)), class = chance(ELEMENTSOF(classes));

	d->is_pci = chance(8) > 0;
	if (d->is_pci) {
		d->kernel = card(card_names[number], ids[id].vendor, ids[id].device, classes[class].value);
		fake_pci(&d->fake, card_names[number], ids[id].id, classes[class].text);
		fake_add(&d->fake, FACT_PATH, "pci0000:00/01.0/00.0");
	} else {
		d->kernel = (struct pci_dev___local){ .dev = { .kobj = { .name = "MSFT0101:00" },
							       .bus = &platform_bus } };
		fake_init(&d->fake);
		fake_add(&d->fake, FACT_BUS, "platform");
		fake_add(&d->fake, FACT_NAME, "MSFT0101:00");
	}
	fake_add(&d->fake, FACT_MODALIAS, "of:NanyT(null)");
	if (chance(3) == 0)
		fake_attr(&d->fake, "x", "y");
	if (d->is_pci && chance(3) == 0)
		fake_unknown(&d->fake, FACT_PATH, -EAGAIN);
}

/* Asks both about every member of a group. Returns how many are spared. */
static unsigned compare_group(const struct policy *policy, struct seen_twice *v, size_t n)
{
	unsigned n_spared = 0;

	for (size_t i = 0; i < n; i++) {
		struct decision decision;

		if (kernel_flags[!v[i].is_pci] == NOT_WANTED || !spares(&v[i].kernel.dev, v[i].is_pci))
			continue;
		n_spared++;
		ck_assert_int_eq(policy_decide(policy, &v[i].fake.device, &decision), 0);
		ck_assert_msg(decision.kind == DECISION_NOTHING && !decision.rule && decision.n_members == 0,
			      "%s is spared, but %s decides about it or its group", v[i].kernel.dev.kobj.name,
			      policy->rules[0]->text);
		decision_done(&decision);
	}
	return n_spared;
}

START_TEST(policy_decides_nothing_about_what_is_spared)
{
	unsigned n_spared = 0, n_asked = 0, n_filtered = 0;

	for (unsigned round = 0; round < 20000; round++) {
		char text[2048];
		struct policy *policy = policy_by_chance(text, sizeof(text));
		struct seen_twice v[ELEMENTSOF(card_names)];
		struct fake *fakes[ELEMENTSOF(v)];
		struct device___local *devices[ELEMENTSOF(v)];
		struct group_device___local members[ELEMENTSOF(v)];
		struct iommu_group___local group;
		const size_t n = 1 + chance(ELEMENTSOF(v));

		for (unsigned i = 0; i < n; i++) {
			device_by_chance(&v[i], i);
			fakes[i] = &v[i].fake;
			devices[i] = &v[i].kernel.dev;
		}
		if (chance(4)) {
			make_group(&group, members, devices, n);
			fake_group(fakes, n);
		}
		set_filter(policy);
		n_asked += (unsigned)n;
		n_filtered += streq(filter_text, "on");
		n_spared += compare_group(policy, v, n);
		for (unsigned i = 0; i < n; i++)
			fake_done(&v[i].fake);
		policy_free(policy);
	}
	/* Else nothing would have been shown. */
	ck_assert_uint_gt(n_spared, n_asked / 10);
	ck_assert_uint_lt(n_spared, n_asked / 2);
	ck_assert_uint_gt(n_filtered, 20000 / 5);
}
END_TEST

SUITE_MAIN("hold-filter-chance", 60, policy_decides_nothing_about_what_is_spared)
