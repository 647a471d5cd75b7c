/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether what the parser understood is what SetOverride was asked for, and nothing else. */
#include "daemon/operation/drop-in.h"
#include "base/macro.h"
#include "policy/policy.h"
#include "tests/unit/fixtures/mock-sysfs.h"
#include "tests/unit/fixtures/suite.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static const struct drop_in_rule by_name = { .bus = "pci",
					     .value = "0000:00:03.0",
					     .driver = "vfio-pci",
					     .key = KEY_NAME,
					     .id = "8086:10d3:1af4:1100" };
static const struct drop_in_rule in_full = { .bus = "plat form",
					     .value = "foo [x]*",
					     .driver = "none",
					     .key = KEY_NAME,
					     .modalias = "platform:foo bar",
					     .group = "none",
					     .module = "foo",
					     .rebind = REBIND_FORCE };
static const struct drop_in_rule by_path = {
	.bus = "pci", .value = "pci0000:00/1c.0/pci10000:00/00.0", .driver = "default", .key = KEY_PATH
};
static const struct drop_in_rule by_id = {
	.bus = "pci", .value = "8086:10d3", .driver = "vfio", .key = KEY_ID, .group = "leave"
};

/* Whether the rule is understood from a text. */
static bool text_says(const struct drop_in_rule *rule, const char *text)
{
	struct mock *m = mock_new();
	struct policy *policy;
	bool is_understood;

	(void)mock_policy(m, MOCK_ETC, "10-x.conf", text);
	policy = mock_load(m);
	ck_assert_msg(policy->n_rules == 1, "%s", text);
	is_understood = drop_in_rule_is_understood(rule, policy->rules[0]);
	policy_free(policy);
	mock_free(m);
	return is_understood;
}

static bool text_with_line_says(const struct drop_in_rule *rule, const char *line)
{
	_cleanup_(freep) char *text = drop_in_text(rule), *longer = NULL;

	ck_assert_ptr_nonnull(text);
	ck_assert_int_ge(asprintf(&longer, "%s%s\n", text, line), 0);
	return text_says(rule, longer);
}

START_TEST(rule_is_understood_from_its_text)
{
	ck_assert(text_with_line_says(&by_name, ""));
	ck_assert(text_with_line_says(&in_full, ""));
	ck_assert(text_with_line_says(&by_path, ""));
	ck_assert(text_with_line_says(&by_id, ""));
}
END_TEST

START_TEST(line_more_is_not_what_was_asked)
{
	static const char *const lines[] = { "Name=0000:00:04.0", "Bus=usb",	      "Class=02",
					     "Id=8086:10d4",	  "Modalias=pci:*",   "Group=none",
					     "Group=leave",	  "Rebind=force",     "Module=evil",
					     "Access=nobody::",	  "Path=pci0000:00*", "Attr.vendor=0x8086" };

	for (size_t i = 0; i < ELEMENTSOF(lines); i++)
		ck_assert_msg(!text_with_line_says(&by_name, lines[i]), "%s", lines[i]);
}
END_TEST

START_TEST(other_value_is_not_what_was_asked)
{
	struct drop_in_rule other[] = { in_full, in_full, in_full, in_full, in_full, in_full, in_full };

	other[0].bus = "plat";
	other[1].value = "foo";
	other[2].driver = "default";
	other[3].modalias = NULL;
	other[4].group = "vfio";
	other[5].module = "bar";
	other[6].rebind = REBIND_SAFE;
	for (size_t i = 0; i < ELEMENTSOF(other); i++) {
		_cleanup_(freep) char *text = drop_in_text(&in_full);

		ck_assert_ptr_nonnull(text);
		ck_assert_msg(!text_says(&other[i], text), "%zu", i);
	}
}
END_TEST

SUITE_MAIN("drop-in", 10, rule_is_understood_from_its_text, line_more_is_not_what_was_asked,
	   other_value_is_not_what_was_asked)
