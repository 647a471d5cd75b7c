/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `driver-override boot`: boots are counted, and a policy with which none is complete is given up. */
#include "base/macro.h"
#include "base/text.h"
#include "policy/policy-in-force.h"
#include "state/boot-attempts.h"
#include "state/boot-over.h"
#include "tests/unit/fixtures/boot-machine.h"
#include "tests/unit/fixtures/suite.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

START_TEST(third_boot_runs_with_the_last_good_policy)
{
	const char *device;
	struct mock *m = machine_new(&device);
	struct enforcer_result r;

	mock_policy(m, MOCK_ETC, "10-a.conf", GOOD);
	machine_boot(m, device, true);
	ck_assert_str_eq(mock_override(m, device), "pci-stub");
	mock_policy(m, MOCK_ETC, "10-a.conf", BAD);
	for (unsigned i = 0; i < BOOT_ATTEMPTS_MAX; i++) {
		(void)machine_boot(m, device, false);
		ck_assert_str_eq(mock_override(m, device), "vfio-pci");
		ck_assert_str_eq(console_text(m), "");
	}
	r = machine_boot(m, device, true);
	ck_assert_str_eq(mock_override(m, device), "pci-stub");
	ck_assert_ptr_nonnull(strstr(r.err, "with the last policy that was good"));
	ck_assert_ptr_nonnull(strstr(r.err, "overridectl reload --retry"));
	ck_assert_ptr_nonnull(strstr(console_text(m), "with the last policy that was good"));
	/* That it has come up does not make it good: until a person decides. */
	for (unsigned i = 0; i < 2; i++) {
		machine_boot(m, device, true);
		ck_assert_str_eq(mock_override(m, device), "pci-stub");
	}
	mock_free(m);
}
END_TEST

START_TEST(without_a_good_policy_there_is_none)
{
	const char *device;
	struct mock *m = machine_new(&device);
	struct enforcer_result r;

	mock_policy(m, MOCK_ETC, "10-a.conf", BAD);
	for (unsigned i = 0; i < BOOT_ATTEMPTS_MAX; i++)
		machine_boot(m, device, false);
	r = machine_boot(m, device, true);
	ck_assert_str_eq(mock_override(m, device), "(null)\n");
	ck_assert_ptr_nonnull(strstr(r.err, "without policy"));
	mock_free(m);
}
END_TEST

START_TEST(complete_boot_ends_the_counting)
{
	const char *device;
	struct mock *m = machine_new(&device);

	mock_policy(m, MOCK_ETC, "10-a.conf", BAD);
	machine_boot(m, device, false);
	ck_assert(!boot_is_over(m->state));
	machine_boot(m, device, true);
	ck_assert(boot_is_over(m->state));
	for (unsigned i = 0; i <= BOOT_ATTEMPTS_MAX; i++) {
		machine_boot(m, device,
			     false); /* a power failure, a kernel that crashes: no fault of policy */
		ck_assert_str_eq(mock_override(m, device), "vfio-pci");
	}
	mock_free(m);
}
END_TEST

/* A boot counts once, however many programs say that it has begun. */
START_TEST(boot_is_counted_once)
{
	const char *device;
	struct mock *m = machine_new(&device);
	struct boot_attempts attempts;

	mock_policy(m, MOCK_ETC, "10-a.conf", BAD);
	machine_boot(m, device, false);
	ck_assert_int_eq(enforcer_run(m, "boot", "begin", NULL).status, 0);
	ck_assert_int_eq(enforcer_run(m, "sweep", "--boot", NULL).status, 0);
	ck_assert_int_eq(boot_attempts_read(&m->settings, &attempts), 0);
	ck_assert_uint_eq(attempts.n, 1);
	ck_assert_str_eq(attempts.good, "");
	mock_free(m);
}
END_TEST

/* What is written later in a boot has not been booted with. */
START_TEST(policy_of_the_boots_begin_is_the_good_one)
{
	const char *device;
	struct mock *m = machine_new(&device);

	mock_policy(m, MOCK_ETC, "10-a.conf", GOOD);
	machine_boot(m, device, false);
	mock_policy(m, MOCK_ETC, "10-a.conf", BAD);
	ck_assert_int_eq(enforcer_run(m, "boot", "complete", NULL).status, 0);
	for (unsigned i = 0; i < BOOT_ATTEMPTS_MAX; i++)
		machine_boot(m, device, false);
	machine_boot(m, device, false);
	ck_assert_str_eq(mock_override(m, device), "pci-stub");
	mock_free(m);
}
END_TEST

START_TEST(changed_policy_is_tried_anew)
{
	const char *device;
	struct mock *m = machine_with_failed_policy(&device);

	mock_policy(m, MOCK_ETC, "20-b.conf", RULE("b", "x", "none"));
	/* At once, in every program. */
	ck_assert_int_eq(enforcer_event(m, device).status, 0);
	ck_assert_str_eq(mock_override(m, device), "vfio-pci");
	for (unsigned i = 0; i < BOOT_ATTEMPTS_MAX; i++) {
		machine_boot(m, device, false);
		ck_assert_str_eq(mock_override(m, device), "vfio-pci");
	}
	machine_boot(m, device, false);
	ck_assert_str_eq(mock_override(m, device), "pci-stub");
	mock_free(m);
}
END_TEST

START_TEST(person_may_have_it_tried_again)
{
	const char *device;
	struct mock *m = machine_with_failed_policy(&device);
	struct enforcer_result r = enforcer_run(m, "boot", "retry", NULL);

	ck_assert_int_eq(r.status, 0);
	ck_assert_ptr_nonnull(strstr(r.err, "in force again"));
	ck_assert_int_eq(enforcer_event(m, device).status, 0);
	ck_assert_str_eq(mock_override(m, device), "vfio-pci");
	for (unsigned i = 0; i < BOOT_ATTEMPTS_MAX; i++) {
		machine_boot(m, device, false);
		ck_assert_str_eq(mock_override(m, device), "vfio-pci");
	}
	machine_boot(m, device, false);
	ck_assert_str_eq(mock_override(m, device), "pci-stub");
	mock_free(m);
}
END_TEST

/* Rules of this boot count beside the last good policy, but for those with which the boots have failed. */
START_TEST(runtime_rules_count_beside_the_last_good_policy)
{
	const char *device, *other;
	struct mock *m = machine_with_failed_policy(&device);

	other = mock_pci_add(m, "0000:00:04.0", NULL, 0x1b36, 0x0010, 0x010802);
	mock_policy(m, MOCK_RUN, "05-run-pci-0000:00:04.0.conf", RULE("r", "0000:00:04.0", "none"));
	ck_assert_int_eq(enforcer_event(m, other).status, 0);
	ck_assert_str_eq(mock_override(m, other), "none");
	ck_assert_int_eq(enforcer_event(m, device).status, 0);
	ck_assert_str_eq(mock_override(m, device), "pci-stub");
	mock_free(m);
}
END_TEST

START_TEST(another_command_line_is_another_policy)
{
	const char *device;
	struct mock *m = machine_new(&device);
	static const char line[] = "driver_overrides.rule=Name=0000:00:03.0,Driver=vfio-pci\n";

	machine_boot(m, device, true);
	make_dirs(mock_printf(m, "%s/proc", m->root));
	make_file(mock_printf(m, "%s/proc/cmdline", m->root), line, strlen(line));
	for (unsigned i = 0; i < BOOT_ATTEMPTS_MAX; i++) {
		machine_boot(m, device, false);
		ck_assert_str_eq(mock_override(m, device), "vfio-pci");
	}
	machine_boot(m, device, false);
	ck_assert_str_eq(mock_override(m, device), "(null)\n");
	make_file(mock_printf(m, "%s/proc/cmdline", m->root), "quiet\n", 6);
	ck_assert_int_eq(unlink(mock_printf(m, "%s/00-command-line.conf", m->conf[MOCK_RUN])), 0);
	mock_policy(m, MOCK_ETC, "10-a.conf", GOOD);
	machine_boot(m, device, false);
	ck_assert_str_eq(mock_override(m, device), "pci-stub");
	mock_free(m);
}
END_TEST

START_TEST(boot_into_a_rescue_shell_is_not_counted)
{
	static const char *const lines[] = { "ro systemd.unit=rescue.target\n", "ro emergency\n",
					     "single\n" };
	const char *device;
	struct mock *m = machine_new(&device);
	struct boot_attempts attempts;

	mock_policy(m, MOCK_ETC, "10-a.conf", BAD);
	make_dirs(mock_printf(m, "%s/proc", m->root));
	for (size_t i = 0; i < ELEMENTSOF(lines); i++) {
		make_file(mock_printf(m, "%s/proc/cmdline", m->root), lines[i], strlen(lines[i]));
		machine_boot(m, device, false);
	}
	ck_assert_int_eq(boot_attempts_read(&m->settings, &attempts), 0);
	ck_assert_str_eq(attempts.tried, "");
	mock_free(m);
}
END_TEST

START_TEST(boot_for_updates_or_labels_is_not_counted)
{
	static const char *const marks[] = { "system-update", "etc/system-update", ".autorelabel" };
	const char *device;
	struct mock *m = machine_new(&device);
	struct boot_attempts attempts;

	mock_policy(m, MOCK_ETC, "10-a.conf", BAD);
	make_dirs(mock_printf(m, "%s/etc", m->root));
	for (size_t i = 0; i < ELEMENTSOF(marks); i++) {
		const char *mark = mock_printf(m, "%s/%s", m->root, marks[i]);

		ck_assert_int_eq(symlink("/nonexistent", mark), 0);
		machine_boot(m, device, false);
		ck_assert_int_eq(unlink(mark), 0);
	}
	ck_assert_int_eq(boot_attempts_read(&m->settings, &attempts), 0);
	ck_assert_str_eq(attempts.tried, "");
	mock_free(m);
}
END_TEST

/* Its copy of what is known of boots is from before they failed. */
START_TEST(what_an_image_gives_away_by_a_policy_that_has_failed_is_moved_on_the_real_root)
{
	const char *device;
	struct mock *m = machine_with_failed_policy(&device);
	const char *boots = mock_printf(m, "%s/var/lib/driver-overrides/boots", m->root),
		   *aside = mock_printf(m, "%s/aside", m->root);
	struct enforcer_result r;

	ck_assert_int_eq(rename(boots, aside), 0);
	machine_enter_image(m, device);
	ck_assert_int_eq(enforcer_run(m, "sweep", "--boot", NULL).status, 0);
	ck_assert_str_eq(mock_override(m, device), "vfio-pci");
	mock_bind(m, device, "vfio-pci");
	machine_leave_image(m);
	ck_assert_int_eq(rename(aside, boots), 0);
	mock_driver_add(m, "pci", "pci-stub");
	r = enforcer_run(m, "sweep", "--boot", NULL);
	ck_assert_int_eq(r.status, 0);
	/* There is no kernel here that would let it go. */
	ck_assert_ptr_nonnull(strstr(r.err, "pci/0000:00:03.0: "));
	mock_free(m);
}
END_TEST

/* Debian's root is read-only when the sweep runs, and is written to later. */
START_TEST(root_that_is_read_only_at_first_is_no_reason_not_to_count)
{
	const char *device;
	struct mock *m = machine_new(&device);
	struct boot_attempts attempts;
	struct enforcer_result r;

	remove_tree(mock_printf(m, "%s/var/lib/driver-overrides", m->root));
	mock_policy(m, MOCK_ETC, "10-a.conf", BAD);
	r = enforcer_run(m, "sweep", "--boot", NULL);
	ck_assert_int_eq(r.status, 0);
	ck_assert_ptr_null(strstr(r.err, "counted"));
	ck_assert_int_ne(access(mock_printf(m, "%s/var/lib/driver-overrides", m->root), F_OK), 0);
	ck_assert_int_eq(enforcer_run(m, "boot", "begin", NULL).status, 0);
	ck_assert_int_eq(boot_attempts_read(&m->settings, &attempts), 0);
	ck_assert_uint_eq(attempts.n, 1);
	mock_free(m);
}
END_TEST

/* The unit that counts later does so where this file is not there. */
START_TEST(sweep_leaves_word_that_the_boot_is_counted_and_not_where_a_soft_reboot_is_still_to_be)
{
	const char *device, *word;
	struct mock *m = machine_new(&device);

	word = mock_printf(m, "%s/boot-policy", m->state);
	mock_policy(m, MOCK_ETC, "10-a.conf", GOOD);
	ck_assert_int_eq(enforcer_run(m, "sweep", "--boot", NULL).status, 0);
	ck_assert_int_eq(access(word, F_OK), 0);
	/* Another root, whose /var is not mounted yet. */
	mock_policy(m, MOCK_ETC, "10-a.conf", BAD);
	remove_tree(mock_printf(m, "%s/var/lib/driver-overrides", m->root));
	ck_assert_int_eq(enforcer_run(m, "sweep", "--boot", NULL).status, 0);
	ck_assert_int_ne(access(word, F_OK), 0);
	ck_assert_int_eq(enforcer_run(m, "boot", "begin", NULL).status, 0);
	ck_assert_int_eq(access(word, F_OK), 0);
	mock_free(m);
}
END_TEST

START_TEST(machine_without_policy_is_left_alone)
{
	const char *device;
	struct mock *m = machine_new(&device);

	machine_boot(m, device, true);
	ck_assert_int_ne(access(mock_printf(m, "%s/var/lib/driver-overrides/boots", m->root), F_OK), 0);
	/* Removing all policy is what a person does about trouble. */
	mock_policy(m, MOCK_ETC, "10-a.conf", GOOD);
	machine_boot(m, device, true);
	ck_assert_int_eq(unlink(mock_printf(m, "%s/10-a.conf", m->conf[MOCK_ETC])), 0);
	for (unsigned i = 0; i <= BOOT_ATTEMPTS_MAX; i++) {
		machine_boot(m, device, false);
		ck_assert_str_eq(mock_override(m, device), "(null)\n");
	}
	mock_free(m);
}
END_TEST

/* Without its files, an image made by hand for example, there is no policy rather than a bad one. */
START_TEST(good_policy_whose_files_are_lost_is_none)
{
	const char *device;
	struct mock *m = machine_new(&device);

	mock_policy(m, MOCK_ETC, "10-a.conf", GOOD);
	machine_boot(m, device, true);
	remove_tree(mock_printf(m, "%s/var/lib/driver-overrides/policies", m->root));
	mock_policy(m, MOCK_ETC, "10-a.conf", BAD);
	for (unsigned i = 0; i < BOOT_ATTEMPTS_MAX; i++)
		machine_boot(m, device, false);
	machine_boot(m, device, false);
	ck_assert_str_eq(mock_override(m, device), "(null)\n");
	mock_free(m);
}
END_TEST

START_TEST(usage_of_boot)
{
	struct mock *m = mock_new();

	ck_assert_int_eq(enforcer_run(m, "boot", NULL).status, 2);
	ck_assert_int_eq(enforcer_run(m, "boot", "nonsense", NULL).status, 2);
	ck_assert_int_eq(enforcer_run(m, "boot", "begin", "x", NULL).status, 2);
	ck_assert_int_eq(enforcer_run(m, "sweep", "--boot", "--last-good", NULL).status, 2);
	ck_assert_int_eq(enforcer_run(m, "--last-good", "release", NULL).status, 2);
	mock_free(m);
}
END_TEST

SUITE_MAIN("boot", 60, boot_for_updates_or_labels_is_not_counted,
	   what_an_image_gives_away_by_a_policy_that_has_failed_is_moved_on_the_real_root,
	   third_boot_runs_with_the_last_good_policy, without_a_good_policy_there_is_none,
	   complete_boot_ends_the_counting, boot_is_counted_once, policy_of_the_boots_begin_is_the_good_one,
	   changed_policy_is_tried_anew, person_may_have_it_tried_again,
	   runtime_rules_count_beside_the_last_good_policy, another_command_line_is_another_policy,
	   boot_into_a_rescue_shell_is_not_counted, root_that_is_read_only_at_first_is_no_reason_not_to_count,
	   sweep_leaves_word_that_the_boot_is_counted_and_not_where_a_soft_reboot_is_still_to_be,
	   machine_without_policy_is_left_alone, good_policy_whose_files_are_lost_is_none, usage_of_boot)
