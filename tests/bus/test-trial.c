/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SetOverride with the option try, and Confirm: a change goes back by itself unless it is confirmed. */
#include "base/text.h"
#include "tests/bus/harness.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CARD_PATH PATH_OF(CARD)
#define CARD_FILE "10-set-pci-" CARD ".conf"
#define RUN_FILE "05-run-pci-" CARD ".conf"
#define SECOND UINT64_C(1000000)
/* So long that no test sees its end. */
#define LONG (3600U * SECOND)

static struct harness *begin(void)
{
	struct harness *h = harness_new();

	three_devices(h);
	systemd_start(h);
	service_start(h);
	return h;
}

static const char *try_on(struct harness *h, sd_bus *bus, const char *driver, uint64_t usec)
{
	return outcome(h, call_on(h, bus, ROOT_PATH, MANAGER, "SetOverride", "sssa{sv}", "pci", CARD, driver,
				  1, "try", "t", usec));
}

static const char *try_driver(struct harness *h, const char *driver, uint64_t usec)
{
	return try_on(h, h->bus, driver, usec);
}

static const char *confirm_on(struct harness *h, sd_bus *bus)
{
	return outcome(h, call_on(h, bus, ROOT_PATH, MANAGER, "Confirm", "ssa{sv}", "pci", CARD, 0));
}

static unsigned trials(struct harness *h, uint64_t *ret_usec)
{
	sd_bus_message *m = call(h, "ListTrials", NULL);
	const char *bus, *name, *driver;
	unsigned n = 0;
	uint64_t usec;

	ck_assert_ptr_nonnull(m);
	ck_assert_int_gt(sd_bus_message_enter_container(m, 'a', "(ssst)"), 0);
	for (; sd_bus_message_read(m, "(ssst)", &bus, &name, &driver, &usec) > 0; n++)
		if (ret_usec)
			*ret_usec = usec;
	(void)sd_bus_message_unref(m);
	return n;
}

static unsigned lines_with(const char *text, const char *start)
{
	unsigned n = 0;

	for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
		n += startswith(line, start) != NULL;
	return n;
}

static void assert_as_before(struct harness *h)
{
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 0);
	ck_assert_uint_eq(policy_files(h, MOCK_RUN), 0);
	ck_assert_str_eq(mock_override(h->m, CARD_PATH), "(null)\n");
	ck_assert_uint_eq(trials(h, NULL), 0);
}

START_TEST(change_goes_back_by_itself)
{
	struct harness *h = begin();

	ck_assert_str_eq(try_driver(h, "vfio-pci", 2 * SECOND), "enforced");
	ck_assert_ptr_nonnull(policy_text(h, MOCK_RUN, RUN_FILE));
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 0);
	WAIT_UNTIL(lines_with(systemd_log(h), "run ") == 1);
	wait_property(h, "pci", CARD, "Driver", "e1000e");
	wait_property(h, "pci", CARD, "State", "unmanaged");
	settle(h);
	assert_as_before(h);
	harness_free(h);
}
END_TEST

/* systemd has the timer before anything is written: what is written may be the end of us. */
START_TEST(nothing_is_changed_without_a_timer)
{
	struct harness *h = begin();

	systemd_refuses(h, true);
	ck_assert_str_eq(try_driver(h, "vfio-pci", LONG), "!Failed");
	ck_assert_ptr_nonnull(
		strstr(h->error.message, "systemd gives no timer to go back by, so nothing was changed"));
	ck_assert_uint_eq(calls(h, "pci/" CARD), calls(h, "dry-run"));
	assert_as_before(h);
	harness_free(h);
}
END_TEST

START_TEST(confirmed_change_lasts)
{
	struct harness *h = begin();

	ck_assert_str_eq(confirm_on(h, h->bus), "!Invalid");
	ck_assert_str_eq(h->error.message, "no change of pci " CARD " is on trial");
	ck_assert_str_eq(outcome(h, call(h, "SetOverride", "sssa{sv}", "pci", CARD, "vfio-pci", 4, "try", "t",
					 LONG, "by", "s", "path", "group", "s", "leave", "module", "s", "m")),
			 "enforced");
	ck_assert_uint_eq(trials(h, NULL), 1);
	ck_assert_str_eq(confirm_on(h, h->bus), "enforced");
	ck_assert_uint_eq(policy_files(h, MOCK_RUN), 0);
	ck_assert_ptr_nonnull(strstr(
		policy_text(h, MOCK_ETC, "10-set-pci-path-pci0000:00\\x2f03.0.conf"),
		"\nPath=pci0000:00/03.0\nId=8086:10d3:1af4:1100\nDriver=vfio-pci\nGroup=leave\nModule=m\n"));
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "vfio-pci");
	WAIT_UNTIL(lines_with(systemd_log(h), "stop ") == 1);
	ck_assert_uint_eq(trials(h, NULL), 0);
	ck_assert_str_eq(confirm_on(h, h->bus), "!Invalid");
	harness_free(h);
}
END_TEST

/* What there was before is in the folder of the state, not in the service. */
START_TEST(neither_the_service_nor_its_end_is_in_the_way)
{
	struct harness *h = begin();

	ck_assert_str_eq(try_driver(h, "none", 3 * SECOND), "enforced");
	service_kill(h);
	WAIT_UNTIL(lines_with(systemd_log(h), "run ") == 1);
	WAIT_UNTIL(streq(mock_override(h->m, CARD_PATH), "(null)\n"));
	ck_assert_uint_eq(policy_files(h, MOCK_RUN), 0);
	service_start(h);
	wait_property(h, "pci", CARD, "Driver", "e1000e");
	assert_as_before(h);

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
	struct harness *h = begin();
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
	struct harness *h = begin();
	uint64_t usec;

	ck_assert_str_eq(try_driver(h, "none", LONG), "enforced");
	ck_assert_str_eq(try_driver(h, "vfio-pci", 2 * LONG), "enforced");
	ck_assert_uint_eq(trials(h, &usec), 1);
	ck_assert(usec > LONG && usec <= 2 * LONG);
	WAIT_UNTIL(lines_with(systemd_log(h), "stop ") == 1);
	/* The same once more changes nothing but the time. */
	ck_assert_str_eq(try_driver(h, "vfio-pci", 2 * SECOND), "enforced");
	WAIT_UNTIL(lines_with(systemd_log(h), "run ") == 1);
	wait_property(h, "pci", CARD, "Driver", "e1000e");
	settle(h);
	assert_as_before(h);
	harness_free(h);
}
END_TEST

START_TEST(try_that_fails_leaves_the_one_before)
{
	struct harness *h = begin();
	uint64_t usec;

	ck_assert_str_eq(try_driver(h, "none", LONG), "enforced");
	faults(h, "pci/" CARD " Failed it did not bind\n");
	ck_assert_str_eq(try_driver(h, "vfio-pci", 2 * LONG), "!Failed");
	faults(h, "");
	ck_assert_uint_eq(trials(h, &usec), 1);
	ck_assert(usec <= LONG);
	WAIT_UNTIL(lines_with(systemd_log(h), "stop ") == 1);
	ck_assert_ptr_nonnull(strstr(policy_text(h, MOCK_RUN, RUN_FILE), "Driver=none"));
	harness_free(h);
}
END_TEST

/* The timer goes off while the trial is not there: what is to end it waits for its device. */
START_TEST(another_change_that_fails_leaves_the_trial_with_a_timer)
{
	struct harness *h = begin();

	ck_assert_str_eq(try_driver(h, "vfio-pci", LONG), "enforced");
	faults(h, "pci/" CARD " wait\npci/" CARD " Failed it did not bind\n");
	send_call(h->bus, "SetOverride", "sssa{sv}", "pci", CARD, "none", 0);
	WAIT_UNTIL(policy_files(h, MOCK_ETC) == 1 && trials(h, NULL) == 0);
	systemd_hurries(h, true);
	WAIT_UNTIL(lines_with(systemd_log(h), "end ") == 1);
	systemd_hurries(h, false);
	faults(h, "pci/" CARD " Failed it did not bind\n");
	WAIT_UNTIL(trials(h, NULL) == 1);
	WAIT_UNTIL(lines_with(systemd_log(h), "start ") == 2);
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 0);
	faults(h, "");
	systemd_hurries(h, true);
	WAIT_UNTIL(lines_with(systemd_log(h), "end ") == 2);
	wait_property(h, "pci", CARD, "Driver", "e1000e");
	settle(h);
	assert_as_before(h);
	harness_free(h);
}
END_TEST

/* Its plan is of when the trial was there; what is restored is what the undo has left. */
START_TEST(undo_between_plan_and_write_is_not_undone)
{
	struct harness *h = begin();
	unsigned n;

	ck_assert_str_eq(try_driver(h, "vfio-pci", LONG), "enforced");
	n = calls(h, "dry-run");
	faults(h, "pci/" CARD " dry-slow\n");
	send_call(h->bus, "SetOverride", "sssa{sv}", "pci", CARD, "none", 1, "runtime", "b", 1);
	WAIT_UNTIL(calls(h, "dry-run") == n + 1);
	systemd_hurries(h, true);
	WAIT_UNTIL(trials(h, NULL) == 0);
	/* All of it: what it moves back is not to fail. */
	WAIT_UNTIL(lines_with(systemd_log(h), "end ") == 1);
	faults(h, "pci/" CARD " Failed it did not bind\n");
	/* It was planned, tried and refused once more. */
	WAIT_UNTIL(calls(h, "dry-run") == n + 2);
	settle(h);
	faults(h, "");
	ck_assert_uint_eq(policy_files(h, MOCK_RUN), 0);
	ck_assert_uint_eq(trials(h, NULL), 0);
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
	struct harness *h = begin();
	const char *folder = mock_printf(h->m, "%s/folder", h->m->conf[MOCK_RUN]);

	ck_assert_str_eq(try_driver(h, "vfio-pci", LONG), "enforced");
	ck_assert_int_eq(mkdir(folder, 0755), 0);
	swap_files(h, RUN_FILE, "folder");
	systemd_hurries(h, true);
	WAIT_UNTIL(lines_with(systemd_log(h), "end ") >= 2);
	ck_assert_uint_eq(trials(h, NULL), 1);
	swap_files(h, RUN_FILE, "folder");
	ck_assert_int_eq(rmdir(folder), 0);
	WAIT_UNTIL(trials(h, NULL) == 0);
	wait_property(h, "pci", CARD, "Driver", "e1000e");
	settle(h);
	assert_as_before(h);
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
	struct harness *h = begin();

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
	struct harness *h = begin();

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
	assert_as_before(h);
	harness_free(h);
}
END_TEST

START_TEST(first_try_that_fails_is_none)
{
	struct harness *h = begin();

	faults(h, "pci/" CARD " Failed it did not bind\n");
	ck_assert_str_eq(try_driver(h, "vfio-pci", LONG), "!Failed");
	faults(h, "");
	WAIT_UNTIL(lines_with(systemd_log(h), "stop ") == 1);
	settle(h);
	assert_as_before(h);
	/* Nor is what is as asked already. */
	ck_assert_str_eq(set_with(h, "pci", CARD, "none", "runtime", "b", 1, NULL), "enforced");
	ck_assert_str_eq(try_driver(h, "none", LONG), "enforced");
	ck_assert_uint_eq(trials(h, NULL), 0);
	ck_assert_uint_eq(lines_with(systemd_log(h), "start "), 1);
	harness_free(h);
}
END_TEST

START_TEST(another_change_ends_the_trial)
{
	struct harness *h = begin();

	ck_assert_str_eq(try_driver(h, "none", LONG), "enforced");
	ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "enforced");
	ck_assert_uint_eq(trials(h, NULL), 0);
	WAIT_UNTIL(lines_with(systemd_log(h), "stop ") == 1);
	ck_assert_str_eq(try_driver(h, "none", LONG), "enforced");
	ck_assert_str_eq(clear_with(h, "pci", CARD, "runtime", "b", 1, NULL), "enforced");
	ck_assert_uint_eq(trials(h, NULL), 0);
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "vfio-pci");
	/* One of another place does not. */
	ck_assert_str_eq(try_driver(h, "none", LONG), "enforced");
	ck_assert_str_eq(clear(h, "pci", CARD), "enforced");
	ck_assert_uint_eq(trials(h, NULL), 1);
	harness_free(h);
}
END_TEST

/* By hand, since the service is not told of it. */
START_TEST(file_that_was_changed_since_stays)
{
	struct harness *h = begin();
	const char *text = "[device x]\nName=" CARD "\nDriver=vfio-pci\n";

	ck_assert_str_eq(try_driver(h, "none", 2 * SECOND), "enforced");
	mock_policy(h->m, MOCK_RUN, RUN_FILE, text);
	WAIT_UNTIL(lines_with(systemd_log(h), "run ") == 1);
	wait_property(h, "pci", CARD, "Driver", "vfio-pci");
	WAIT_UNTIL(trials(h, NULL) == 0);
	ck_assert_str_eq(policy_text(h, MOCK_RUN, RUN_FILE), text);
	harness_free(h);
}
END_TEST

/* A change that took force goes back by force: the host may use the device by now. */
START_TEST(what_was_forced_goes_back_by_force)
{
	struct harness *h = begin();

	faults(h, "pci/" CARD " InUse eth0 has an address\n");
	ck_assert_str_eq(try_driver(h, "none", LONG), "!InUse");
	ck_assert_uint_eq(trials(h, NULL), 0);
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
	struct harness *h = begin();
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
	ck_assert_uint_eq(trials(h, NULL), 1);
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
	struct harness *h = begin();

	ck_assert_str_eq(try_driver(h, "none", 0), "!Invalid");
	ck_assert_str_eq(try_driver(h, "none", SECOND - 1), "!Invalid");
	ck_assert_str_eq(try_driver(h, "none", 25 * LONG), "!Invalid");
	ck_assert_str_eq(set_with(h, "pci", CARD, "none", "try", "s", "90s", NULL), "!Invalid");
	ck_assert_str_eq(outcome(h, call(h, "SetOverride", "sssa{sv}", "pci", CARD, "none", 2, "try", "t",
					 LONG, "dry-run", "b", 1)),
			 "enforced");
	ck_assert_uint_eq(lines_with(systemd_log(h), ""), 0);
	assert_as_before(h);
	harness_free(h);
}
END_TEST

SUITE_MAIN("bus-trial", 300, change_goes_back_by_itself, nothing_is_changed_without_a_timer,
	   confirmed_change_lasts, neither_the_service_nor_its_end_is_in_the_way,
	   what_was_in_the_file_of_this_boot_comes_back,
	   second_try_has_its_own_time_and_the_first_one_s_way_back, try_that_fails_leaves_the_one_before,
	   another_change_that_fails_leaves_the_trial_with_a_timer, undo_between_plan_and_write_is_not_undone,
	   undo_that_fails_is_tried_until_it_succeeds, units_outlive_an_isolate_and_start_without_a_limit,
	   service_has_lost_timers_started_again, first_try_that_fails_is_none, another_change_ends_the_trial,
	   file_that_was_changed_since_stays, what_was_forced_goes_back_by_force,
	   users_may_try_what_they_may_set, invalid_times_and_dry_runs_change_nothing)
