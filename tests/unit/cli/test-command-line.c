/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What overridectl makes of its command line, and what it writes to terminals. */
#include "base/macro.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/command-line.h"
#include "cli/near-miss.h"
#include "cli/safe-text.h"
#include "tests/unit/fixtures/suite.h"

#include <getopt.h>
#include <locale.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* As main() reads it: words end with NULL. */
#define READ(cli, ...)                                                                                       \
	({                                                                                                   \
		const char *words[] = { "overridectl", __VA_ARGS__, NULL };                                  \
		optind = 0;                                                                                  \
		command_line_read(cli, (int)ELEMENTSOF(words) - 1, (char **)(uintptr_t)words);               \
	})

START_TEST(options_may_come_before_and_after_the_verb)
{
	struct cli cli;

	ck_assert_int_eq(READ(&cli, "--no-legend", "list", "--all", "--bus=pci"), STATUS_DONE);
	ck_assert(cli.no_legend && !cli.no_pager && cli.json == JSON_OFF && !cli.host);
	ck_assert_str_eq(cli.option[VERB_ALL], "");
	ck_assert_str_eq(cli.option[VERB_BUS], "pci");
	ck_assert_ptr_null(cli.option[VERB_EXEC]);
	ck_assert_int_eq(READ(&cli, "-H", "root@host", "list", "--no-pager"), STATUS_DONE);
	ck_assert_str_eq(cli.host, "root@host");
	ck_assert(cli.no_pager);
	ck_assert_int_eq(READ(&cli, "list", "-h"), STATUS_DONE);
	ck_assert(cli.help && !cli.version);
	/* What follows -- is no option. */
	ck_assert_int_eq(READ(&cli, "explain", "--", "--all"), STATUS_DONE);
	ck_assert_ptr_null(cli.option[VERB_ALL]);
}
END_TEST

START_TEST(json_has_three_modes)
{
	static const struct {
		const char *word;
		enum json_mode mode;
	} right[] = { { "--json", JSON_SHORT },
		      { "--json=short", JSON_SHORT },
		      { "--json=pretty", JSON_PRETTY },
		      { "--json=off", JSON_OFF } };
	struct cli cli;

	for (size_t i = 0; i < ELEMENTSOF(right); i++) {
		ck_assert_int_eq(READ(&cli, right[i].word), STATUS_DONE);
		ck_assert_int_eq(cli.json, right[i].mode);
	}
	/* The word behind is the verb. */
	ck_assert_int_eq(READ(&cli, "--json", "pretty"), STATUS_DONE);
	ck_assert_int_eq(cli.json, JSON_SHORT);
	ck_assert_int_eq(READ(&cli, "--json=yes"), STATUS_USAGE);
	ck_assert_int_eq(READ(&cli, "--json="), STATUS_USAGE);
}
END_TEST

START_TEST(wrong_options_are_wrong_usage)
{
	static const char *const wrong[] = { "--nothing", "--host=", "--bus=",	 "--bus",
					     "--all=x",	  "-x",	     "--sysfs=", "--address=" };
	struct cli cli;

	for (size_t i = 0; i < ELEMENTSOF(wrong); i++)
		ck_assert_msg(READ(&cli, wrong[i]) == STATUS_USAGE, "%s", wrong[i]);
}
END_TEST

START_TEST(a_verb_takes_its_own_options_only)
{
	const struct verb verb = {
		.name = "v", .arguments = "A", .least = 1, .most = 2, .options = 1U << VERB_ALL
	};
	const struct verb local = { .name = "l", .arguments = "", .local = true };
	struct cli cli;

	ck_assert_int_eq(READ(&cli, "--all"), STATUS_DONE);
	ck_assert_int_eq(command_line_check(&cli, &verb, 1), STATUS_DONE);
	ck_assert_int_eq(command_line_check(&cli, &verb, 0), STATUS_USAGE);
	ck_assert_int_eq(command_line_check(&cli, &verb, 3), STATUS_USAGE);
	ck_assert_int_eq(command_line_check(&cli, &local, 0), STATUS_USAGE);
	ck_assert_int_eq(READ(&cli, "--all", "--force"), STATUS_DONE);
	ck_assert_int_eq(command_line_check(&cli, &verb, 1), STATUS_USAGE);
	ck_assert_int_eq(READ(&cli, "--host=h"), STATUS_DONE);
	ck_assert_int_eq(command_line_check(&cli, &verb, 1), STATUS_DONE);
	ck_assert_int_eq(command_line_check(&cli, &local, 0), STATUS_USAGE);
	ck_assert_int_eq(READ(&cli, "--host=h", "--sysfs=/nowhere"), STATUS_DONE);
	ck_assert_int_eq(command_line_check(&cli, &verb, 1), STATUS_USAGE);
}
END_TEST

START_TEST(times_are_as_systemd_has_them)
{
	static const struct {
		const char *text;
		unsigned long long usec;
	} right[] = { { "90", 90000000 },      { "90s", 90000000 }, { "2min", 120000000 },
		      { "1h", 3600000000U },   { "100ms", 100000 }, { "1min 30s", 90000000 },
		      { "1min30s", 90000000 }, { " 0 ", 0 },	    { "1d", 86400000000U } };
	static const char *const wrong[] = { "",      "s",	     "x",    "1x",    "-1",
					     "1 s x", "12345678901", "1.5s", "1min s" };
	unsigned long long usec = 7;

	for (size_t i = 0; i < ELEMENTSOF(right); i++) {
		ck_assert_msg(time_span_parse(right[i].text, &usec), "%s", right[i].text);
		ck_assert_msg(usec == right[i].usec, "%s: %llu", right[i].text, usec);
	}
	for (size_t i = 0; i < ELEMENTSOF(wrong); i++)
		ck_assert_msg(!time_span_parse(wrong[i], &usec), "%s", wrong[i]);
}
END_TEST

START_TEST(near_misses_are_the_nearest_first)
{
	struct near_miss near = near_miss_of("03:00.1");

	ck_assert_uint_eq(edit_distance("", "abc"), 3);
	ck_assert_uint_eq(edit_distance("list", "lost"), 1);
	ck_assert_uint_eq(edit_distance("LIST", "list"), 0);
	near_miss_try(&near, "pci/0000:03:00.23");
	near_miss_try(&near, "pci/0000:03:00.0");
	near_miss_try(&near, "platform/serial8250");
	near_miss_try(&near, "pci/0000:13:00.1");
	ck_assert_uint_eq(near.n, 3);
	ck_assert_str_eq(near.names[0], "pci/0000:03:00.0");
	ck_assert_str_eq(near.names[1], "pci/0000:13:00.1");
	ck_assert_str_eq(near.names[2], "pci/0000:03:00.23");
	for (size_t i = 0; i < 10; i++)
		near_miss_try(&near, "pci/0000:03:00.1");
	ck_assert_uint_eq(near.n, NEAR_MISS_MAX);
	ck_assert_str_eq(near.names[0], "pci/0000:03:00.1");
	/* A short name is not like any other short name. */
	near = near_miss_of("ab");
	near_miss_try(&near, "xy");
	ck_assert_uint_eq(near.n, 0);
}
END_TEST

static void assert_safe(const char *text, const char *written)
{
	_cleanup_(freep) char *found = safe_text_new(text);

	ck_assert_str_eq(found, written);
}

START_TEST(no_byte_does_anything_to_a_terminal)
{
	ck_assert_ptr_nonnull(setlocale(LC_CTYPE, "C.UTF-8"));
	assert_safe("plain \xc3\xa4", "plain \xc3\xa4");
	assert_safe("\033[1m\n\t\x7f", "\\x1b[1m\\x0a\\x09\\x7f");
	assert_safe("\xc2\x9b\xc2\xa0", "\\xc2\\x9b\xc2\xa0"); /* CSI of C1; a blank */
	assert_safe("\xff\xc3", "\\xff\\xc3");
	ck_assert_ptr_nonnull(setlocale(LC_CTYPE, "C"));
	assert_safe("plain \xc3\xa4", "plain \\xc3\\xa4");
}
END_TEST

SUITE_MAIN("command-line", 30, options_may_come_before_and_after_the_verb, json_has_three_modes,
	   wrong_options_are_wrong_usage, a_verb_takes_its_own_options_only, times_are_as_systemd_has_them,
	   near_misses_are_the_nearest_first, no_byte_does_anything_to_a_terminal)
