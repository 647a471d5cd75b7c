/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `driver-override event` when the kernel does not answer: it ends in time, and who is concerned is named. */
#include "base/macro.h"
#include "base/text.h"
#include "state/state-lock.h"
#include "tests/unit/fixtures/run-enforcer.h"
#include "tests/unit/fixtures/suite.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define VFIO "[device my gpu]\nName=0000:00:03.0\nDriver=vfio-pci\n"
/* Two seconds, and as much again as a busy machine takes: without the deadline it would never end. */
#define LIMIT_USEC 20000000U

static const char *const others[] = { "0000:00:03.1", "0000:00:03.2", "0000:00:03.3" };

/* Whichever of them is asked first: the two others have what was decided, and the one is known to be stuck.
 */
static void assert_only_that_member_is_stuck(size_t one, const char *file)
{
	const char *device, *devpaths[ELEMENTSOF(others)];
	struct mock *m = tree_new(&device, "[device gpu]\nName=0000:00:03.0\nDriver=none\nGroup=none\n");
	struct enforcer_result r = {};
	struct record record;

	for (size_t i = 0; i < ELEMENTSOF(others); i++) {
		devpaths[i] = mock_pci_add(m, others[i], NULL, 0x1b36, 0x0010, 0x010802);
		mock_group(m, 7, devpaths[i], NULL);
	}
	mock_group(m, 7, device, NULL);
	mock_attr_hangs(m, devpaths[one], file);
	if (streq(file, "class"))
		mock_attr_remove(m, devpaths[one], "modalias");
	/* On a machine that is very slow the time may be up before the member is known to be stuck. */
	for (int tries = 0; tries < 5; tries++) {
		r = enforcer_event(m, device);
		if (mock_record(m, devpaths[one], &record) && record.state == STATE_STUCK &&
		    streq(printed_property(m, &r, "DRIVER_OVERRIDE_STATE"), "enforced"))
			break;
	}
	ck_assert_int_eq(r.status, 0);
	ck_assert_uint_lt(r.usec, LIMIT_USEC);
	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE_STATE"), "enforced");
	ck_assert_str_eq(mock_override(m, device), "none");
	for (size_t i = 0; i < ELEMENTSOF(others); i++)
		if (i != one)
			ck_assert_str_eq(mock_override(m, devpaths[i]), "none");
	ck_assert(mock_record(m, devpaths[one], &record));
	ck_assert_int_eq(record.state, STATE_STUCK);
	ck_assert_ptr_nonnull(strstr(record.reason, file));
	ck_assert_ptr_nonnull(strstr(r.err, mock_printf(m, "%s of pci %s", file, others[one])));
	mock_free(m);
}

START_TEST(override_that_hangs)
{
	const char *device;
	struct mock *m = tree_new(&device, VFIO);
	struct enforcer_result r;

	mock_attr_hangs(m, device, "driver_override");
	r = enforcer_event(m, device);
	ck_assert_int_eq(r.status, 0);
	ck_assert_uint_lt(r.usec, LIMIT_USEC);
	/* What was decided is told all the same. */
	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE"), "vfio-pci");
	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE_RULE"), "my gpu");
	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE_STATE"), "pending");
	ck_assert_uint_eq(r.n_lines, 1);
	ck_assert_ptr_nonnull(strstr(r.err, "driver_override"));
	ck_assert_ptr_nonnull(strstr(r.err, "0000:00:03.0"));
	mock_free(m);
}
END_TEST

START_TEST(modalias_that_hangs)
{
	const char *device;
	struct mock *m = tree_new(&device, "[device x]\nId=1b36:0010\nDriver=vfio-pci\n");
	struct enforcer_result r;

	mock_attr_hangs(m, device, "modalias");
	r = enforcer_event(m, device);
	ck_assert_int_eq(r.status, 0);
	ck_assert_uint_lt(r.usec, LIMIT_USEC);
	ck_assert_str_eq(r.out, "DRIVER_OVERRIDE_STATE=pending\n");
	ck_assert_uint_eq(r.n_lines, 1);
	ck_assert_ptr_nonnull(strstr(r.err, "modalias"));
	ck_assert_int_eq(access(mock_printf(m, "%s/service-wanted", m->state), F_OK), 0);
	mock_free(m);
}
END_TEST

START_TEST(probe_that_hangs)
{
	const char *device;
	struct mock *m = tree_new(&device, VFIO);
	struct enforcer_result r;

	mock_driver_add(m, "pci", "vfio-pci");
	mock_attr_hangs(m, "/bus/pci", "drivers_probe");
	r = enforcer_event(m, device);
	ck_assert_int_eq(r.status, 0);
	ck_assert_uint_lt(r.usec, LIMIT_USEC);
	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE_STATE"), "pending");
	ck_assert_str_eq(mock_override(m, device), "vfio-pci");
	mock_free(m);
}
END_TEST

START_TEST(member_that_hangs_does_not_delay_the_device)
{
	const char *device;
	struct mock *m = tree_new(&device, "[device gpu]\nName=0000:00:03.0\nDriver=none\nGroup=none\n"
					   "[device x]\nId=dead:*\nDriver=x\n");
	const char *other = mock_pci_add(m, "0000:00:03.1", NULL, 0x1b36, 0x0010, 0x010802);
	struct enforcer_result r;

	mock_group(m, 7, device, other, NULL);
	mock_attr_hangs(m, other, "modalias");
	r = enforcer_event(m, device);
	ck_assert_int_eq(r.status, 0);
	ck_assert_uint_lt(r.usec, LIMIT_USEC);
	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE_STATE"), "enforced");
	ck_assert_str_eq(mock_override(m, device), "none");
	mock_free(m);
}
END_TEST

START_TEST(override_of_the_first_other_member_hangs)
{
	assert_only_that_member_is_stuck(0, "driver_override");
}
END_TEST

START_TEST(override_of_the_second_other_member_hangs)
{
	assert_only_that_member_is_stuck(1, "driver_override");
}
END_TEST

START_TEST(override_of_the_third_other_member_hangs)
{
	assert_only_that_member_is_stuck(2, "driver_override");
}
END_TEST

START_TEST(class_of_the_first_other_member_hangs)
{
	assert_only_that_member_is_stuck(0, "class");
}
END_TEST

START_TEST(class_of_the_second_other_member_hangs)
{
	assert_only_that_member_is_stuck(1, "class");
}
END_TEST

START_TEST(class_of_the_third_other_member_hangs)
{
	assert_only_that_member_is_stuck(2, "class");
}
END_TEST

/* The device is such a companion itself, and a third member does not tell what it is. */
START_TEST(member_that_hangs_does_not_keep_the_group_from_deciding)
{
	const char *device;
	struct mock *m = tree_new(&device, "[device x]\nId=dead:*\nDriver=x\n"
					   "[device gpu]\nName=0000:00:03.1\nDriver=none\nGroup=none\n");
	const char *gpu = mock_pci_add(m, "0000:00:03.1", NULL, 0x1b36, 0x0010, 0x010802);
	const char *slow = mock_pci_add(m, "0000:00:03.2", NULL, 0x1b36, 0x0010, 0x010802);
	struct enforcer_result r;

	mock_group(m, 7, device, gpu, slow, NULL);
	mock_attr_hangs(m, slow, "modalias");
	r = enforcer_event(m, device);
	ck_assert_int_eq(r.status, 0);
	ck_assert_uint_lt(r.usec, LIMIT_USEC);
	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE"), "none");
	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE_STATE"), "held");
	ck_assert_str_eq(mock_override(m, device), "none");
	mock_free(m);
}
END_TEST

START_TEST(device_that_hangs_does_not_delay_its_group)
{
	const char *device;
	struct mock *m = tree_new(&device, "[device gpu]\nName=0000:00:03.0\nDriver=none\nGroup=none\n");
	const char *other = mock_pci_add(m, "0000:00:03.1", NULL, 0x1b36, 0x0010, 0x010802);
	struct enforcer_result r;

	mock_group(m, 7, device, other, NULL);
	mock_attr_hangs(m, device, "driver_override");
	r = enforcer_event(m, device);
	ck_assert_str_eq(printed_property(m, &r, "DRIVER_OVERRIDE_STATE"), "pending");
	ck_assert_ptr_nonnull(strstr(r.err, "driver_override of pci 0000:00:03.0"));
	ck_assert_str_eq(mock_override(m, other), "none");
	mock_free(m);
}
END_TEST

/* A member that is slow and comes back in time is overtaken, too, but it is not stuck. */
START_TEST(member_that_is_slow_is_not_stuck)
{
	const char *device;
	struct mock *m = tree_new(&device, "[device gpu]\nName=0000:00:03.0\nDriver=none\nGroup=none\n");
	const char *slow = mock_pci_add(m, "0000:00:03.1", NULL, 0x1b36, 0x0010, 0x010802);
	const char *last = mock_pci_add(m, "0000:00:03.2", NULL, 0x1b36, 0x0010, 0x010802);
	struct record record;
	pid_t pid;

	mock_group(m, 7, device, slow, last, NULL);
	mock_attr_hangs(m, slow, "driver_override");
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		/* The last member has its override: another child has gone past the slow one. */
		while (!streq(mock_override(m, last), "none"))
			(void)usleep(1000);
		mock_attr_comes_back(m, slow, "driver_override", "(null)\n");
		_exit(0);
	}
	ck_assert_int_eq(enforcer_event(m, device).status, 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert(mock_record(m, slow, &record));
	ck_assert_int_ne(record.state, STATE_STUCK);
	mock_free(m);
}
END_TEST

/* It has no rule of its own, and whether it is a bridge is not known, so nothing can be decided about it. */
START_TEST(device_that_hangs_is_pending_where_the_group_decides)
{
	const char *device;
	struct mock *m = tree_new(&device, "[device gpu]\nName=0000:00:03.1\nDriver=none\nGroup=none\n");
	const char *gpu = mock_pci_add(m, "0000:00:03.1", NULL, 0x1b36, 0x0010, 0x010802);
	struct enforcer_result r;

	mock_group(m, 7, device, gpu, NULL);
	mock_attr_remove(m, device, "modalias");
	mock_attr_hangs(m, device, "class");
	r = enforcer_event(m, device);
	ck_assert_int_eq(r.status, 0);
	ck_assert_uint_lt(r.usec, LIMIT_USEC);
	ck_assert_str_eq(r.out, "DRIVER_OVERRIDE_STATE=pending\n");
	mock_free(m);
}
END_TEST

/* As by a guard that was stopped while it wrote: who goes on without the lock does so in time. */
static bool event_is_in_time_without_the_lock(void)
{
	const char *device;
	struct mock *m = tree_new(&device, VFIO);
	int lock = record_lock_acquire(m->state, "pci", "0000:00:03.0");
	struct enforcer_result r;
	bool in_time;

	ck_assert_int_ge(lock, 0);
	r = enforcer_event(m, device);
	ck_assert_int_eq(r.status, 0);
	ck_assert_str_eq(mock_override(m, device), "vfio-pci");
	ck_assert_msg(strstr(r.err, "was held too long") != NULL, "%s", r.err);
	in_time = !strstr(r.err, "timed out");
	(void)close(lock);
	mock_free(m);
	return in_time;
}

START_TEST(record_that_another_program_holds_does_not_cost_the_event_its_time)
{
	bool in_time = false;

	/* On a machine that is very slow the time may be up all the same. */
	for (int tries = 0; tries < 5 && !in_time; tries++)
		in_time = event_is_in_time_without_the_lock();
	ck_assert(in_time);
}
END_TEST

SUITE_MAIN_AT_ONCE("event-deadline", 60, record_that_another_program_holds_does_not_cost_the_event_its_time,
		   device_that_hangs_is_pending_where_the_group_decides, override_that_hangs,
		   modalias_that_hangs, probe_that_hangs, member_that_hangs_does_not_delay_the_device,
		   override_of_the_first_other_member_hangs, override_of_the_second_other_member_hangs,
		   override_of_the_third_other_member_hangs, class_of_the_first_other_member_hangs,
		   class_of_the_second_other_member_hangs, class_of_the_third_other_member_hangs,
		   member_that_hangs_does_not_keep_the_group_from_deciding,
		   device_that_hangs_does_not_delay_its_group, member_that_is_slow_is_not_stuck)
