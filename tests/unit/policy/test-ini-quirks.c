/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What inih 55 does on its own and a policy file must not meet with: one test for each trap, by its name. */
#include "base/macro.h"
#include "tests/unit/fixtures/parse-policy.h"
#include "tests/unit/fixtures/suite.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A comment line of n bytes whose end would be a key if it were read as a line of its own. */
static char *comment(char *buf, size_t n, const char *end)
{
	memset(buf, '#', n);
	memcpy(buf + n - strlen(end), end, strlen(end));
	buf[n] = '\0';
	return buf;
}

START_TEST(long_line_is_not_continued_as_a_new_line)
{
	char line[512], text[1024];

	/* inih's first piece is 199 bytes long; the second would be exactly the key. */
	comment(line, 199 + strlen("Group=none"), "Group=none");
	(void)snprintf(text, sizeof(text), "[device x]\nName=a\nDriver=b\n%s\n", line);
	assert_refused(text, 4);
}
END_TEST

START_TEST(line_of_198_bytes)
{
	char line[512], text[1024];
	struct rule *r;

	(void)snprintf(text, sizeof(text), GOOD "%s\n", comment(line, 198, "Driver=evil"));
	assert_accepted(text, 1);
	(void)snprintf(text, sizeof(text), GOOD "%s", comment(line, 198, "Driver=evil"));
	assert_accepted(text, 1);

	memset(line, 'n', sizeof(line));
	memcpy(line, "Name=", 5);
	line[198] = '\0';
	(void)snprintf(text, sizeof(text), "[device x]\n%s\nDriver=b\n", line);
	r = one_rule(text);
	ck_assert_str_eq(r->conditions->any->text, line + 5);
	ck_assert_ptr_null(r->conditions->any->next);
}
END_TEST

START_TEST(line_of_199_bytes)
{
	char line[512], text[1024];

	(void)snprintf(text, sizeof(text), GOOD "%s\n", comment(line, 199, ""));
	assert_refused(text, 4);
	(void)snprintf(text, sizeof(text), GOOD "%s", comment(line, 199, ""));
	assert_refused(text, 4);
	memset(line, 'n', sizeof(line));
	memcpy(line, "Name=", 5);
	line[199] = '\0';
	(void)snprintf(text, sizeof(text), GOOD "[device x]\nDriver=b\nName=b\n%s\n", line);
	assert_refused(text, 7);
}
END_TEST

START_TEST(long_line_without_end)
{
	static char text[300000];

	memset(text, 'x', sizeof(text));
	assert_refused_bytes(text, sizeof(text), 1);
}
END_TEST

START_TEST(lines_are_counted_behind_a_long_one)
{
	_cleanup_(policy_freep) struct policy *policy = calloc(1, sizeof(*policy));
	char line[1024], text[2048];

	(void)snprintf(text, sizeof(text), GOOD "%s\nFoo=bar\n", comment(line, 900, ""));
	ck_assert_int_eq(policy_parse(policy, "x", text, strlen(text)), -EINVAL);
	ck_assert_uint_eq(policy->n_errors, 2);
	ck_assert_uint_eq(policy->errors[0].line, 4);
	ck_assert_uint_eq(policy->errors[1].line, 5);
}
END_TEST

START_TEST(colon_does_not_separate)
{
	assert_refused("[device x]\nDriver=b\nGroup:none\nName=a\n", 3);
	assert_refused("[device x]\nDriver=b\nGroup: a=b\nName=a\n", 3);
	assert_refused(GOOD "0000:00:03.0=b\n", 4);
}
END_TEST

START_TEST(colon_in_value_and_label)
{
	struct rule *r = one_rule("[device 0000:03:00.0]\nName=0000:03:00.0\nDriver=a:b\n");

	ck_assert_str_eq(r->label, "0000:03:00.0");
	ck_assert_str_eq(r->conditions->any->text, "0000:03:00.0");
	ck_assert_str_eq(r->driver.name, "a:b");
}
END_TEST

START_TEST(indented_line_continues_nothing)
{
	assert_refused("[device x]\nDriver=b\nName=a\n b\n", 4);
	assert_refused("[device x]\nDriver=b\nName=a\n\tb\n", 4);
	assert_refused("[device x]\nName=a\n Driver=b\nDriver=b\n", 3);
	assert_refused("[device x]\nName=a\nDriver=b\n [device y]\nName=c\n", 4);
	assert_refused("[device x]\nName=a\nDriver=b\n\vName=c\n", 4);
	assert_refused("[device x]\nName=a\nDriver=b\n\fName=c\n", 4);
	assert_refused("[device x]\nName=a\nDriver=b\n\rName=c\n", 4);
}
END_TEST

START_TEST(section_without_closing_bracket)
{
	assert_refused("[device x]\nName=a\nDriver=b\n[device y\nName=c\nGroup=none\n", 4);
}
END_TEST

START_TEST(text_after_closing_bracket)
{
	assert_refused("[device x] Driver=b\nName=a\nDriver=b\n", 1);
	assert_refused("[device x] # comment\nName=a\nDriver=b\n", 1);
	assert_refused("[device x]]\nName=a\nDriver=b\n", 1);
}
END_TEST

START_TEST(label_is_not_cut_at_49_characters)
{
	char a[128], b[128], text[512];
	struct policy *p;

	memset(a, 'l', sizeof(a));
	a[120] = '\0';
	memcpy(b, a, sizeof(a));
	b[119] = 'm';
	(void)snprintf(text, sizeof(text), "[device %s]\nName=a\nDriver=b\n[device %s]\nName=c\nDriver=d\n",
		       a, b);
	p = rules_of(text);
	ck_assert_uint_eq(p->n_rules, 2);
	ck_assert_str_eq(p->rules[0]->label, a);
	ck_assert_str_eq(p->rules[1]->label, b);

	(void)snprintf(text, sizeof(text), "[device %s]\nName=a\nDriver=b\n[device %s]\nName=c\nDriver=d\n",
		       a, a);
	assert_refused(text, 4);
}
END_TEST

START_TEST(every_error_is_told_not_only_the_first)
{
	_cleanup_(policy_freep) struct policy *policy = calloc(1, sizeof(*policy));
	static const char text[] = "[device x]\nName=a\nDriver=b\nhello\n[device y\n indented=1\nFoo=\n";
	static const unsigned lines[] = { 4, 5, 6 };

	ck_assert_int_eq(policy_parse(policy, "x", text, strlen(text)), -EINVAL);
	ck_assert_uint_ge(policy->n_errors, ELEMENTSOF(lines));
	for (size_t i = 0; i < ELEMENTSOF(lines); i++)
		ck_assert_uint_eq(policy->errors[i].line, lines[i]);
}
END_TEST

START_TEST(line_that_only_inih_finds_fault_with_is_told_beside_others)
{
	_cleanup_(policy_freep) struct policy *policy = calloc(1, sizeof(*policy));
	/* The comment begins before the "=", so inih sees a key without a value. */
	static const char text[] = "[device x]\nName=a\nDriver=b\nGroup ;=hold\nFoo=bar\n";

	ck_assert_int_eq(policy_parse(policy, "x", text, strlen(text)), -EINVAL);
	ck_assert_uint_eq(policy->n_errors, 2);
	assert_refused("[device x]\nName=a\nDriver=b\nGroup ;=hold\n", 4);
}
END_TEST

START_TEST(nul_ends_nothing)
{
	static const char a[] = "[device x]\nName=a\nDriver=b\nName=b\0c\n", b[] = GOOD "# \0 in a comment\n",
			  c[] = GOOD "\0\n[device x]\nName=a\nDriver=b\n",
			  d[] = "[device x\0]\nName=a\nDriver=b\n";

	assert_refused_bytes(a, sizeof(a) - 1, 4);
	assert_refused_bytes(b, sizeof(b) - 1, 4);
	assert_refused_bytes(c, sizeof(c) - 1, 4);
	assert_refused_bytes(GOOD, sizeof(GOOD), 4); /* the one behind the string */

	_cleanup_(policy_freep) struct policy *policy = calloc(1, sizeof(*policy));
	ck_assert_int_eq(policy_parse(policy, "x", d, sizeof(d) - 1), -EINVAL);
	ck_assert_uint_eq(policy->errors[0].line, 1);
}
END_TEST

START_TEST(byte_order_mark)
{
	struct rule *r = one_rule("\xef\xbb\xbf[device x]\nName=a\nDriver=b\n");

	ck_assert_str_eq(r->label, "x");
	assert_accepted("\xef\xbb\xbf# comment\n" GOOD, 1);
	assert_accepted("\xef\xbb\xbf", 0);
	assert_refused(GOOD "\xef\xbb\xbf# only at the start\n", 4);
}
END_TEST

START_TEST(label_is_printable_utf8)
{
	ck_assert_str_eq(one_rule("[device f\xc3\xbcr \xf0\x9f\x90\xa7]\nName=a\nDriver=b\n")->label,
			 "f\xc3\xbcr \xf0\x9f\x90\xa7");
	assert_refused("[device \xff]\nName=a\nDriver=b\n", 1);
	assert_refused("[device \xc3]\nName=a\nDriver=b\n", 1);
	assert_refused("[device \xc0\xaf]\nName=a\nDriver=b\n", 1);
	assert_refused("[device \xed\xa0\x80]\nName=a\nDriver=b\n", 1);
	assert_refused("[device \xe0\x80\xaf]\nName=a\nDriver=b\n", 1);
	assert_refused("[device \xf4\x90\x80\x80]\nName=a\nDriver=b\n", 1);
	assert_refused("[device a\tb]\nName=a\nDriver=b\n", 1);
	assert_refused("[device a\x7f]\nName=a\nDriver=b\n", 1);
	assert_refused("[device a\x1b[31m]\nName=a\nDriver=b\n", 1);
}
END_TEST

START_TEST(blanks_around_a_label)
{
	ck_assert_str_eq(one_rule("[device \t my gpu  ]\nName=a\nDriver=b\n")->label, "my gpu");
	ck_assert_str_eq(one_rule("[device\tx]\nName=a\nDriver=b\n")->label, "x");
}
END_TEST

START_TEST(refused_section_gives_its_keys_to_none)
{
	_cleanup_(policy_freep) struct policy *policy = calloc(1, sizeof(*policy));
	static const char text[] = "[device x]\nName=a\n[bogus]\nDriver=evil\n";

	/* Two errors: the section, and that x still has no Driver=. */
	ck_assert_int_eq(policy_parse(policy, "x", text, strlen(text)), -EINVAL);
	ck_assert_uint_eq(policy->n_errors, 2);
}
END_TEST

SUITE_MAIN("traps", 20, long_line_is_not_continued_as_a_new_line, line_of_198_bytes, line_of_199_bytes,
	   long_line_without_end, lines_are_counted_behind_a_long_one, colon_does_not_separate,
	   colon_in_value_and_label, indented_line_continues_nothing, section_without_closing_bracket,
	   text_after_closing_bracket, label_is_not_cut_at_49_characters,
	   every_error_is_told_not_only_the_first, line_that_only_inih_finds_fault_with_is_told_beside_others,
	   nul_ends_nothing, byte_order_mark, label_is_printable_utf8, blanks_around_a_label,
	   refused_section_gives_its_keys_to_none)
