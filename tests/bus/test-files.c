/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which policy files set and clear are about: their own, of each kind; never a person's, and none that is
 * hidden. */
#include "tests/bus/harness.h"

#include <stddef.h>
#include <string.h>
#include <stdio.h>
#include <unistd.h>

#define CARD_FILE "10-set-pci-" CARD ".conf"
#define RUN_FILE "05-run-pci-" CARD ".conf"
#define PATH_FILE "10-set-pci-path-pci0000:00\\x2f03.0.conf"

static struct harness *begin(void)
{
	struct harness *h = harness_new();

	three_devices(h);
	service_start(h);
	return h;
}

static void copy_policy(struct harness *h, enum mock_dir dir, const char *name, const char *to)
{
	(void)mock_policy(h->m, dir, to, policy_text(h, dir, name));
}

static const char *file_of(struct harness *h, enum mock_dir dir, const char *name)
{
	return mock_printf(h->m, "%s/%s", h->m->conf[dir], name);
}

/* One of each kind, lasting and not, as callers that did not know of one another leave them. */
START_TEST(set_by_id_replaces_what_set_has_written_in_all_other_ways)
{
	struct harness *h = begin();

	ck_assert_str_eq(set(h, "pci", CARD, "none"), "enforced");
	copy_policy(h, MOCK_ETC, CARD_FILE, "kept");
	ck_assert_str_eq(set_with(h, "pci", CARD, "none", "by", "s", "path", NULL), "enforced");
	(void)mock_policy(h->m, MOCK_ETC, CARD_FILE, policy_text(h, MOCK_ETC, "kept"));
	copy_policy(h, MOCK_ETC, CARD_FILE, "kept-too");
	(void)mock_policy(h->m, MOCK_RUN, RUN_FILE, policy_text(h, MOCK_ETC, "kept"));
	(void)mock_policy(h->m, MOCK_RUN, "05-run-pci-path-pci0000:00\\x2f03.0.conf",
			  policy_text(h, MOCK_ETC, PATH_FILE));
	ck_assert_int_eq(unlink(file_of(h, MOCK_ETC, "kept")), 0);
	ck_assert_int_eq(unlink(file_of(h, MOCK_ETC, "kept-too")), 0);
	ck_assert_str_eq(set_with(h, "pci", CARD, "vfio-pci", "by", "s", "id", NULL), "enforced");
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 1);
	ck_assert_uint_eq(policy_files(h, MOCK_RUN), 0);
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "vfio-pci");
	harness_free(h);
}
END_TEST

START_TEST(what_set_wrote_itself_is_replaced_or_named_with_the_way_out)
{
	struct harness *h = begin();

	ck_assert_str_eq(set_with(h, "pci", CARD, "none", "by", "s", "id", "runtime", "b", 1, NULL),
			 "enforced");
	/* Another kind, which may be about more devices: it stays, and is no person's. */
	ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "!Shadowed");
	ck_assert_msg(strstr(h->error.message, "set wrote, too; clear with by=id and runtime removes it"),
		      "%s", h->error.message);
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 0);
	ck_assert_str_eq(clear(h, "pci", CARD), "!Shadowed");
	ck_assert_ptr_nonnull(strstr(h->error.message, "by=id and runtime"));
	/* The same kind, to last. */
	ck_assert_str_eq(set_with(h, "pci", CARD, "vfio-pci", "by", "s", "id", NULL), "enforced");
	ck_assert_uint_eq(policy_files(h, MOCK_RUN), 0);
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 1);
	ck_assert_str_eq(set_with(h, "pci", CARD, "none", "by", "s", "path", NULL), "!Shadowed");
	ck_assert_msg(strstr(h->error.message, "clear with by=id removes it"), "%s", h->error.message);
	harness_free(h);
}
END_TEST

START_TEST(a_file_that_is_hidden_is_not_written)
{
	struct harness *h = begin();

	ck_assert_int_eq(symlink("/dev/null", file_of(h, MOCK_ETC, RUN_FILE)), 0);
	ck_assert_str_eq(set_with(h, "pci", CARD, "vfio-pci", "runtime", "b", 1, NULL), "!Shadowed");
	ck_assert_ptr_nonnull(strstr(h->error.message, file_of(h, MOCK_ETC, RUN_FILE)));
	ck_assert_uint_eq(policy_files(h, MOCK_RUN), 0);
	ck_assert_int_eq(unlink(file_of(h, MOCK_ETC, RUN_FILE)), 0);
	ck_assert_str_eq(set_with(h, "pci", CARD, "vfio-pci", "runtime", "b", 1, NULL), "enforced");
	harness_free(h);
}
END_TEST

/* What the next directory has under the name decides when set's file has gone. */
START_TEST(clear_minds_what_its_file_has_hidden)
{
	struct harness *h = begin();

	(void)mock_policy(h->m, MOCK_USR, CARD_FILE, "[device vendor]\nName=" CARD "\nDriver=nodriver\n");
	ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "enforced");
	ck_assert_str_eq(clear(h, "pci", CARD), "!NoSuchDriver");
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 1);
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "vfio-pci");
	(void)mock_policy(h->m, MOCK_USR, CARD_FILE, "[device vendor]\nName=" CARD "\nDriver=none\n");
	ck_assert_str_eq(clear_with(h, "pci", CARD, "dry-run", "b", 1, NULL), "enforced");
	ck_assert_str_eq(clear(h, "pci", CARD), "enforced");
	ck_assert_str_eq(property(h, "pci", CARD, "Decision"), "none");
	harness_free(h);
}
END_TEST

static void is_left_alone(struct harness *h, const char *text)
{
	ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "!PolicyInvalid");
	ck_assert_ptr_nonnull(strstr(h->error.message, file_of(h, MOCK_ETC, CARD_FILE)));
	ck_assert_str_eq(clear(h, "pci", CARD), "!PolicyInvalid");
	ck_assert_ptr_nonnull(strstr(h->error.message, file_of(h, MOCK_ETC, CARD_FILE)));
	ck_assert_str_eq(policy_text(h, MOCK_ETC, CARD_FILE), text);
}

START_TEST(a_persons_file_under_a_name_of_sets_is_left_alone)
{
	static const char mine[] = "# Mine.\n[device mine]\nName=" CARD "\nDriver=none\n";
	struct harness *h = begin();
	const char *text;

	(void)mock_policy(h->m, MOCK_ETC, CARD_FILE, mine);
	is_left_alone(h, mine);
	ck_assert_int_eq(unlink(file_of(h, MOCK_ETC, CARD_FILE)), 0);
	/* A file to which somebody has added rules is left alone, too. */
	ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "enforced");
	text = mock_printf(h->m, "%s\n[device disk]\nName=" DISK "\nDriver=none\nRebind=no\n",
			   policy_text(h, MOCK_ETC, CARD_FILE));
	(void)mock_policy(h->m, MOCK_ETC, CARD_FILE, text);
	is_left_alone(h, text);
	/* A word changed in it makes it no other. */
	ck_assert_int_eq(unlink(file_of(h, MOCK_ETC, CARD_FILE)), 0);
	ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "enforced");
	(void)mock_policy(h->m, MOCK_ETC, CARD_FILE,
			  mock_printf(h->m, "%sRebind=no\n", policy_text(h, MOCK_ETC, CARD_FILE)));
	ck_assert_str_eq(clear(h, "pci", CARD), "unmanaged");
	harness_free(h);
}
END_TEST

START_TEST(a_persons_file_that_comes_between_plan_and_write_is_left_alone)
{
	struct harness *h = begin();
	const char *text = "[device x]\nName=" CARD "\nDriver=none\n";
	unsigned n;

	ck_assert_str_eq(set(h, "pci", CARD, "none"), "enforced");
	n = calls(h, "dry-run");
	faults(h, "pci/" CARD " slow\n");
	send_call(h->bus, "SetOverride", "sssa{sv}", "pci", CARD, "vfio-pci", 0);
	WAIT_UNTIL(calls(h, "dry-run") == n + 1);
	(void)mock_policy(h->m, MOCK_ETC, CARD_FILE, text);
	faults(h, "");
	/* This one waits for the other. */
	ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "!PolicyInvalid");
	ck_assert_str_eq(policy_text(h, MOCK_ETC, CARD_FILE), text);
	harness_free(h);
}
END_TEST

START_TEST(a_link_under_a_name_of_sets_is_named)
{
	struct harness *h = begin();

	ck_assert_int_eq(symlink("/dev/null", file_of(h, MOCK_ETC, PATH_FILE)), 0);
	ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "enforced"); /* it is in nobody's way */
	ck_assert_str_eq(set_with(h, "pci", CARD, "none", "by", "s", "path", NULL), "!PolicyInvalid");
	ck_assert_ptr_nonnull(strstr(h->error.message, PATH_FILE));
	ck_assert_str_eq(clear(h, "pci", CARD), "unmanaged");
	ck_assert_str_eq(clear(h, "pci", CARD), "!PolicyInvalid");
	ck_assert_ptr_nonnull(strstr(h->error.message, PATH_FILE));
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 1);
	harness_free(h);
}
END_TEST

START_TEST(a_directory_that_cannot_be_written_is_an_error_and_all_is_as_before)
{
	struct harness *h = begin();
	const char *etc = h->m->conf[MOCK_ETC];

	/* Permissions do not stop root, but a file in the place of the directory does. */
	ck_assert_int_eq(rename(etc, mock_printf(h->m, "%s.away", etc)), 0);
	make_file(etc, "", 0);
	ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci")[0] == '!' ? "!" : "done", "!");
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "e1000e");
	ck_assert_uint_eq(calls(h, ""), calls(h, "dry-run"));
	ck_assert_int_eq(unlink(etc), 0);
	ck_assert_int_eq(rename(mock_printf(h->m, "%s.away", etc), etc), 0);
	ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "enforced");
	harness_free(h);
}
END_TEST

/* With a limit on the size of files, a write fails as on a full disk. */
START_TEST(a_full_disk_is_an_error_and_all_is_as_before)
{
	struct harness *h = harness_new();

	three_devices(h);
	h->under = "prlimit --fsize=60";
	service_start(h);
	ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci")[0] == '!' ? "!" : "done", "!");
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 0);
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "e1000e");
	harness_free(h);
}
END_TEST

SUITE_MAIN("bus-files", 570, set_by_id_replaces_what_set_has_written_in_all_other_ways,
	   what_set_wrote_itself_is_replaced_or_named_with_the_way_out, a_file_that_is_hidden_is_not_written,
	   clear_minds_what_its_file_has_hidden, a_persons_file_under_a_name_of_sets_is_left_alone,
	   a_persons_file_that_comes_between_plan_and_write_is_left_alone,
	   a_link_under_a_name_of_sets_is_named,
	   a_directory_that_cannot_be_written_is_an_error_and_all_is_as_before,
	   a_full_disk_is_an_error_and_all_is_as_before)
