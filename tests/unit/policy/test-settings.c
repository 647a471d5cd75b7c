/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where programs look, and the options by which they are told. */
#include "base/file.h"
#include "base/macro.h"
#include "base/text.h"
#include "policy/program-options.h"
#include "policy/settings.h"
#include "tests/unit/fixtures/suite.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static bool turns_off(const char *cmdline)
{
	char text[256];

	text_copy(text, sizeof(text), cmdline);
	return cmdline_turns_off(text);
}

START_TEST(kernel_command_line_turns_off)
{
	ck_assert(turns_off("driver_overrides=off"));
	ck_assert(turns_off("quiet driver_overrides=off ro\n"));
	ck_assert(!turns_off("driver_overrides=on"));
	ck_assert(!turns_off("driver_overrides=offf"));
	ck_assert(!turns_off("xdriver_overrides=off"));
	ck_assert(!turns_off("driver_overrides=off driver_overrides=on"));
	ck_assert(turns_off("driver_overrides=on driver_overrides=off"));
	ck_assert(turns_off("driver-overrides=\"off\""));
	ck_assert(!turns_off("ro -- driver_overrides=off"));
	ck_assert(!turns_off(""));
}
END_TEST

START_TEST(given_directories_replace_all_three)
{
	struct settings s;

	settings_init(&s);
	ck_assert_uint_eq(s.n_conf_dirs, 3);
	ck_assert_str_eq(s.conf_dirs[0], "/etc/driver-overrides.d");
	ck_assert_str_eq(s.conf_dirs[1], "/run/driver-overrides.d");
	ck_assert_str_eq(s.conf_dirs[2], "/usr/lib/driver-overrides.d");
	ck_assert_int_eq(settings_option(&s, OPTION_CONF_DIR, "/a"), 1);
	ck_assert_int_eq(settings_option(&s, OPTION_CONF_DIR, "/b"), 1);
	ck_assert_uint_eq(s.n_conf_dirs, 2);
	ck_assert_str_eq(s.conf_dirs[0], "/a");
	ck_assert_int_eq(settings_option(&s, OPTION_SYSFS, ""), -EINVAL);
	ck_assert_int_eq(settings_option(&s, 'x', "y"), 0);
	for (size_t i = 2; i < CONF_DIRS_MAX; i++)
		ck_assert_int_eq(settings_option(&s, OPTION_CONF_DIR, "/c"), 1);
	ck_assert_int_eq(settings_option(&s, OPTION_CONF_DIR, "/d"), -E2BIG);
}
END_TEST

START_TEST(running_kernel_is_asked_only_for_its_own_tree)
{
	struct settings s;
	char cmdline[4096] = "";

	settings_init(&s);
	ck_assert_int_ge(read_first_line("/proc/cmdline", cmdline, sizeof(cmdline)), 0);
	ck_assert_int_eq(settings_turned_off(&s), cmdline_turns_off(cmdline));
	ck_assert_int_eq(settings_option(&s, OPTION_SYSFS, "/sys"), 1);
	ck_assert(!settings_turned_off(&s));
}
END_TEST

static void assert_arguments(const struct settings *s, const char *first_dir, const char *expected)
{
	const char *argv[SETTINGS_ARGV_MAX + 2] = { "program" };
	size_t n = settings_to_argv(s, first_dir, argv, 1);
	char text[1024] = "";

	ck_assert_uint_le(n, SETTINGS_ARGV_MAX + 1);
	ck_assert_str_eq(argv[0], "program");
	ck_assert_ptr_null(argv[n]);
	for (size_t i = 1; i < n; i++) {
		(void)strcat(text, " ");
		(void)strcat(text, argv[i]);
	}
	ck_assert_str_eq(text, expected);
}

START_TEST(another_program_looks_in_the_same_places)
{
	struct settings s;

	settings_init(&s);
	assert_arguments(&s, NULL, " --state-dir /run/driver-overrides");
	/* A directory in front of all is followed by the three of the system. */
	assert_arguments(
		&s, "/new",
		" --conf-dir /new --conf-dir /etc/driver-overrides.d --conf-dir /run/driver-overrides.d"
		" --conf-dir /usr/lib/driver-overrides.d --state-dir /run/driver-overrides");
	ck_assert_int_eq(settings_option(&s, OPTION_CONF_DIR, "/a"), 1);
	ck_assert_int_eq(settings_option(&s, OPTION_CONF_DIR, "/b"), 1);
	ck_assert_int_eq(settings_option(&s, OPTION_SYSFS, "/mock"), 1);
	ck_assert_int_eq(settings_option(&s, OPTION_STATE_DIR, "/state"), 1);
	assert_arguments(&s, NULL, " --conf-dir /a --conf-dir /b --sysfs /mock --state-dir /state");
	for (size_t i = 2; i < CONF_DIRS_MAX; i++)
		ck_assert_int_eq(settings_option(&s, OPTION_CONF_DIR, "/c"), 1);
	const char *argv[SETTINGS_ARGV_MAX + 1];
	ck_assert_uint_eq(settings_to_argv(&s, "/new", argv, 0), SETTINGS_ARGV_MAX);
}
END_TEST

static unsigned used;

static void usage(FILE *f)
{
	(void)f;
	used++;
}

static int take_own(void *userdata, int option, const char *argument)
{
	*(const char **)userdata = argument;
	return option == 1 ? 1 : option == 2 ? -EINVAL : 0;
}

static int read_options(struct settings *s, const char **own, const char *const *argv)
{
	static const struct option table[] = { PROGRAM_LONG_OPTIONS,
					       { "own", required_argument, NULL, 1 },
					       { "bad", no_argument, NULL, 2 },
					       {} };
	const struct program_options options = { "program", table, usage, take_own, own };
	int argc = 0;

	while (argv[argc])
		argc++;
	optind = 0; /* getopt_long(3) begins anew */
	opterr = 0;
	used = 0;
	return program_options_read(&options, s, argc, (char **)(uintptr_t)argv);
}

START_TEST(options_come_before_arguments)
{
	const char *const argv[] = { "program",	   "--own", "x",    "--sysfs=/mock",
				     "--conf-dir", "/a",    "verb", NULL };
	const char *own = NULL;
	struct settings s;

	ck_assert_int_eq(read_options(&s, &own, argv), PROGRAM_RUNS);
	ck_assert_str_eq(own, "x");
	ck_assert_str_eq(s.sysfs, "/mock");
	ck_assert_uint_eq(s.n_conf_dirs, 1);
	ck_assert_str_eq(argv[optind], "verb");
	ck_assert_uint_eq(used, 0);
}
END_TEST

START_TEST(wrong_options_end_the_program)
{
	static const char *const lines[][4] = {
		{ "program", "--nonsense" }, { "program", "--bad" },	{ "program", "--own" },
		{ "program", "--sysfs" },    { "program", "--sysfs=" }, { "program", "-x" },
	};
	const char *own = NULL;
	struct settings s;

	for (size_t i = 0; i < ELEMENTSOF(lines); i++) {
		ck_assert_int_eq(read_options(&s, &own, lines[i]), 2);
		ck_assert_uint_eq(used, 1);
	}
	ck_assert_int_eq(read_options(&s, &own, (const char *const[]){ "program", "--help", "--bad", NULL }),
			 0);
	ck_assert_uint_eq(used, 1);
	ck_assert_int_eq(read_options(&s, &own, (const char *const[]){ "program", "-V", "--bad", NULL }), 0);
	ck_assert_uint_eq(used, 0);
}
END_TEST

SUITE_MAIN("settings", 20, kernel_command_line_turns_off, given_directories_replace_all_three,
	   running_kernel_is_asked_only_for_its_own_tree, another_program_looks_in_the_same_places,
	   options_come_before_arguments, wrong_options_end_the_program)
