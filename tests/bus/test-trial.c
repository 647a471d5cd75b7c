/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SetOverride with the option try, and Confirm: a change goes back by itself unless it is confirmed. */
#include "base/text.h"
#include "tests/bus/trial-fixture.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

START_TEST(change_goes_back_by_itself)
{
	struct harness *h = trial_harness_new();

	ck_assert_str_eq(try_driver(h, "vfio-pci", 2 * SECOND), "enforced");
	ck_assert_ptr_nonnull(policy_text(h, MOCK_RUN, RUN_FILE));
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 0);
	WAIT_UNTIL(lines_with(systemd_log(h), "run ") == 1);
	wait_property(h, "pci", CARD, "Driver", "e1000e");
	wait_property(h, "pci", CARD, "State", "unmanaged");
	settle(h);
	assert_as_before_trial(h);
	harness_free(h);
}
END_TEST

/* systemd has the timer before anything is written: what is written may be the end of us. */
START_TEST(nothing_is_changed_without_a_timer)
{
	struct harness *h = trial_harness_new();

	systemd_refuses(h, true);
	ck_assert_str_eq(try_driver(h, "vfio-pci", LONG), "!Failed");
	ck_assert_ptr_nonnull(
		strstr(h->error.message, "systemd gives no timer to go back by, so nothing was changed"));
	ck_assert_uint_eq(calls(h, "pci/" CARD), calls(h, "dry-run"));
	assert_as_before_trial(h);
	harness_free(h);
}
END_TEST

START_TEST(confirmed_change_lasts)
{
	struct harness *h = trial_harness_new();

	ck_assert_str_eq(confirm_on(h, h->bus), "!Invalid");
	ck_assert_str_eq(h->error.message, "no change of pci " CARD " is on trial");
	ck_assert_str_eq(outcome(h, call(h, "SetOverride", "sssa{sv}", "pci", CARD, "vfio-pci", 4, "try", "t",
					 LONG, "by", "s", "path", "group", "s", "leave", "module", "s", "m")),
			 "enforced");
	ck_assert_uint_eq(trials_listed(h, NULL), 1);
	ck_assert_str_eq(confirm_on(h, h->bus), "enforced");
	ck_assert_uint_eq(policy_files(h, MOCK_RUN), 0);
	ck_assert_ptr_nonnull(strstr(
		policy_text(h, MOCK_ETC, "10-set-pci-path-pci0000:00\\x2f03.0.conf"),
		"\nPath=pci0000:00/03.0\nId=8086:10d3:1af4:1100\nDriver=vfio-pci\nGroup=leave\nModule=m\n"));
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "vfio-pci");
	WAIT_UNTIL(lines_with(systemd_log(h), "stop ") == 1);
	ck_assert_uint_eq(trials_listed(h, NULL), 0);
	ck_assert_str_eq(confirm_on(h, h->bus), "!Invalid");
	harness_free(h);
}
END_TEST

/* What there was before is in the folder of the state, not in the service. */
START_TEST(neither_the_service_nor_its_end_is_in_the_way)
{
	struct harness *h = trial_harness_new();

	ck_assert_str_eq(try_driver(h, "none", 3 * SECOND), "enforced");
	service_kill(h);
	WAIT_UNTIL(lines_with(systemd_log(h), "run ") == 1);
	WAIT_UNTIL(streq(mock_override(h->m, CARD_PATH), "(null)\n"));
	ck_assert_uint_eq(policy_files(h, MOCK_RUN), 0);
	service_start(h);
	wait_property(h, "pci", CARD, "Driver", "e1000e");
	assert_as_before_trial(h);

	/* Another service confirms what this one has begun. */
	ck_assert_str_eq(try_driver(h, "none", LONG), "enforced");
	service_kill(h);
	service_start(h);
	ck_assert_str_eq(confirm_on(h, h->bus), "enforced");
	ck_assert_ptr_nonnull(policy_text(h, MOCK_ETC, CARD_FILE));
	harness_free(h);
}
END_TEST

START_TEST(what_was_in_the_file_of_this_boot_comes_back)
{
	struct harness *h = trial_harness_new();
	const char *before;

	ck_assert_str_eq(set_with(h, "pci", CARD, "none", "runtime", "b", 1, "rebind", "s", "force", NULL),
			 "enforced");
	before = policy_text(h, MOCK_RUN, RUN_FILE);
	ck_assert_str_eq(try_driver(h, "vfio-pci", 2 * SECOND), "enforced");
	ck_assert_str_ne(policy_text(h, MOCK_RUN, RUN_FILE), before);
	WAIT_UNTIL(lines_with(systemd_log(h), "run ") == 1);
	wait_property(h, "pci", CARD, "Driver", "");
	wait_property(h, "pci", CARD, "State", "enforced");
	ck_assert_str_eq(policy_text(h, MOCK_RUN, RUN_FILE), before);
	harness_free(h);
}
END_TEST

START_TEST(second_try_has_its_own_time_and_the_first_one_s_way_back)
{
	struct harness *h = trial_harness_new();
	uint64_t usec;

	ck_assert_str_eq(try_driver(h, "none", LONG), "enforced");
	ck_assert_str_eq(try_driver(h, "vfio-pci", 2 * LONG), "enforced");
	ck_assert_uint_eq(trials_listed(h, &usec), 1);
	ck_assert(usec > LONG && usec <= 2 * LONG);
	WAIT_UNTIL(lines_with(systemd_log(h), "stop ") == 1);
	/* The same once more changes nothing but the time. */
	ck_assert_str_eq(try_driver(h, "vfio-pci", 2 * SECOND), "enforced");
	WAIT_UNTIL(lines_with(systemd_log(h), "run ") == 1);
	wait_property(h, "pci", CARD, "Driver", "e1000e");
	settle(h);
	assert_as_before_trial(h);
	harness_free(h);
}
END_TEST

START_TEST(try_that_fails_leaves_the_one_before)
{
	struct harness *h = trial_harness_new();
	uint64_t usec;

	ck_assert_str_eq(try_driver(h, "none", LONG), "enforced");
	faults(h, "pci/" CARD " Failed it did not bind\n");
	ck_assert_str_eq(try_driver(h, "vfio-pci", 2 * LONG), "!Failed");
	faults(h, "");
	ck_assert_uint_eq(trials_listed(h, &usec), 1);
	ck_assert(usec <= LONG);
	WAIT_UNTIL(lines_with(systemd_log(h), "stop ") == 1);
	ck_assert_ptr_nonnull(strstr(policy_text(h, MOCK_RUN, RUN_FILE), "Driver=none"));
	harness_free(h);
}
END_TEST

/* The timer goes off while the trial is not there: what is to end it waits for its device. */
START_TEST(another_change_that_fails_leaves_the_trial_with_a_timer)
{
	struct harness *h = trial_harness_new();

	ck_assert_str_eq(try_driver(h, "vfio-pci", LONG), "enforced");
	faults(h, "pci/" CARD " wait\npci/" CARD " Failed it did not bind\n");
	send_call(h->bus, "SetOverride", "sssa{sv}", "pci", CARD, "none", 0);
	WAIT_UNTIL(policy_files(h, MOCK_ETC) == 1 && trials_listed(h, NULL) == 0);
	systemd_hurries(h, true);
	WAIT_UNTIL(lines_with(systemd_log(h), "end ") == 1);
	systemd_hurries(h, false);
	faults(h, "pci/" CARD " Failed it did not bind\n");
	WAIT_UNTIL(trials_listed(h, NULL) == 1);
	WAIT_UNTIL(lines_with(systemd_log(h), "start ") == 2);
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 0);
	faults(h, "");
	systemd_hurries(h, true);
	WAIT_UNTIL(lines_with(systemd_log(h), "end ") == 2);
	wait_property(h, "pci", CARD, "Driver", "e1000e");
	settle(h);
	assert_as_before_trial(h);
	harness_free(h);
}
END_TEST
START_TEST(first_try_that_fails_is_none)
{
	struct harness *h = trial_harness_new();

	faults(h, "pci/" CARD " Failed it did not bind\n");
	ck_assert_str_eq(try_driver(h, "vfio-pci", LONG), "!Failed");
	faults(h, "");
	WAIT_UNTIL(lines_with(systemd_log(h), "stop ") == 1);
	settle(h);
	assert_as_before_trial(h);
	/* Nor is what is as asked already. */
	ck_assert_str_eq(set_with(h, "pci", CARD, "none", "runtime", "b", 1, NULL), "enforced");
	ck_assert_str_eq(try_driver(h, "none", LONG), "enforced");
	ck_assert_uint_eq(trials_listed(h, NULL), 0);
	ck_assert_uint_eq(lines_with(systemd_log(h), "start "), 1);
	harness_free(h);
}
END_TEST

START_TEST(another_change_ends_the_trial)
{
	struct harness *h = trial_harness_new();

	ck_assert_str_eq(try_driver(h, "none", LONG), "enforced");
	ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "enforced");
	ck_assert_uint_eq(trials_listed(h, NULL), 0);
	WAIT_UNTIL(lines_with(systemd_log(h), "stop ") == 1);
	ck_assert_str_eq(try_driver(h, "none", LONG), "enforced");
	ck_assert_str_eq(clear_with(h, "pci", CARD, "runtime", "b", 1, NULL), "enforced");
	ck_assert_uint_eq(trials_listed(h, NULL), 0);
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "vfio-pci");
	/* One of another place does not. */
	ck_assert_str_eq(try_driver(h, "none", LONG), "enforced");
	ck_assert_str_eq(clear(h, "pci", CARD), "enforced");
	ck_assert_uint_eq(trials_listed(h, NULL), 1);
	harness_free(h);
}
END_TEST

/* By hand, since the service is not told of it. */
START_TEST(file_that_was_changed_since_stays)
{
	struct harness *h = trial_harness_new();
	const char *text = "[device x]\nName=" CARD "\nDriver=vfio-pci\n";

	ck_assert_str_eq(try_driver(h, "none", 2 * SECOND), "enforced");
	mock_policy(h->m, MOCK_RUN, RUN_FILE, text);
	WAIT_UNTIL(lines_with(systemd_log(h), "run ") == 1);
	wait_property(h, "pci", CARD, "Driver", "vfio-pci");
	WAIT_UNTIL(trials_listed(h, NULL) == 0);
	ck_assert_str_eq(policy_text(h, MOCK_RUN, RUN_FILE), text);
	harness_free(h);
}
END_TEST

/* A change that took force goes back by force: the host may use the device by now. */
START_TEST(what_was_forced_goes_back_by_force)
{
	struct harness *h = trial_harness_new();

	faults(h, "pci/" CARD " InUse eth0 has an address\n");
	ck_assert_str_eq(try_driver(h, "none", LONG), "!InUse");
	ck_assert_uint_eq(trials_listed(h, NULL), 0);
	ck_assert_uint_eq(lines_with(systemd_log(h), "start "), 0);
	ck_assert_str_eq(outcome(h, call(h, "SetOverride", "sssa{sv}", "pci", CARD, "none", 2, "try", "t",
					 2 * SECOND, "force", "b", 1)),
			 "enforced");
	WAIT_UNTIL(lines_with(systemd_log(h), "run ") == 1);
	wait_property(h, "pci", CARD, "Driver", "e1000e");
	harness_free(h);
}
END_TEST

START_TEST(users_may_try_what_they_may_set)
{
	struct harness *h = trial_harness_new();
	sd_bus *user = connect_as(h, SOMEBODY);

	ck_assert_str_eq(try_on(h, user, "none", LONG), "!AccessDenied");
	ck_assert_uint_eq(lines_with(systemd_log(h), ""), 0);
	polkit_start(h, "org.driveroverrides1.set yes\n");
	ck_assert_str_eq(outcome(h, call_on(h, user, ROOT_PATH, MANAGER, "SetOverride", "sssa{sv}", "pci",
					    CARD, "none", 2, "try", "t", LONG, "any-device", "b", 1)),
			 "enforced");
	ck_assert_uint_eq(lines_with(systemd_log(h), "start "), 1);
	polkit_answers(h, "org.driveroverrides1.set no\n");
	ck_assert_str_eq(confirm_on(h, user), "!AccessDenied");
	ck_assert_uint_eq(trials_listed(h, NULL), 1);
	polkit_answers(h, "org.driveroverrides1.set yes\n");
	ck_assert_str_eq(confirm_on(h, user), "enforced");
	ck_assert_ptr_nonnull(strstr(polkit_questions(h), "driver=none"));
	ck_assert_ptr_nonnull(strstr(polkit_questions(h), "runtime=false any-device=true absent= "));
	(void)sd_bus_flush_close_unref(user);
	harness_free(h);
}
END_TEST

START_TEST(invalid_times_and_dry_runs_change_nothing)
{
	struct harness *h = trial_harness_new();

	ck_assert_str_eq(try_driver(h, "none", 0), "!Invalid");
	ck_assert_str_eq(try_driver(h, "none", SECOND - 1), "!Invalid");
	ck_assert_str_eq(try_driver(h, "none", 25 * LONG), "!Invalid");
	ck_assert_str_eq(set_with(h, "pci", CARD, "none", "try", "s", "90s", NULL), "!Invalid");
	ck_assert_str_eq(outcome(h, call(h, "SetOverride", "sssa{sv}", "pci", CARD, "none", 2, "try", "t",
					 LONG, "dry-run", "b", 1)),
			 "enforced");
	ck_assert_uint_eq(lines_with(systemd_log(h), ""), 0);
	assert_as_before_trial(h);
	harness_free(h);
}
END_TEST

SUITE_MAIN("bus-trial", 300, change_goes_back_by_itself, nothing_is_changed_without_a_timer,
	   confirmed_change_lasts, neither_the_service_nor_its_end_is_in_the_way,
	   what_was_in_the_file_of_this_boot_comes_back,
	   second_try_has_its_own_time_and_the_first_one_s_way_back, try_that_fails_leaves_the_one_before,
	   another_change_that_fails_leaves_the_trial_with_a_timer, first_try_that_fails_is_none,
	   another_change_ends_the_trial, file_that_was_changed_since_stays,
	   what_was_forced_goes_back_by_force, users_may_try_what_they_may_set,
	   invalid_times_and_dry_runs_change_nothing)
