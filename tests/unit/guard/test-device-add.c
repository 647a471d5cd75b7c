/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a worker does with a device that was added: its override, its release, its first probe. */
#include "base/macro.h"
#include "base/text.h"
#include "state/intent.h"
#include "tests/unit/fixtures/suite.h"
#include "tests/unit/fixtures/worker-fixture.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

START_TEST(override_is_written_and_recorded)
{
	struct record record;
	struct worker_fixture t;

	worker_fixture_new(&t, POLICY_BY_ID);
	ck_assert_str_eq(worker_hears_of(&t, t.device, card_alias, 7), "pci-stub");
	ck_assert(mock_record(t.m, t.device, &record));
	ck_assert_str_eq(record.owned_override, "pci-stub");
	ck_assert_str_eq(record.rule, "card");
	ck_assert(!intent_is_pending(t.m->settings.state_dir, "pci", CARD, "pci-stub"));
	worker_fixture_done(&t);
}
END_TEST

START_TEST(device_without_a_rule_is_not_touched)
{
	struct worker_fixture t;

	worker_fixture_new(&t, "[device other]\nName=0000:00:04.0\nDriver=vfio-pci\n");
	ck_assert_str_eq(worker_hears_of(&t, t.device, card_alias, 7), "");
	worker_fixture_done(&t);
}
END_TEST

START_TEST(override_of_the_kernel_stays)
{
	struct record record;
	struct worker_fixture t;

	worker_fixture_new(&t, POLICY_BY_ID);
	mock_attr(t.m, t.device, "driver_override", "vfio-pci\n");
	ck_assert_str_eq(worker_hears_of(&t, t.device, card_alias, 7), "vfio-pci\n");
	/* It is known as not ours. */
	ck_assert(mock_record(t.m, t.device, &record));
	ck_assert_int_eq(record.state, STATE_FOREIGN);
	worker_fixture_done(&t);
}
END_TEST

/* It is held like any other until its bus is known to have no overrides, but not to the limit. */
START_TEST(device_without_an_override_file_is_released)
{
	const char *devpath;
	uint64_t ticket;
	struct worker_fixture t;

	worker_fixture_new(&t, "[device all]\nName=*\nDriver=none\n");
	devpath = mock_pci_add(t.m, "0000:00:04.0", NULL, 0x8086, 0x10d3, 0x020000);
	ck_assert_int_eq(unlink(mock_path(t.m, devpath, "driver_override")), 0);
	ticket = fake_hold_issue(t.g.hold, "pci", "0000:00:04.0");
	kernel_adds(&t, devpath, card_alias, 6);
	ck_assert_int_eq(worker_process_event(t.w), 0);
	ck_assert_int_eq(fake_hold_mark(t.g.hold, ticket), HOLD_DECIDED);
	/* Others of this bus have the file. */
	ck_assert(!atomic_load(&t.g.buses_changed));
	ck_assert_int_eq(unlink(mock_path(t.m, t.device, "driver_override")), 0);
	kernel_adds(&t, devpath, card_alias, 6);
	ck_assert_int_eq(worker_process_event(t.w), 0);
	ck_assert(atomic_load(&t.g.buses_changed));
	worker_fixture_done(&t);
}
END_TEST

/* The message is about a device that has gone; the next one with its name has a ticket, but not all its files
 * yet. */
START_TEST(device_that_is_incomplete_waits_for_its_own_message)
{
	uint64_t ticket;
	struct worker_fixture t;

	worker_fixture_new(&t, "[device other]\nName=0000:00:04.0\nDriver=vfio-pci\n");
	ticket = fake_hold_issue(t.g.hold, "pci", CARD);
	ck_assert_int_eq(unlink(mock_path(t.m, t.device, "subsystem")), 0);
	(void)worker_hears_of(&t, t.device, card_alias, 6);
	ck_assert_int_eq(fake_hold_mark(t.g.hold, ticket), HOLD_WAITS);
	(void)worker_hears_of(&t, t.device, card_alias, 7);
	ck_assert_int_eq(fake_hold_mark(t.g.hold, ticket), HOLD_DECIDED);
	worker_fixture_done(&t);
}
END_TEST

static void other_thread_writes(struct worker_fixture *t)
{
	mock_attr(t->m, t->device, "driver_override", "pci-stub");
}

/* A standby thread is handling the same device. */
START_TEST(a_worker_waits_for_another_thread_that_handles_the_same_device)
{
	struct worker_fixture t;
	struct intent *other;
	struct record record;

	worker_fixture_new(&t, POLICY_BY_ID);
	other = intent_begin(t.g.intents, "pci", CARD, "pci-stub");
	on_wait = other_thread_writes;
	ck_assert_str_eq(worker_hears_of(&t, t.device, card_alias, 7), "pci-stub");
	ck_assert_ptr_null(on_wait);
	ck_assert(mock_record(t.m, t.device, &record));
	ck_assert_str_eq(record.owned_override, ""); /* the other thread records that */
	mock_attr(t.m, t.device, "driver_override", "");
	/* A thread that is stuck is not waited for without end. */
	ck_assert_str_eq(worker_hears_of(&t, t.device, card_alias, 7), "pci-stub");
	ck_assert(mock_record(t.m, t.device, &record));
	ck_assert_str_eq(record.owned_override, "pci-stub");
	intent_end(other);
	worker_fixture_done(&t);
}
END_TEST

START_TEST(a_successor_of_the_device_is_not_released_by_the_decision_about_it)
{
	void (**const moments[])(struct worker_fixture * t) = { &on_read, &on_write };

	for (size_t i = 0; i < ELEMENTSOF(moments); i++) {
		uint64_t ticket;
		struct worker_fixture t;

		worker_fixture_new(&t, POLICY_BY_ID);
		ticket = fake_hold_issue(t.g.hold, "pci", CARD);
		*moments[i] = device_is_replaced;
		(void)worker_hears_of(&t, t.device, card_alias, 7);
		ck_assert_uint_ne(t.successor, 0);
		ck_assert_int_eq(fake_hold_mark(t.g.hold, ticket), HOLD_DECIDED);
		ck_assert_int_eq(fake_hold_mark(t.g.hold, t.successor), HOLD_WAITS);
		worker_fixture_done(&t);
	}
}
END_TEST

static void card_is_plugged_anew(void *userdata)
{
	struct worker_fixture *t = userdata;

	fake_hold_end(t->g.hold, 1);
	mock_remove(t->m, t->device);
	t->device = device_add(t, CARD, 0x10d3, 0x020000);
	device_is_replaced(t);
}

/* It has its own message, and may get no override at all, or one of the kernel's. */
START_TEST(a_successor_that_comes_after_the_release_has_nothing_of_the_device_before)
{
	struct record record;
	struct worker_fixture t;

	worker_fixture_new(&t, POLICY_BY_ID);
	ck_assert_uint_eq(fake_hold_issue(t.g.hold, "pci", CARD), 1);
	fake_hold_on_release(t.g.hold, card_is_plugged_anew, &t);
	(void)worker_hears_of(&t, t.device, card_alias, 7);
	ck_assert_uint_ne(t.successor, 0);
	ck_assert(!mock_record(t.m, t.device, &record));
	ck_assert_uint_eq(first_probe_watches_settle(t.g.first_probe_watches), 0);
	ck_assert(!intent_is_pending(t.m->settings.state_dir, "pci", CARD, "pci-stub"));
	/* It is decided about by its own message, as ever. */
	ck_assert_str_eq(worker_hears_of(&t, t.device, card_alias, 7), "pci-stub");
	ck_assert(mock_record(t.m, t.device, &record));
	ck_assert_str_eq(record.owned_override, "pci-stub");
	worker_fixture_done(&t);
}
END_TEST

static void policy_changes(void *userdata)
{
	struct worker_fixture *t = userdata;

	mock_policy(t->m, MOCK_ETC, "50.conf", "[device card]\nId=8086:10d3\nDriver=vfio-pci\n");
	guard_set_policy(&t->g, policy_snapshot_load(&t->m->settings));
}

/* From the next ticket on the kernel may spare what this policy cannot match. */
START_TEST(a_device_with_a_new_ticket_is_decided_about_by_a_new_policy)
{
	struct worker_fixture t;

	worker_fixture_new(&t, POLICY_BY_ID);
	ck_assert_uint_eq(fake_hold_issue(t.g.hold, "pci", CARD), 1);
	fake_hold_on_ticket(t.g.hold, policy_changes, &t);
	ck_assert_str_eq(worker_hears_of(&t, t.device, card_alias, 7), "vfio-pci");
	worker_fixture_done(&t);
}
END_TEST

/* The kernel may hold that lock while it waits, of a physical function for one; udev's event decides then. */
START_TEST(an_attribute_that_takes_a_lock_is_not_read)
{
	static const char policy[] = "[device card]\nName=" CARD "\nAttr.%s=0\nDriver=pci-stub\n";
	static const char *const names[] = { "sriov_numvfs", "uevent", "numa_node" };

	for (size_t i = 0; i < ELEMENTSOF(names); i++) {
		struct worker_fixture t;
		char text[256];
		uint64_t ticket;

		(void)snprintf(text, sizeof(text), policy, names[i]);
		worker_fixture_new(&t, text);
		mock_attr(t.m, t.device, names[i], "0\n");
		ticket = fake_hold_issue(t.g.hold, "pci", CARD);
		ck_assert_str_eq(worker_hears_of(&t, t.device, card_alias, 7), i == 2 ? "pci-stub" : "");
		ck_assert_int_eq(fake_hold_mark(t.g.hold, ticket), HOLD_DECIDED);
		worker_fixture_done(&t);
	}
}
END_TEST

/* By which it is seen that the kernel calls none of the programs. */
START_TEST(devices_that_come_after_the_policy_was_read_are_counted)
{
	struct worker_fixture t;

	worker_fixture_new(&t, POLICY_BY_ID);
	atomic_store(&t.g.heard_since, 7);
	(void)worker_hears_of(&t, t.device, card_alias, 7);
	ck_assert_uint_eq(atomic_load(&t.g.n_heard), 0);
	atomic_store(&t.g.heard_since, 6);
	(void)worker_hears_of(&t, t.device, card_alias, 7);
	ck_assert_uint_eq(atomic_load(&t.g.n_heard), 1);
	worker_fixture_done(&t);
}
END_TEST

/* It has decided, and marks a ticket of its own. */
START_TEST(what_the_guard_before_has_heard_of_alone_is_left_to_it)
{
	struct worker_fixture t;
	uint64_t ticket;

	worker_fixture_new(&t, POLICY_BY_ID);
	atomic_store(&t.g.inherited_seqnum, 8);
	ck_assert_str_eq(worker_hears_of(&t, t.device, card_alias, 7), "");
	/* Not where the kernel waits for this guard as well. */
	ticket = fake_hold_issue(t.g.hold, "pci", CARD);
	ck_assert_str_eq(worker_hears_of(&t, t.device, card_alias, 7), "pci-stub");
	ck_assert_int_eq(fake_hold_mark(t.g.hold, ticket), HOLD_DECIDED);
	worker_fixture_done(&t);
}
END_TEST

/* Nothing is read about it. */
START_TEST(device_of_another_bus_is_released_at_once)
{
	uint64_t ticket;
	struct worker_fixture t;

	worker_fixture_new(&t, "[device other]\nBus=platform\nDriver=none\n");
	ticket = fake_hold_issue(t.g.hold, "pci", CARD);
	ck_assert_str_eq(worker_hears_of(&t, t.device, card_alias, 7), "");
	ck_assert_int_eq(fake_hold_mark(t.g.hold, ticket), HOLD_DECIDED);
	ck_assert_uint_eq(atomic_load(&t.g.n_added), 0);
	worker_fixture_done(&t);
}
END_TEST

/* Another thread has marked the ticket, and the hold has ended by that before this one has written. */
static void hold_ends_early(struct worker_fixture *t)
{
	ck_assert(hold_release(t->g.hold, 1));
	fake_hold_end(t->g.hold, 1);
}

START_TEST(an_override_that_is_written_after_the_hold_is_not_claimed_as_guaranteed)
{
	for (size_t i = 0; i < 2; i++) {
		struct worker_fixture t;

		worker_fixture_new(&t, POLICY_BY_ID);
		ck_assert_uint_eq(fake_hold_issue(t.g.hold, "pci", CARD), 1);
		on_write = i == 0 ? hold_ends_early : NULL;
		(void)worker_hears_of(&t, t.device, card_alias, 7);
		fake_hold_end(t.g.hold, 1);
		check_first_probe(&t, i == 0 ? "won" : "guaranteed");
		worker_fixture_done(&t);
	}
}
END_TEST

static void another_driver_binds(struct worker_fixture *t)
{
	mock_driver_add(t->m, "pci", "e1000e");
	mock_bind(t->m, t->device, "e1000e");
}

/* It has gone again when the watch ends, and its `bind` was not received. */
START_TEST(another_driver_that_was_bound_when_the_device_was_released_came_first)
{
	struct worker_fixture t;

	worker_fixture_new(&t, POLICY_BY_ID);
	on_write = another_driver_binds;
	(void)worker_hears_of(&t, t.device, card_alias, 7);
	mock_unbind(t.m, t.device);
	check_first_probe(&t, "lost");
	worker_fixture_done(&t);
}
END_TEST

/* A record that cannot be written: the folder for records is a file. */
START_TEST(an_override_without_a_record_is_claimed_by_its_intent)
{
	const char *devices;
	struct worker_fixture t;

	worker_fixture_new(&t, POLICY_BY_ID);
	devices = mock_printf(t.m, "%s/devices", t.m->state);
	make_file(devices, "", 0);
	ck_assert_str_eq(worker_hears_of(&t, t.device, card_alias, 7), "pci-stub");
	ck_assert(intent_is_pending(t.m->settings.state_dir, "pci", CARD, "pci-stub"));
	worker_fixture_done(&t);
}
END_TEST

SUITE_MAIN("device-add", 30, override_is_written_and_recorded, device_without_a_rule_is_not_touched,
	   override_of_the_kernel_stays, device_without_an_override_file_is_released,
	   device_that_is_incomplete_waits_for_its_own_message,
	   a_worker_waits_for_another_thread_that_handles_the_same_device,
	   a_successor_of_the_device_is_not_released_by_the_decision_about_it,
	   a_successor_that_comes_after_the_release_has_nothing_of_the_device_before,
	   a_device_with_a_new_ticket_is_decided_about_by_a_new_policy,
	   an_attribute_that_takes_a_lock_is_not_read,
	   devices_that_come_after_the_policy_was_read_are_counted,
	   what_the_guard_before_has_heard_of_alone_is_left_to_it, device_of_another_bus_is_released_at_once,
	   an_override_that_is_written_after_the_hold_is_not_claimed_as_guaranteed,
	   another_driver_that_was_bound_when_the_device_was_released_came_first,
	   an_override_without_a_record_is_claimed_by_its_intent)
