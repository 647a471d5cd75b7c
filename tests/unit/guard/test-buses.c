/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The buses that a rule can match. */
#include "guard/buses.h"
#include "base/arena.h"
#include "base/array.h"
#include "base/text.h"
#include "tests/unit/fixtures/mock-sysfs.h"
#include "tests/unit/fixtures/parse-policy.h"
#include "tests/unit/fixtures/suite.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

static bool may_match(const char *key_value, const char *bus)
{
	char text[256];

	(void)snprintf(text, sizeof(text), "[device d]\n%s\nDriver=none\n", key_value);
	return rule_may_match_bus(one_rule(text), bus);
}

START_TEST(only_buses_that_a_rule_can_match)
{
	ck_assert(may_match("Bus=pci", "pci"));
	ck_assert(!may_match("Bus=pci", "platform"));
	ck_assert(may_match("Bus=p*", "platform"));
	ck_assert(may_match("Id=8086:10d3", "pci"));
	ck_assert(!may_match("Id=8086:10d3", "platform"));
	ck_assert(!may_match("Class=02", "vmbus"));
	ck_assert(!may_match("PhysFn=0000:01:00.0", "platform"));
	ck_assert(may_match("Name=x", "platform"));
	ck_assert(may_match("Modalias=pci:v*", "pci"));
	ck_assert(may_match("Modalias=*", "pci"));
	ck_assert(!may_match("Modalias=vmbus:*", "pci"));
	ck_assert(may_match("Modalias=acpi:*", "platform"));
	ck_assert(may_match("Attr.removable=removable", "pci"));
}
END_TEST

static bool has_bus(const struct strings *buses, const char *bus)
{
	for (size_t i = 0; i < buses->n; i++)
		if (streq(buses->v[i], bus))
			return true;
	return false;
}

START_TEST(only_buses_whose_devices_may_have_overrides)
{
	struct mock *m = mock_new();
	struct policy *policy;
	struct strings buses = {};
	struct arena arena = {};

	mock_policy(m, MOCK_ETC, "50.conf", "[device d]\nBus=pci usb empty\nDriver=none\n");
	(void)mock_pci_add(m, "0000:00:03.0", NULL, 0x8086, 0x10d3, 0x020000);
	(void)mock_platform_add(m, "other", NULL);
	(void)mock_device_add(m, "usb", NULL, "1-1", false);
	make_dirs(mock_printf(m, "%s/bus/empty/devices", m->sysfs));
	policy = mock_load(m);
	ck_assert_int_eq(buses_of_policy(policy, m->sysfs, &arena, &buses), 0);
	ck_assert(has_bus(&buses, "pci"));
	ck_assert_msg(has_bus(&buses, "empty"), "a bus without devices may get some that have the file");
	ck_assert_msg(!has_bus(&buses, "usb"), "no device of the bus has the file");
	ck_assert_msg(!has_bus(&buses, "platform"), "no rule matches the bus");
	strings_done(&buses);
	arena_done(&arena);
	policy_free(policy);
	mock_free(m);
}
END_TEST

SUITE_MAIN("buses", 30, only_buses_that_a_rule_can_match, only_buses_whose_devices_may_have_overrides)
