/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rules of the boot, from the kernel command line and from credentials: written once, and policy then. */
#include "base/kernel-command-line.h"
#include "base/macro.h"
#include "base/text.h"
#include "policy/policy.h"
#include "state/boot-rules.h"
#include "state/smbios.h"
#include "tests/unit/fixtures/mock-sysfs.h"
#include "tests/unit/fixtures/suite.h"

#include <errno.h>
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

/* A BIOS structure without texts, then the texts, then another structure that is not theirs, and the end. */
#define TABLE(texts)                                                                                         \
	"\0\4\0\0\0\0"                                                                                       \
	"\13\5\1\0\3" texts "\0"                                                                             \
	"\1\4\2\0io.systemd.credential:driver-overrides.no=x\0\0"                                            \
	"\177\4\3\0\0\0"

static void boot_with_firmware(struct mock *m, const char *table, size_t size)
{
	make_dirs(mock_printf(m, "%s/firmware/dmi/tables", m->sysfs));
	make_file(mock_printf(m, "%s/firmware/dmi/tables/DMI", m->sysfs), table, size);
	boot_with(m, "quiet\n");
}

START_TEST(credentials_of_the_firmware_are_written_where_there_is_no_systemd)
{
	static const char table[] =
		TABLE("something else\0"
		      "io.systemd.credential:driver-overrides.plain=[device a]\nId=1:2\nDriver=none\n\0"
		      "io.systemd.credential:other.plain=[device a]\0"
		      /* [device b]\nId=3:4\nDriver=none\n */
		      "io.systemd.credential.binary:driver-overrides.binary="
		      "W2RldmljZSBiXQpJZD0zOjQKRHJpdmVyPW5vbmUK\0"
		      "io.systemd.credential.binary:driver-overrides.broken=W2Rl!\0"
		      "io.systemd.credential:driver-overrides.a/b=x\0"
		      "io.systemd.credential:driver-overrides.valueless\0");
	struct mock *m = mock_new();

	boot_with_firmware(m, table, sizeof(table));
	ck_assert_str_eq(mock_read(m, boot_file(m, "00-credential-plain.conf")),
			 "[device a]\nId=1:2\nDriver=none\n");
	ck_assert_str_eq(mock_read(m, boot_file(m, "00-credential-binary.conf")),
			 "[device b]\nId=3:4\nDriver=none\n");
	ck_assert_int_lt(access(boot_file(m, "00-credential-broken.conf"), F_OK), 0);
	ck_assert_int_lt(access(boot_file(m, "00-credential-valueless.conf"), F_OK), 0);
	ck_assert_int_lt(access(boot_file(m, "00-credential-no.conf"), F_OK), 0);
	mock_free(m);
}
END_TEST

START_TEST(credentials_of_the_firmware_are_left_to_systemd_where_it_runs)
{
	static const char table[] = TABLE("io.systemd.credential:driver-overrides.plain=[device a]\0");
	struct mock *m = mock_new();

	make_dirs(mock_printf(m, "%s/../run/systemd/system", m->sysfs));
	boot_with_firmware(m, table, sizeof(table));
	ck_assert_int_lt(access(boot_file(m, "00-credential-plain.conf"), F_OK), 0);
	mock_free(m);
}
END_TEST

/* Whatever a hypervisor writes there; valgrind and the sanitizers see what is read. */
START_TEST(a_table_of_the_firmware_may_be_cut_off_anywhere)
{
	static const char table[] = TABLE("io.systemd.credential:driver-overrides.plain=[device a]\0");

	for (size_t n = 0; n < sizeof(table); n++) {
		struct mock *m = mock_new();
		char *cut = malloc(n + 1);

		ck_assert_ptr_nonnull(cut);
		memcpy(cut, table, n);
		boot_with_firmware(m, cut, n);
		ck_assert_int_lt(access(boot_file(m, "00-credential-no.conf"), F_OK), 0);
		free(cut);
		mock_free(m);
	}
}
END_TEST

START_TEST(base64_is_decoded_with_padding_or_without)
{
	static const struct {
		const char *text, *decoded;
	} good[] = { { "", "" },       { "YQ==", "a" },	  { "YQ", "a" },
		     { "YWI=", "ab" }, { "YWJj", "abc" }, { "+/+/", "\xfb\xff\xbf" } };
	static const char *const bad[] = { "Y", "Y===", "YW=j", "YW j", "YQ==\n", "YWJ_" };
	char text[16];
	size_t size;

	for (size_t i = 0; i < ELEMENTSOF(good); i++) {
		(void)strcpy(text, good[i].text);
		ck_assert_int_eq(base64_decode(text, &size), 0);
		ck_assert_uint_eq(size, strlen(good[i].decoded));
		ck_assert_mem_eq(text, good[i].decoded, size);
	}
	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		(void)strcpy(text, bad[i]);
		ck_assert_int_eq(base64_decode(text, &size), -EINVAL);
	}
}
END_TEST

SUITE_MAIN("boot-rules", 20, words_are_split_as_the_kernel_does, each_rule_of_the_command_line_is_a_section,
	   what_is_no_key_is_an_error_of_the_file, without_rules_there_is_no_file,
	   a_file_that_was_removed_is_not_written_again, credentials_are_written_as_they_are,
	   credentials_of_the_firmware_are_written_where_there_is_no_systemd,
	   credentials_of_the_firmware_are_left_to_systemd_where_it_runs,
	   a_table_of_the_firmware_may_be_cut_off_anywhere, base64_is_decoded_with_padding_or_without)
