/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The buses that a rule can match. */
#include "guard/buses.h"
#include "tests/unit/fixtures/parse-policy.h"
#include "tests/unit/fixtures/suite.h"

#include <stdbool.h>
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

SUITE_MAIN("buses", 30, only_buses_that_a_rule_can_match)
