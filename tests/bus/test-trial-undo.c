/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What becomes of a change whose time is over when something is in the way, and what systemd is asked for. */
#include "base/text.h"
#include "tests/bus/trial-fixture.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Its plan is of when the trial was there; what is restored is what the undo has left. */
START_TEST(undo_between_plan_and_write_is_not_undone)
{
	struct harness *h = trial_harness_new();
	unsigned n;

	ck_assert_str_eq(try_driver(h, "vfio-pci", LONG), "enforced");
	n = calls(h, "dry-run");
	faults(h, "pci/" CARD " dry-slow\n");
	send_call(h->bus, "SetOverride", "sssa{sv}", "pci", CARD, "none", 1, "runtime", "b", 1);
	WAIT_UNTIL(calls(h, "dry-run") == n + 1);
	systemd_hurries(h, true);
	WAIT_UNTIL(trials_listed(h, NULL) == 0);
	/* All of it: what it moves back is not to fail. */
	WAIT_UNTIL(lines_with(systemd_log(h), "end ") == 1);
	faults(h, "pci/" CARD " Failed it did not bind\n");
	/* It was planned, tried and refused once more. */
	WAIT_UNTIL(calls(h, "dry-run") == n + 2);
	settle(h);
	faults(h, "");
	ck_assert_uint_eq(policy_files(h, MOCK_RUN), 0);
	ck_assert_uint_eq(trials_listed(h, NULL), 0);
	harness_free(h);
}
END_TEST

static void swap_files(struct harness *h, const char *a, const char *b)
{
	ck_assert_int_eq(renameat2(AT_FDCWD, mock_printf(h->m, "%s/%s", h->m->conf[MOCK_RUN], a), AT_FDCWD,
				   mock_printf(h->m, "%s/%s", h->m->conf[MOCK_RUN], b), RENAME_EXCHANGE),
			 0);
}

/* What is to go back cannot be read for a while: a folder is in its place. */
START_TEST(undo_that_fails_is_tried_until_it_succeeds)
{
	struct harness *h = trial_harness_new();
	const char *folder = mock_printf(h->m, "%s/folder", h->m->conf[MOCK_RUN]);

	ck_assert_str_eq(try_driver(h, "vfio-pci", LONG), "enforced");
	ck_assert_int_eq(mkdir(folder, 0755), 0);
	swap_files(h, RUN_FILE, "folder");
	systemd_hurries(h, true);
	WAIT_UNTIL(lines_with(systemd_log(h), "end ") >= 2);
	ck_assert_uint_eq(trials_listed(h, NULL), 1);
	swap_files(h, RUN_FILE, "folder");
	ck_assert_int_eq(rmdir(folder), 0);
	WAIT_UNTIL(trials_listed(h, NULL) == 0);
	wait_property(h, "pci", CARD, "Driver", "e1000e");
	settle(h);
	assert_as_before_trial(h);
	harness_free(h);
}
END_TEST

/* Policy is back at once, and the device when nobody uses it any more. */
START_TEST(device_that_cannot_go_back_yet_is_tried_until_it_can)
{
	struct harness *h = trial_harness_new();

	ck_assert_str_eq(try_driver(h, "vfio-pci", LONG), "enforced");
	faults(h, "pci/" CARD " InUse a guest has it\n");
	systemd_hurries(h, true);
	WAIT_UNTIL(lines_with(systemd_log(h), "end ") >= 3);
	ck_assert_uint_eq(policy_files(h, MOCK_RUN), 0);
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "vfio-pci");
	/* Nobody can confirm it any more. */
	ck_assert_uint_eq(trials_listed(h, NULL), 0);
	ck_assert_str_eq(confirm_on(h, h->bus), "!Invalid");
	faults(h, "");
	wait_property(h, "pci", CARD, "Driver", "e1000e");
	WAIT_UNTIL(!trial_file_is_there(h));
	settle(h);
	assert_as_before_trial(h);
	harness_free(h);
}
END_TEST

START_TEST(another_change_ends_what_is_left_of_a_trial)
{
	struct harness *h = trial_harness_new();

	ck_assert_str_eq(try_driver(h, "vfio-pci", LONG), "enforced");
	faults(h, "pci/" CARD " InUse a guest has it\n");
	systemd_hurries(h, true);
	WAIT_UNTIL(lines_with(systemd_log(h), "end ") >= 1);
	systemd_hurries(h, false);
	WAIT_UNTIL(lines_with(systemd_log(h), "run ") == lines_with(systemd_log(h), "end "));
	ck_assert(trial_file_is_there(h));
	faults(h, "");
	ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "enforced");
	ck_assert(!trial_file_is_there(h));
	/* The unit finds nothing to do, and ends. */
	systemd_hurries(h, true);
	WAIT_UNTIL(lines_with(systemd_log(h), "end ") >= 2);
	settle(h);
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "vfio-pci");
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 1);
	harness_free(h);
}
END_TEST

/* systemd has variables in command lines. */
START_TEST(device_with_a_dollar_in_its_name_goes_back)
{
	struct harness *h = harness_new();
	const char *path;

	three_devices(h);
	path = mock_device_add(h->m, "platform", "/devices/platform", "a$HOME", true);
	systemd_start(h);
	service_start(h);
	ck_assert_str_eq(outcome(h, call(h, "SetOverride", "sssa{sv}", "platform", "a$HOME", "none", 1, "try",
					 "t", LONG)),
			 "enforced");
	ck_assert_str_eq(mock_override(h->m, path), "none\n");
	systemd_hurries(h, true);
	WAIT_UNTIL(lines_with(systemd_log(h), "end ") >= 1);
	WAIT_UNTIL(streq(mock_override(h->m, path), "(null)\n"));
	ck_assert_uint_eq(policy_files(h, MOCK_RUN), 0);
	harness_free(h);
}
END_TEST

static bool was_asked_for(struct harness *h, const char *property)
{
	return strstr(systemd_log(h), property) != NULL;
}

/* Other tests show what the fake systemd makes of some of them; the rest only the real one can. */
START_TEST(units_outlive_an_isolate_and_start_without_a_limit)
{
	struct harness *h = trial_harness_new();

	ck_assert_str_eq(try_driver(h, "none", LONG), "enforced");
	ck_assert(was_asked_for(h, ".timer IgnoreOnIsolate=1\n"));
	ck_assert(was_asked_for(h, ".service IgnoreOnIsolate=1\n"));
	ck_assert(was_asked_for(h, ".service Restart=on-failure\n"));
	ck_assert(was_asked_for(h, ".service RestartUSec=5000000\n"));
	ck_assert(was_asked_for(h, ".service StartLimitIntervalUSec=0\n"));
	harness_free(h);
}
END_TEST

static void systemd_loses_timer(struct harness *h)
{
	char name[256];

	ck_assert_int_eq(sscanf(strstr(systemd_log(h), "start "), "start %255s", name), 1);
	ck_assert_int_ge(sd_bus_call_method(h->bus, "org.freedesktop.systemd1", "/org/freedesktop/systemd1",
					    "org.freedesktop.systemd1.Manager", "StopUnit", NULL, NULL, "ss",
					    name, "replace"),
			 0);
}

static void trial_is_over(struct harness *h)
{
	const char *path = mock_printf(h->m, "%s/trials/pci:" CARD, h->m->state),
		   *text = mock_read(h->m, path), *until = strstr(text, "UNTIL=");

	ck_assert_ptr_nonnull(until);
	text = mock_printf(h->m, "%.*sUNTIL=1%s", (int)(until - text), text, strchr(until, '\n'));
	make_file(path, text, strlen(text));
}

START_TEST(service_has_lost_timers_started_again)
{
	struct harness *h = trial_harness_new();

	ck_assert_str_eq(try_driver(h, "vfio-pci", LONG), "enforced");
	service_kill(h);
	systemd_loses_timer(h);
	service_start(h);
	WAIT_UNTIL(lines_with(systemd_log(h), "start ") == 2);
	service_kill(h);
	systemd_loses_timer(h);
	trial_is_over(h);
	service_start(h);
	WAIT_UNTIL(lines_with(systemd_log(h), "end ") == 1);
	wait_property(h, "pci", CARD, "Driver", "e1000e");
	settle(h);
	assert_as_before_trial(h);
	harness_free(h);
}
END_TEST
SUITE_MAIN("bus-trial-undo", 300, undo_between_plan_and_write_is_not_undone,
	   undo_that_fails_is_tried_until_it_succeeds, device_that_cannot_go_back_yet_is_tried_until_it_can,
	   another_change_ends_what_is_left_of_a_trial, device_with_a_dollar_in_its_name_goes_back,
	   units_outlive_an_isolate_and_start_without_a_limit, service_has_lost_timers_started_again)
