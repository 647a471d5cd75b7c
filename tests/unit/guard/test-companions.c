/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a worker does with the other members of the IOMMU group of a device that was added. */
#include "base/macro.h"
#include "base/text.h"
#include "state/boot-devices.h"
#include "state/intent.h"
#include "tests/unit/fixtures/suite.h"
#include "tests/unit/fixtures/worker-fixture.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

START_TEST(companion_is_given_what_its_group_says)
{
	const char *member, *bridge;
	struct worker_fixture t;

	worker_fixture_new(&t, "[device card]\nName=0000:00:03.1\nDriver=vfio-pci\nGroup=none\n");
	member = device_add(&t, "0000:00:03.1", 0x10d3, 0x020000);
	bridge = device_add(&t, "0000:00:02.0", 0x1901, 0x060400);
	mock_group(t.m, 1, t.device, member, bridge, NULL);
	ck_assert_str_eq(worker_hears_of(&t, t.device, card_alias, 7), "none");
	ck_assert_str_eq(
		worker_hears_of(&t, bridge, "pci:v00008086d00001901sv00001AF4sd00001100bc06sc04i00", 7), "");
	worker_fixture_done(&t);
}
END_TEST

/* What the worker knows of the boot it has been told before the event: it reads no file for that. */
START_TEST(companion_is_held_only_after_the_boot)
{
	static const char rule[] = "[device card]\nName=0000:00:03.1\nDriver=vfio-pci\nGroup=hold\n";

	for (int after = 0; after < 2; after++) {
		const char *member;
		struct worker_fixture t;

		worker_fixture_new(&t, rule);
		member = device_add(&t, "0000:00:03.1", 0x10d3, 0x020000);
		mock_group(t.m, 1, t.device, member, NULL);
		ck_assert_int_eq(boot_devices_write(t.m->state, NULL, 0, after), 1);
		guard_set_policy(&t.g, policy_snapshot_load(&t.m->settings));
		make_file(mock_printf(t.m, "%s/present", t.m->state), "", 0);
		ck_assert_str_eq(worker_hears_of(&t, t.device, card_alias, 7), after ? "none" : "");
		worker_fixture_done(&t);
	}
}
END_TEST

/* It came first, and is held until the member whose rule decides about it is decided about. */
START_TEST(companion_that_is_here_is_decided_with_the_member)
{
	static const char *const groups[] = { "none", "leave" };

	for (size_t i = 0; i < ELEMENTSOF(groups); i++) {
		const char *member;
		struct worker_fixture t;

		worker_fixture_new(
			&t, i == 0 ? "[device card]\nName=0000:00:03.1\nDriver=vfio-pci\nGroup=none\n"
				   : "[device card]\nName=0000:00:03.1\nDriver=vfio-pci\nGroup=leave\n"
				     "[device other]\nName=0000:00:04.0\nDriver=vfio-pci\nGroup=none\n");
		member = device_add(&t, "0000:00:03.1", 0x10d3, 0x020000);
		mock_group(t.m, 1, t.device, member, NULL);
		ck_assert_str_eq(worker_hears_of(&t, member, card_alias, 7), "vfio-pci");
		ck_assert_str_eq(mock_override(t.m, t.device), streq(groups[i], "none") ? "none" : "");
		worker_fixture_done(&t);
	}
}
END_TEST

/* Nothing was written, and nothing is being written. */
START_TEST(companion_that_cannot_be_read_is_not_claimed)
{
	struct record record;
	const char *member;
	struct worker_fixture t;

	worker_fixture_new(&t, "[device card]\nName=0000:00:03.1\nDriver=vfio-pci\nGroup=none\n");
	member = device_add(&t, "0000:00:03.1", 0x10d3, 0x020000);
	mock_group(t.m, 1, t.device, member, NULL);
	mock_attr_link(t.m, t.device, "driver_override", "/proc/self/mem"); /* EIO at its beginning */
	ck_assert_str_eq(worker_hears_of(&t, member, card_alias, 7), "vfio-pci");
	ck_assert(!mock_record(t.m, t.device, &record));
	ck_assert(!intent_is_pending(t.m->settings.state_dir, "pci", CARD, "none"));
	worker_fixture_done(&t);
}
END_TEST

/* A driver is just leaving the companion, so that it looks driverless, and its files hang. */
START_TEST(companion_that_hangs_does_not_delay_the_device)
{
	static struct worker_fixture t; /* its threads end with this process */
	const char *member;
	uint64_t ticket;

	worker_fixture_new(&t, "[device card]\nName=0000:00:03.1\nDriver=vfio-pci\nGroup=none\n");
	member = device_add(&t, "0000:00:03.1", 0x10d3, 0x020000);
	mock_group(t.m, 1, t.device, member, NULL);
	mock_attr_hangs(t.m, member, "driver_override");
	ticket = fake_hold_issue(t.g.hold, "pci", CARD);
	ck_assert_int_eq(workers_start(&t.g), 0);
	kernel_adds(&t, t.device, card_alias, 7);
	while (fake_hold_mark(t.g.hold, ticket) != HOLD_DECIDED)
		(void)usleep(10000);
	ck_assert_str_eq(mock_override(t.m, t.device), "none");
}
END_TEST

/* Its first probe is still to come, and its override stands before that. */
START_TEST(companion_that_is_held_is_released_once_its_override_stands)
{
	const char *member;
	uint64_t tickets[2];
	struct worker_fixture t;

	worker_fixture_new(&t, "[device card]\nName=0000:00:03.1\nDriver=vfio-pci\nGroup=none\n");
	member = device_add(&t, "0000:00:03.1", 0x10d3, 0x020000);
	mock_group(t.m, 1, t.device, member, NULL);
	tickets[0] = fake_hold_issue(t.g.hold, "pci", CARD);
	tickets[1] = fake_hold_issue(t.g.hold, "pci", "0000:00:03.1");
	ck_assert_str_eq(worker_hears_of(&t, member, card_alias, 7), "vfio-pci");
	ck_assert_str_eq(mock_override(t.m, t.device), "none");
	for (size_t i = 0; i < ELEMENTSOF(tickets); i++)
		ck_assert_int_eq(fake_hold_mark(t.g.hold, tickets[i]), HOLD_DECIDED);
	worker_fixture_done(&t);
}
END_TEST

static void companion_is_about_to_be_replaced(struct worker_fixture *t)
{
	(void)t;
	on_write = device_is_replaced; /* the next write is the companion's */
}

START_TEST(a_successor_of_a_companion_is_not_released_by_the_decision_about_it)
{
	const char *member;
	struct worker_fixture t;

	worker_fixture_new(&t, "[device card]\nName=0000:00:03.1\nDriver=vfio-pci\nGroup=none\n");
	member = device_add(&t, "0000:00:03.1", 0x10d3, 0x020000);
	mock_group(t.m, 1, t.device, member, NULL);
	(void)fake_hold_issue(t.g.hold, "pci", CARD);
	(void)fake_hold_issue(t.g.hold, "pci", "0000:00:03.1");
	on_write = companion_is_about_to_be_replaced;
	(void)worker_hears_of(&t, member, card_alias, 7);
	ck_assert_uint_ne(t.successor, 0);
	ck_assert_int_eq(fake_hold_mark(t.g.hold, t.successor), HOLD_WAITS);
	worker_fixture_done(&t);
}
END_TEST

/* The kernel has set another override, so the companion's own event must decide. */
START_TEST(companion_whose_override_does_not_stand_is_not_released)
{
	const char *member;
	uint64_t tickets[2];
	struct worker_fixture t;

	worker_fixture_new(&t, "[device card]\nName=0000:00:03.1\nDriver=vfio-pci\nGroup=none\n");
	member = device_add(&t, "0000:00:03.1", 0x10d3, 0x020000);
	mock_group(t.m, 1, t.device, member, NULL);
	mock_attr(t.m, t.device, "driver_override", "e1000e\n");
	tickets[0] = fake_hold_issue(t.g.hold, "pci", CARD);
	tickets[1] = fake_hold_issue(t.g.hold, "pci", "0000:00:03.1");
	ck_assert_str_eq(worker_hears_of(&t, member, card_alias, 7), "vfio-pci");
	ck_assert_str_eq(mock_override(t.m, t.device), "e1000e\n");
	ck_assert_int_eq(fake_hold_mark(t.g.hold, tickets[0]), HOLD_WAITS);
	ck_assert_int_eq(fake_hold_mark(t.g.hold, tickets[1]), HOLD_DECIDED);
	worker_fixture_done(&t);
}
END_TEST

/* No member of its group is held, so nothing that is asked of the group may delay the device. */
START_TEST(device_is_released_before_its_group_is_looked_at)
{
	static struct worker_fixture t; /* its threads end with this process */
	const char *companion;
	uint64_t ticket;

	worker_fixture_new(&t, "[device card]\nId=8086:10d3\nDriver=vfio-pci\nGroup=none\n"
			       "[device other]\nModalias=pci:v00001234*\nDriver=none\n");
	companion = device_add(&t, "0000:00:04.0", 0x10d4, 0x020000);
	mock_group(t.m, 1, t.device, companion, NULL);
	mock_attr_hangs(t.m, companion, "modalias");
	ticket = fake_hold_issue(t.g.hold, "pci", CARD);
	ck_assert_int_eq(workers_start(&t.g), 0);
	kernel_adds(&t, t.device, card_alias, 7);
	while (fake_hold_mark(t.g.hold, ticket) != HOLD_DECIDED)
		(void)usleep(10000);
	ck_assert_str_eq(mock_override(t.m, t.device), "vfio-pci");
}
END_TEST

START_TEST(a_standby_thread_leaves_companions_that_are_not_held_alone)
{
	const char *companion;
	struct worker_fixture t;

	worker_fixture_new(&t, "[device card]\nId=8086:10d3\nDriver=vfio-pci\nGroup=none\n");
	companion = device_add(&t, "0000:00:04.0", 0x10d4, 0x020000);
	mock_group(t.m, 1, t.device, companion, NULL);
	t.w->is_standby = true;
	ck_assert_str_eq(worker_hears_of(&t, t.device, card_alias, 7), "vfio-pci");
	ck_assert_str_eq(mock_override(t.m, companion), "");
	worker_fixture_done(&t);
}
END_TEST

START_TEST(companion_with_a_driver_is_left_to_the_enforcer)
{
	const char *companion;
	struct worker_fixture t;

	worker_fixture_new(&t, "[device card]\nId=8086:10d3\nDriver=vfio-pci\nGroup=none\n");
	companion = device_add(&t, "0000:00:04.0", 0x10d4, 0x020000);
	mock_group(t.m, 1, t.device, companion, NULL);
	mock_driver_add(t.m, "pci", "e1000e");
	mock_bind(t.m, companion, "e1000e");
	(void)worker_hears_of(&t, t.device, card_alias, 7);
	ck_assert_str_eq(mock_override(t.m, companion), "");
	worker_fixture_done(&t);
}
END_TEST

/* One that is not held may have been probed long ago. */
START_TEST(first_probe_of_a_companion_is_told_when_it_was_held)
{
	for (size_t held = 0; held < 2; held++) {
		const char *member;
		struct worker_fixture t;

		worker_fixture_new(&t, "[device card]\nName=0000:00:03.1\nDriver=vfio-pci\nGroup=none\n");
		member = device_add(&t, "0000:00:03.1", 0x10d3, 0x020000);
		mock_group(t.m, 1, t.device, member, NULL);
		if (held)
			ck_assert_uint_eq(fake_hold_issue(t.g.hold, "pci", CARD), 1);
		ck_assert_str_eq(worker_hears_of(&t, member, card_alias, 7), "vfio-pci");
		if (held)
			fake_hold_end(t.g.hold, 1);
		check_first_probe(&t, held ? "guaranteed" : "");
		worker_fixture_done(&t);
	}
}
END_TEST

SUITE_MAIN("companions", 30, companion_is_given_what_its_group_says, companion_is_held_only_after_the_boot,
	   companion_that_is_here_is_decided_with_the_member, companion_that_cannot_be_read_is_not_claimed,
	   companion_that_hangs_does_not_delay_the_device,
	   companion_that_is_held_is_released_once_its_override_stands,
	   a_successor_of_a_companion_is_not_released_by_the_decision_about_it,
	   companion_whose_override_does_not_stand_is_not_released,
	   device_is_released_before_its_group_is_looked_at,
	   a_standby_thread_leaves_companions_that_are_not_held_alone,
	   companion_with_a_driver_is_left_to_the_enforcer,
	   first_probe_of_a_companion_is_told_when_it_was_held)
