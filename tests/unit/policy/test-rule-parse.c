/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Policy files: what is refused, in which line, and what is taken. inih's own traps are in test-ini-quirks.c.
 */
#include "base/macro.h"
#include "tests/unit/fixtures/parse-policy.h"
#include "tests/unit/fixtures/suite.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- what the contract calls an error ------------------------------------------------------------- */

START_TEST(unknown_section)
{
	assert_refused("[devices x]\nName=a\nDriver=b\n", 1);
	assert_refused(GOOD "[default]\nDriver=b\n", 4);
	assert_refused(GOOD "[Device x]\nName=a\nDriver=b\n", 4);
	assert_refused(GOOD "[devicex]\nName=a\nDriver=b\n", 4);
}
END_TEST

START_TEST(section_without_label)
{
	assert_refused("[device]\nName=a\nDriver=b\n", 1);
	assert_refused("[device ]\nName=a\nDriver=b\n", 1);
	assert_refused("[device  \t]\nName=a\nDriver=b\n", 1);
	assert_refused("[]\n", 1);
}
END_TEST

START_TEST(unknown_key)
{
	assert_refused("[device x]\nName=a\nDriver=b\nDriverr=c\n", 4);
	assert_refused("[device x]\nname=a\nDriver=b\n", 2);
	assert_refused("[device x]\nName=a\nDriver=b\nAttr=c\n", 4);
	assert_refused("[device x]\nName=a\nDriver=b\n=c\n", 4);
}
END_TEST

START_TEST(key_before_the_first_section)
{
	assert_refused("Name=a\n" GOOD, 1);
}
END_TEST

START_TEST(neither_key_nor_section_nor_comment)
{
	assert_refused("[device x]\nName=a\nDriver=b\nhello\n", 4);
	assert_refused(GOOD "// no comment\n", 4);
}
END_TEST

START_TEST(no_driver)
{
	assert_refused("\n\n[device x]\nName=a\n", 3);
	assert_refused("[device x]\nName=a\n"
		       "[device y]\nName=a\nDriver=b\n",
		       1);
}
END_TEST

START_TEST(no_match_key)
{
	assert_refused("[device x]\nDriver=b\n", 1);
	assert_refused(GOOD "[device x]\nDriver=b\nGroup=hold\nRebind=no\nModule=m\n", 4);
}
END_TEST

START_TEST(action_keys_twice)
{
	assert_refused("[device x]\nName=a\nDriver=b\nDriver=b\n", 4);
	assert_refused("[device x]\nName=a\nDriver=b\nGroup=hold\nGroup=hold\n", 5);
	assert_refused("[device x]\nName=a\nDriver=b\nRebind=no\nRebind=safe\n", 5);
	assert_refused("[device x]\nName=a\nDriver=b\nModule=m\nModule=m\n", 5);
	assert_refused("[device x]\nName=a\nDriver=b\nAccess=a::\nAccess=b::\n", 5);
}
END_TEST

START_TEST(duplicate_label)
{
	assert_refused("[device x]\nName=a\nDriver=b\n[device x]\nName=c\nDriver=d\n", 4);
	assert_refused("[device x]\nName=a\nDriver=b\n[device y]\nName=c\nDriver=d\n[device   x "
		       "]\nName=e\nDriver=f\n",
		       7);
}
END_TEST

START_TEST(labels_that_differ_in_case_are_two)
{
	assert_accepted("[device x]\nName=a\nDriver=b\n[device X]\nName=a\nDriver=b\n", 2);
}
END_TEST

START_TEST(same_label_in_two_files)
{
	_cleanup_(policy_freep) struct policy *policy = calloc(1, sizeof(*policy));

	ck_assert_int_eq(policy_parse(policy, "a.conf", GOOD, strlen(GOOD)), 0);
	ck_assert_int_eq(policy_parse(policy, "b.conf", GOOD, strlen(GOOD)), 0);
	ck_assert_uint_eq(policy->n_rules, 2);
	ck_assert_uint_ne(rule_id(policy->rules[0]), rule_id(policy->rules[1]));
}
END_TEST

START_TEST(bad_drivers)
{
	assert_refused_value("Driver", "");
	assert_refused_value("Driver", ".");
	assert_refused_value("Driver", "..");
	assert_refused_value("Driver", "../../etc");
	assert_refused_value("Driver", "a/b");
	assert_refused_value("Driver", "a\tb");
	assert_refused_value("Driver", "f\xc3\xbc");
	assert_refused_value("Driver", FILL_128);
}
END_TEST

START_TEST(bad_groups)
{
	assert_refused_value("Group", "");
	assert_refused_value("Group", "default");
	assert_refused_value("Group", "..");
	assert_refused_value("Group", "a/b");
	assert_refused_value("Group", FILL_128);
}
END_TEST

START_TEST(bad_rebinds)
{
	assert_refused_value("Rebind", "");
	assert_refused_value("Rebind", "yes");
	assert_refused_value("Rebind", "Safe");
}
END_TEST

START_TEST(bad_modules)
{
	assert_refused_value("Module", "");
	assert_refused_value("Module", "a b");
	assert_refused_value("Module", "../a");
	assert_refused_value("Module", "/a.ko");
	assert_refused_value("Module", "-r");
	assert_refused_value("Module", "a\"b");
	assert_refused_value("Module", FILL_128);
}
END_TEST

START_TEST(bad_access)
{
	static const char *const values[] = {
		"",	    "::",	 "qemu",    "qemu:kvm",	 "a:b:660:",   "a:b:66",   "a:b:rw",
		"a:b:1660", "a:b:00660", "a:b:888", "a b:c:660", "a:b c:660",  "a:b: 660", "a$b::",
		"-a::",	    "a:-b:",	 "a%::",    "a/b::",	 "\xc3\xbc::", "a:b:0x1b0"
	};

	for (size_t i = 0; i < ELEMENTSOF(values); i++)
		assert_refused_value("Access", values[i]);
}
END_TEST

START_TEST(access_has_three_parts)
{
	static const struct {
		const char *value, *user, *group, *mode;
	} good[] = {
		{ "qemu:kvm:0660", "qemu", "kvm", "0660" },   { "::600", "", "", "600" },
		{ "a.b_c-d::", "a.b_c-d", "", "" },	      { ":kvm:", "", "kvm", "" },
		{ "64055:104:0000", "64055", "104", "0000" },
	};

	for (size_t i = 0; i < ELEMENTSOF(good); i++) {
		char text[128];
		struct rule *r;

		(void)snprintf(text, sizeof(text), "[device x]\nName=a\nDriver=b\nAccess=%s\n",
			       good[i].value);
		r = one_rule(text);
		ck_assert_str_eq(r->access.user, good[i].user);
		ck_assert_str_eq(r->access.group, good[i].group);
		ck_assert_str_eq(r->access.mode, good[i].mode);
	}
	ck_assert_ptr_null(one_rule("[device x]\nName=a\nDriver=b\n")->access.user);
}
END_TEST

START_TEST(bad_ids)
{
	assert_refused_value("Id", "");
	assert_refused_value("Id", "10de");
	assert_refused_value("Id", "10de:");
	assert_refused_value("Id", "10de:1b8");
	assert_refused_value("Id", "10de:1b800");
	assert_refused_value("Id", "10de:1b8g");
	assert_refused_value("Id", "10de:1b80:1043");
	assert_refused_value("Id", "10de:1b80:1043:85aa:0");
	assert_refused_value("Id", "0x10de:0x1b80");
	assert_refused_value("Id", "10de:1b80 10de");
	assert_refused_value("Id", "10de:x*");
}
END_TEST

START_TEST(bad_classes)
{
	assert_refused_value("Class", "");
	assert_refused_value("Class", "3");
	assert_refused_value("Class", "030");
	assert_refused_value("Class", "03000");
	assert_refused_value("Class", "0300000");
	assert_refused_value("Class", "0x03");
	assert_refused_value("Class", "vga");
}
END_TEST

START_TEST(match_keys_without_value)
{
	static const char *const keys[] = { "Bus",	"Name",	    "Path",   "Modalias", "Compatible",
					    "Firmware", "Ancestor", "PhysFn", "Attr.x" };

	for (size_t i = 0; i < ELEMENTSOF(keys); i++)
		assert_refused_value(keys[i], "");
}
END_TEST

START_TEST(attributes_that_cannot_be_matched)
{
	assert_refused_value("Attr.driver_override", "a");
	assert_refused_value("Attr.config", "a");
	assert_refused_value("Attr.rom", "a");
	assert_refused_value("Attr.vpd", "a");
	assert_refused_value("Attr.", "a");
	assert_refused_value("Attr.power/control", "a");
	assert_refused_value("Attr...", "a");
	assert_refused_value("Attr.../uevent", "a");
}
END_TEST

START_TEST(all_errors_of_a_file_are_told)
{
	_cleanup_(policy_freep) struct policy *policy = calloc(1, sizeof(*policy));
	static const char text[] = "[device x]\nName=a\nDriver=..\nFoo=a\n[device y]\nName=a\n";

	ck_assert_int_eq(policy_parse(policy, "x.conf", text, strlen(text)), -EINVAL);
	ck_assert_uint_eq(policy->n_errors, 3);
	ck_assert_uint_eq(policy->errors[0].line, 3);
	ck_assert_uint_eq(policy->errors[1].line, 4);
	ck_assert_uint_eq(policy->errors[2].line, 5);
	ck_assert_str_eq(policy->errors[0].file, "x.conf");
}
END_TEST

START_TEST(thousands_of_errors_are_counted)
{
	_cleanup_(policy_freep) struct policy *policy = calloc(1, sizeof(*policy));
	char text[40000] = "";

	for (size_t i = 0; i < 10000; i++)
		memcpy(text + 4 * i, "x=y\n", 4);
	ck_assert_int_eq(policy_parse(policy, "x.conf", text, sizeof(text)), -EINVAL);
	ck_assert_uint_eq(policy->n_errors, POLICY_FILE_ERRORS_MAX + 1);
	ck_assert_ptr_nonnull(strstr(policy->errors[POLICY_FILE_ERRORS_MAX].text, "9950"));
}
END_TEST

/* --- what is taken -------------------------------------------------------------------------------- */

START_TEST(an_empty_file_has_no_rules)
{
	assert_accepted("", 0);
	assert_accepted("\n\n", 0);
	assert_accepted("# nothing\n; at all\n", 0);
	assert_accepted("   \n\t\n", 0);
}
END_TEST

START_TEST(comments)
{
	struct rule *r =
		one_rule("# a\n; b\n[device x]\n# Driver=no\n  # indented\nName=a\n;Group=hold\nDriver=b\n#");

	ck_assert_str_eq(r->driver.name, "b");
	ck_assert_int_eq(r->group, GROUP_LEAVE);
	ck_assert_uint_eq(r->line, 3);
}
END_TEST

START_TEST(carriage_returns)
{
	struct rule *r = one_rule("# a\r\n[device x]\r\nName=a b\r\n\r\nDriver=c\r\n");

	ck_assert_str_eq(r->label, "x");
	ck_assert_str_eq(r->driver.name, "c");
	ck_assert_str_eq(r->conditions->any->next->text, "b");
}
END_TEST

START_TEST(last_line_without_newline)
{
	struct rule *r = one_rule("[device x]\nName=a\nDriver=bcd");

	ck_assert_str_eq(r->driver.name, "bcd");
}
END_TEST

START_TEST(a_section_in_the_last_line_is_not_lost)
{
	assert_refused(GOOD "[device x]", 4);
}
END_TEST

START_TEST(blanks_around_key_and_value)
{
	struct rule *r = one_rule("[device x]  \nName =\ta \t\nDriver = b \n");

	ck_assert_str_eq(r->conditions->any->text, "a");
	ck_assert_str_eq(r->driver.name, "b");
}
END_TEST

START_TEST(values_by_spaces_and_by_lines)
{
	struct rule *r = one_rule("[device x]\nName=a  b\tc\nDriver=d\nName=e\n");
	const struct pattern *p = r->conditions->any;
	static const char *const want[] = { "a", "b", "c", "e" };

	ck_assert_ptr_null(r->conditions->next);
	for (size_t i = 0; i < ELEMENTSOF(want); i++, p = p->next)
		ck_assert_str_eq(p->text, want[i]);
	ck_assert_ptr_null(p);
}
END_TEST

START_TEST(attributes_are_conditions_of_their_own)
{
	struct rule *r = one_rule("[device x]\nAttr.a=1\nAttr.b=2\nAttr.a=3\nDriver=d\n");

	ck_assert_ptr_nonnull(r->conditions->next);
	ck_assert_ptr_null(r->conditions->next->next);
	ck_assert_str_ne(r->conditions->attr, r->conditions->next->attr);
}
END_TEST

START_TEST(the_cheapest_fact_comes_first)
{
	struct rule *r =
		one_rule("[device x]\nAttr.a=1\nId=1234:5678\nName=0000:01:00.0\nBus=pci\nDriver=d\n");
	static const enum fact want[] = { FACT_BUS, FACT_NAME, FACT_ID, FACT_ATTR };
	const struct condition *c = r->conditions;

	for (size_t i = 0; i < ELEMENTSOF(want); i++, c = c->next)
		ck_assert_int_eq(c->fact, want[i]);
}
END_TEST

START_TEST(drivers)
{
	ck_assert_int_eq(one_rule("[device x]\nName=a\nDriver=none\n")->driver.kind, DRIVER_NONE);
	ck_assert_int_eq(one_rule("[device x]\nName=a\nDriver=default\n")->driver.kind, DRIVER_DEFAULT);
	ck_assert_int_eq(one_rule("[device x]\nName=a\nDriver=vfio\n")->driver.kind, DRIVER_VFIO);
	ck_assert_int_eq(one_rule("[device x]\nName=a\nDriver=vfio-pci\n")->driver.kind, DRIVER_NAMED);
	ck_assert_str_eq(one_rule("[device x]\nName=a\nDriver=Intel(R) X\n")->driver.name, "Intel(R) X");
	ck_assert_uint_eq(strlen(one_rule("[device x]\nName=a\nDriver=" FILL_127 "\n")->driver.name), 127);
}
END_TEST

START_TEST(defaults)
{
	ck_assert_int_eq(one_rule("[device x]\nName=a\nDriver=vfio\n")->group, GROUP_HOLD);
	ck_assert_int_eq(one_rule("[device x]\nName=a\nDriver=vfio-pci\n")->group, GROUP_HOLD);
	ck_assert_int_eq(one_rule("[device x]\nName=a\nDriver=mlx5-vfio-pci\n")->group, GROUP_HOLD);
	ck_assert_int_eq(one_rule("[device x]\nName=a\nDriver=vfio_ap\n")->group, GROUP_HOLD);
	ck_assert_int_eq(one_rule("[device x]\nName=a\nDriver=pci-stub\n")->group, GROUP_LEAVE);
	ck_assert_int_eq(one_rule("[device x]\nName=a\nDriver=none\n")->group, GROUP_LEAVE);
	ck_assert_int_eq(one_rule("[device x]\nName=a\nDriver=default\n")->group, GROUP_LEAVE);
	ck_assert_int_eq(one_rule("[device x]\nName=a\nDriver=b\n")->rebind, REBIND_SAFE);
	ck_assert_ptr_null(one_rule("[device x]\nName=a\nDriver=b\n")->module);
}
END_TEST

START_TEST(groups_and_the_rest)
{
	struct rule *r =
		one_rule("[device x]\nName=a\nDriver=b\nGroup=vfio-pci\nRebind=force\nModule=m_1-x\n");

	ck_assert_int_eq(r->group, GROUP_GIVE);
	ck_assert_int_eq(r->group_driver.kind, DRIVER_NAMED);
	ck_assert_str_eq(r->group_driver.name, "vfio-pci");
	ck_assert_int_eq(r->rebind, REBIND_FORCE);
	ck_assert_str_eq(r->module, "m_1-x");
	ck_assert_int_eq(one_rule("[device x]\nName=a\nDriver=b\nGroup=none\n")->group_driver.kind,
			 DRIVER_NONE);
	ck_assert_int_eq(one_rule("[device x]\nName=a\nDriver=b\nGroup=vfio\n")->group_driver.kind,
			 DRIVER_VFIO);
	ck_assert_int_eq(one_rule("[device x]\nName=a\nDriver=vfio\nGroup=leave\n")->group, GROUP_LEAVE);
	ck_assert_int_eq(one_rule("[device x]\nName=a\nDriver=b\nRebind=no\n")->rebind, REBIND_NO);
}
END_TEST

START_TEST(id_is_of_what_the_rule_says)
{
	uint64_t id = rule_id(one_rule("[device x]\nName=a\nDriver=b\n"));

	ck_assert_uint_eq(rule_id(one_rule("# moved\n\n[device x]\nName=a\nDriver=b\n")), id);
	ck_assert_uint_ne(rule_id(one_rule("[device x]\nName=a\nDriver=c\n")), id);
	ck_assert_uint_ne(rule_id(one_rule("[device x]\nName=b\nDriver=b\n")), id);
	ck_assert_uint_ne(rule_id(one_rule("[device y]\nName=a\nDriver=b\n")), id);
	ck_assert_uint_ne(rule_id(one_rule("[device x]\nName=a\nDriver=b\nGroup=none\n")), id);
}
END_TEST

/* Policy is its rules: what a device was given is not given up for a comment, nor for another rule. */
START_TEST(id_is_not_of_comments_and_blank_lines)
{
	uint64_t id = rule_id(one_rule("[device x]\nName=a\nDriver=b\n"));

	ck_assert_uint_eq(rule_id(one_rule("# moved\n\n[device x]\nName=a\nDriver=b\n")), id);
	ck_assert_uint_eq(rule_id(one_rule("[device x]\nName=a\nDriver=b")), id);
	ck_assert_uint_eq(rule_id(one_rule("[device x]\nName=a\nDriver=b\n\n# the end\n")), id);
	ck_assert_uint_eq(rule_id(one_rule("[device x]\n# why\nName=a\n\n \t\n; and\n  # how\nDriver=b\n")),
			  id);
	ck_assert_uint_eq(rule_id(one_rule("[device x]\r\nName=a \t\r\n\r\nDriver=b\r\n")), id);
	ck_assert_uint_ne(rule_id(one_rule("[device x]\nDriver=b\nName=a\n")), id);
	ck_assert_uint_ne(rule_id(one_rule("[device x]\nName=aDriver\nDriver=b\n")), id);
	ck_assert_uint_eq(rule_id(rules_of("[device x]\nName=a\nDriver=b\n\n"
					   "# another\n[device y]\nName=c\nDriver=d\n")
					  ->rules[0]),
			  id);
}
END_TEST

SUITE_MAIN("parse", 20, unknown_section, section_without_label, unknown_key, key_before_the_first_section,
	   neither_key_nor_section_nor_comment, no_driver, no_match_key, action_keys_twice, duplicate_label,
	   labels_that_differ_in_case_are_two, same_label_in_two_files, bad_drivers, bad_groups, bad_rebinds,
	   bad_modules, bad_access, access_has_three_parts, bad_ids, bad_classes, match_keys_without_value,
	   attributes_that_cannot_be_matched, all_errors_of_a_file_are_told, thousands_of_errors_are_counted,
	   an_empty_file_has_no_rules, comments, carriage_returns, last_line_without_newline,
	   a_section_in_the_last_line_is_not_lost, blanks_around_key_and_value, values_by_spaces_and_by_lines,
	   attributes_are_conditions_of_their_own, the_cheapest_fact_comes_first, drivers, defaults,
	   groups_and_the_rest, id_is_of_what_the_rule_says, id_is_not_of_comments_and_blank_lines)
