/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rules of the boot, from the kernel command line and from credentials: written once, and policy then. */
#include "base/kernel-command-line.h"
#include "base/macro.h"
#include "base/text.h"
#include "policy/policy.h"
#include "state/boot-rules.h"
#include "tests/unit/fixtures/mock-sysfs.h"
#include "tests/unit/fixtures/suite.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *boot_file(struct mock *m, const char *name)
{
	return mock_printf(m, "%s/%s", m->conf[MOCK_RUN], name);
}

static void boot_with(struct mock *m, const char *command_line)
{
	const char *path = mock_printf(m, "%s/../proc", m->sysfs);

	(void)mkdir(path, 0755);
	make_file(mock_printf(m, "%s/cmdline", path), command_line, strlen(command_line));
	boot_rules_write(&m->settings);
}

START_TEST(words_are_split_as_the_kernel_does)
{
	char text[] = "  quiet a=\"b c\" \"d=e f\"\tg-h.i-j=1 k\n-- l=2";
	char *at = text;

	ck_assert_str_eq(kernel_command_line_next(&at), "quiet");
	ck_assert_str_eq(kernel_command_line_next(&at), "a=b c");
	ck_assert_str_eq(kernel_command_line_next(&at), "d=e f");
	ck_assert_str_eq(kernel_parameter_value(kernel_command_line_next(&at), "g_h.i_j"), "1");
	ck_assert_str_eq(kernel_command_line_next(&at), "k");
	ck_assert_ptr_null(kernel_command_line_next(&at));
	ck_assert_ptr_null(kernel_parameter_value("driver_overrides", "driver_overrides"));
	ck_assert_ptr_null(kernel_parameter_value("driver_overrides.rule=x", "driver_overrides"));
}
END_TEST

START_TEST(each_rule_of_the_command_line_is_a_section)
{
	struct mock *m = mock_new();
	struct policy *policy;

	boot_with(m, "ro driver_overrides.rule=Id=10de:1b80,Driver=vfio quiet "
		     "driver-overrides.rule=Bus=pci,Name=0000:00:03.0,Driver=none,Group=leave -- "
		     "driver_overrides.rule=no\n");
	ck_assert_int_eq(policy_load(&m->settings, &policy), 0);
	ck_assert_uint_eq(policy->n_rules, 2);
	ck_assert_uint_eq(policy->n_errors, 0);
	ck_assert_str_eq(policy->rules[0]->label, "command-line-1");
	ck_assert_str_eq(policy->rules[1]->label, "command-line-2");
	ck_assert(boot_rules_are_written(&m->settings));
	policy_free(policy);
	mock_free(m);
}
END_TEST

/* Whatever stands there, it is not taken for a comment or another section, and is reported. */
START_TEST(what_is_no_key_is_an_error_of_the_file)
{
	static const char *const bad[] = {
		"#Id=10de:1b80,Driver=vfio",	       "Id=10de:1b80,;x,Driver=vfio",
		"Id=10de:1b80,,Driver=vfio",	       "Id=10de:1b80",
		"[device x],Id=10de:1b80,Driver=vfio", "",
		"Id=10de:1b80,Driver=vfio,",	       "Id=10de:1b80,Driver",
	};

	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		struct mock *m = mock_new();
		struct policy *policy;

		boot_with(m, mock_printf(m, "driver_overrides.rule=%s\n", bad[i]));
		ck_assert_int_eq(policy_load(&m->settings, &policy), 0);
		ck_assert_msg(policy->n_rules == 0 && policy->n_errors > 0, "%s: %zu rules, %zu errors",
			      bad[i], policy->n_rules, policy->n_errors);
		policy_free(policy);
		mock_free(m);
	}
}
END_TEST

START_TEST(without_rules_there_is_no_file)
{
	struct mock *m = mock_new();

	ck_assert(!boot_rules_are_written(&m->settings));
	boot_with(m, "ro quiet\n");
	ck_assert(boot_rules_are_written(&m->settings));
	ck_assert_int_lt(access(boot_file(m, "00-command-line.conf"), F_OK), 0);
	mock_free(m);
}
END_TEST

/* What an administrator makes of the file stays until the next boot. */
START_TEST(a_file_that_was_removed_is_not_written_again)
{
	struct mock *m = mock_new();
	const char *path = boot_file(m, "00-command-line.conf");

	boot_with(m, "driver_overrides.rule=Id=10de:1b80,Driver=vfio\n");
	ck_assert_int_eq(access(path, F_OK), 0);
	ck_assert_int_eq(unlink(path), 0);
	boot_rules_write(&m->settings);
	ck_assert_int_lt(access(path, F_OK), 0);
	mock_free(m);
}
END_TEST

START_TEST(credentials_are_written_as_they_are)
{
	static const char rule[] = "[device gpu]\nId=10de:1b80\nDriver=vfio\n";
	struct mock *m = mock_new();
	const char *dir = mock_printf(m, "%s/credentials", m->root);

	ck_assert_int_eq(mkdir(dir, 0700), 0);
	make_file(mock_printf(m, "%s/driver-overrides.gpu", dir), rule, strlen(rule));
	make_file(mock_printf(m, "%s/other.gpu", dir), rule, strlen(rule));
	make_file(mock_printf(m, "%s/driver-overrides.", dir), rule, strlen(rule));
	make_file(mock_printf(m, "%s/driver-overrides.a b", dir), rule, strlen(rule));
	ck_assert_int_eq(setenv("CREDENTIALS_DIRECTORY", dir, 1), 0);
	/* The boot image had none, and has written what the command line says. */
	boot_with(m, "driver_overrides.rule=Id=10de:1b81,Driver=vfio\n");
	ck_assert_str_eq(mock_read(m, boot_file(m, "00-credential-gpu.conf")), rule);
	ck_assert_int_lt(access(boot_file(m, "00-credential-.conf"), F_OK), 0);
	ck_assert_int_lt(access(boot_file(m, "00-credential-a b.conf"), F_OK), 0);
	ck_assert_int_eq(unlink(boot_file(m, "00-credential-gpu.conf")), 0);
	make_file(mock_printf(m, "%s/driver-overrides.late", dir), rule, strlen(rule));
	boot_rules_write(&m->settings);
	ck_assert_int_lt(access(boot_file(m, "00-credential-gpu.conf"), F_OK), 0);
	ck_assert_str_eq(mock_read(m, boot_file(m, "00-credential-late.conf")), rule);
	(void)unsetenv("CREDENTIALS_DIRECTORY");
	mock_free(m);
}
END_TEST

SUITE_MAIN("boot-rules", 20, words_are_split_as_the_kernel_does, each_rule_of_the_command_line_is_a_section,
	   what_is_no_key_is_an_error_of_the_file, without_rules_there_is_no_file,
	   a_file_that_was_removed_is_not_written_again, credentials_are_written_as_they_are)
