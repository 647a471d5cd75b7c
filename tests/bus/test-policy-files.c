/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How the service hears of policy files: behind links, and while they are being written. */
#include "base/text.h"
#include "policy/policy-settled.h"
#include "state/policy-copy.h"
#include "tests/bus/harness.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char card_to_vfio[] = "[device card]\nName=" CARD "\nDriver=vfio-pci\n";
static const char card_default[] = "[device card]\nName=" CARD "\nDriver=default\n";

/* As an editor or `cat >` does it. */
static void write_in_place(const char *path, const char *text)
{
	make_file(path, text, strlen(text));
}

/* As any program leaves them that has read the policy. */
static void make_copies(struct harness *h)
{
	struct policy *policy = mock_load(h->m);

	policy_copies_update(h->m->state, policy);
	policy_free(policy);
}

START_TEST(a_linked_file_is_edited)
{
	struct harness *h = harness_new();
	const char *file = mock_printf(h->m, "%s/the-file", h->m->root);

	three_devices(h);
	write_in_place(file, card_default);
	ck_assert_int_eq(symlink(file, mock_printf(h->m, "%s/50-a.conf", h->m->conf[MOCK_ETC])), 0);
	service_start(h);
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "e1000e");
	write_in_place(file, card_to_vfio);
	wait_property(h, "pci", CARD, "Driver", "vfio-pci");
	harness_free(h);
}
END_TEST

START_TEST(a_file_that_was_linked_while_the_service_runs_is_edited)
{
	struct harness *h = harness_new();
	const char *file = mock_printf(h->m, "%s/the-file", h->m->root);

	three_devices(h);
	write_in_place(file, card_default);
	service_start(h);
	ck_assert_int_eq(symlink(file, mock_printf(h->m, "%s/50-a.conf", h->m->conf[MOCK_ETC])), 0);
	WAIT_UNTIL(streq(manager_property(h, "Rules", "u"), "1"));
	write_in_place(file, card_to_vfio);
	wait_property(h, "pci", CARD, "Driver", "vfio-pci");
	harness_free(h);
}
END_TEST

START_TEST(a_linked_directory_is_switched)
{
	struct harness *h = harness_new();
	const char *etc = h->m->conf[MOCK_ETC], *link = mock_printf(h->m, "%s/link", h->m->root);
	const char *one = mock_printf(h->m, "%s/one", h->m->root);
	const char *two = mock_printf(h->m, "%s/two", h->m->root);

	three_devices(h);
	ck_assert_int_eq(rename(etc, one), 0);
	make_dirs(two);
	write_in_place(mock_printf(h->m, "%s/50-a.conf", one), card_default);
	write_in_place(mock_printf(h->m, "%s/50-a.conf", two), card_to_vfio);
	ck_assert_int_eq(symlink(one, etc), 0);
	service_start(h);
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "e1000e");
	ck_assert_int_eq(symlink(two, link), 0);
	ck_assert_int_eq(rename(link, etc), 0);
	wait_property(h, "pci", CARD, "Driver", "vfio-pci");
	/* What it leads to now is watched. */
	ck_assert_int_eq(unlink(mock_printf(h->m, "%s/50-a.conf", two)), 0);
	wait_property(h, "pci", CARD, "Driver", "e1000e");
	harness_free(h);
}
END_TEST

START_TEST(a_new_file_is_in_force_when_it_has_been_left_alone)
{
	struct harness *h = harness_new();

	three_devices(h);
	service_start(h);
	ck_assert_str_eq(manager_property(h, "Rules", "u"), "0");
	write_in_place(mock_printf(h->m, "%s/50-a.conf", h->m->conf[MOCK_ETC]), card_to_vfio);
	WAIT_UNTIL(streq(manager_property(h, "Rules", "u"), "1"));
	ck_assert_uint_eq(policy_settles_in(&h->m->settings), 0);
	wait_property(h, "pci", CARD, "Driver", "vfio-pci");
	harness_free(h);
}
END_TEST

/* A person saves a file and asks at once: about that file, not about the version before. */
START_TEST(reload_tells_what_is_wrong_with_a_file_that_was_just_written)
{
	struct harness *h = harness_new();
	const char *path = mock_policy(h->m, MOCK_ETC, "50-a.conf", card_default), *text;
	sd_bus_message *m;

	three_devices(h);
	make_copies(h);
	service_start(h);
	write_in_place(path, "[device card]\nDriver=vfio-pci\n");
	m = call(h, "Reload", NULL);
	ck_assert_ptr_nonnull(m);
	ck_assert_int_gt(sd_bus_message_enter_container(m, 'a', "(sus)"), 0);
	ck_assert_int_gt(sd_bus_message_read(m, "(sus)", &text, NULL, NULL), 0);
	ck_assert_str_eq(text, path);
	sd_bus_message_unref(m);
	harness_free(h);
}
END_TEST

START_TEST(what_set_has_written_is_in_force_at_once)
{
	struct harness *h = harness_new();

	three_devices(h);
	service_start(h);
	for (unsigned i = 0; i < 5; i++) {
		ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "enforced");
		ck_assert_str_eq(property(h, "pci", CARD, "Decision"), "vfio-pci");
		make_copies(h);
		ck_assert_str_eq(set_with(h, "pci", CARD, "none", "rebind", "s", "force", NULL), "enforced");
		ck_assert_str_eq(property(h, "pci", CARD, "Decision"), "none");
		make_copies(h);
	}
	harness_free(h);
}
END_TEST

SUITE_MAIN("bus-policy-files", 300, a_linked_file_is_edited,
	   a_file_that_was_linked_while_the_service_runs_is_edited, a_linked_directory_is_switched,
	   a_new_file_is_in_force_when_it_has_been_left_alone,
	   reload_tells_what_is_wrong_with_a_file_that_was_just_written,
	   what_set_has_written_is_in_force_at_once)
