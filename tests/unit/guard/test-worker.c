/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a worker does with each kind of message, and when messages are lost. */
#include "base/macro.h"
#include "base/text.h"
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

/* Another device than the announced one may have that name by now. */
START_TEST(old_event_is_not_believed)
{
	struct worker_fixture t;

	worker_fixture_new(&t, POLICY_BY_ID);
	ck_assert_str_eq(worker_hears_of(&t, t.device, other_alias, 6), "pci-stub");
	worker_fixture_done(&t);
	worker_fixture_new(&t, "[device gone]\nId=1234:5678\nDriver=pci-stub\n");
	ck_assert_str_eq(worker_hears_of(&t, t.device, other_alias, 6), "");
	worker_fixture_done(&t);
}
END_TEST

START_TEST(latest_event_is_believed)
{
	struct worker_fixture t;

	worker_fixture_new(&t, "[device announced]\nId=1234:5678\nDriver=pci-stub\n");
	ck_assert_str_eq(worker_hears_of(&t, t.device, other_alias, 7), "pci-stub");
	worker_fixture_done(&t);
}
END_TEST

/* A worker keeps its memory from device to device; nothing of one device is left for the next. */
START_TEST(one_worker_decides_about_many_devices_in_turn)
{
	const char *v[20];
	struct worker_fixture t;

	worker_fixture_new(&t, "[device even]\nName=*0 *2 *4 *6\nDriver=pci-stub\n"
			       "[device odd]\nId=8086:10d5\nDriver=none\n");
	for (unsigned i = 0; i < ELEMENTSOF(v); i++)
		v[i] = device_add(&t, mock_printf(t.m, "0000:0%x:00.%u", 1 + i / 8, i % 8), 0x10d4 + i % 2,
				  0x020000);
	for (unsigned i = 0; i < ELEMENTSOF(v); i++)
		ck_assert_str_eq(worker_hears_of(&t, v[i], other_alias, 6), i % 2 ? "none" : "pci-stub");
	ck_assert_uint_eq(atomic_load(&t.g.n_added), ELEMENTSOF(v));
	worker_fixture_done(&t);
}
END_TEST

/* More of them than there are workers at first. */
START_TEST(devices_that_hang_delay_no_other)
{
	static struct worker_fixture t; /* the threads cannot be stopped, and end with this process */
	unsigned n_disowned;
	const char *last;

	worker_fixture_new(&t, "[device all]\nBus=pci\nDriver=none\n");
	atomic_store(&t.g.n_idle, 0);
	ck_assert_int_eq(workers_start(&t.g), 0);
	/* Each thread that the main thread has started gives up its copy of the hold's links. */
	while ((n_disowned = fake_hold_disowned(t.g.hold)) < (unsigned)atomic_load(&t.g.n_workers) + 1)
		(void)usleep(10000);
	for (unsigned i = 0; i < 16; i++) {
		const char *name = mock_printf(t.m, "0000:0%u:00.%u", 1 + i / 8, i % 8);
		const char *devpath = device_add(&t, name, 0x10d3, 0x020000);

		mock_attr_hangs(t.m, devpath, "driver_override");
		kernel_adds(&t, devpath, card_alias, 7);
	}
	last = device_add(&t, "0000:03:00.0", 0x10d3, 0x020000);
	kernel_adds(&t, last, card_alias, 7);
	while (!streq(mock_override(t.m, last), "none"))
		(void)usleep(10000);
	ck_assert_int_gt(atomic_load(&t.g.n_workers), 16);
	/* Those that were made later started without them. */
	ck_assert_uint_eq(fake_hold_disowned(t.g.hold), n_disowned);
}
END_TEST

/* udev handles it, no probe waits for it, and nothing can be told about a first probe. */
START_TEST(synthetic_add_is_counted_and_left_to_udev)
{
	struct record record;
	struct worker_fixture t;

	worker_fixture_new(&t, POLICY_BY_ID);
	kernel_sends(&t, "add", t.device, card_alias, 7, SYNTHETIC, sizeof(SYNTHETIC));
	ck_assert_int_eq(worker_process_event(t.w), 0);
	ck_assert_str_eq(mock_override(t.m, t.device), "");
	ck_assert(!mock_record(t.m, t.device, &record));
	ck_assert_uint_eq(atomic_load(&t.g.n_synthetic), 1);
	ck_assert_uint_eq(atomic_load(&t.g.n_added), 0);
	worker_fixture_done(&t);
}
END_TEST

#define DRIVER_E1000E "DRIVER=e1000e"

START_TEST(synthetic_bind_says_nothing_about_the_first_probe)
{
	static const char synthetic[] = DRIVER_E1000E "\0" SYNTHETIC;

	for (size_t i = 0; i < 2; i++) {
		struct worker_fixture t;

		worker_fixture_new(&t, POLICY_BY_ID);
		(void)worker_hears_of(&t, t.device, card_alias, 7);
		if (i == 0)
			kernel_sends(&t, "bind", t.device, card_alias, 8, synthetic, sizeof(synthetic));
		else
			kernel_sends(&t, "bind", t.device, card_alias, 8, DRIVER_E1000E,
				     sizeof(DRIVER_E1000E));
		ck_assert_int_eq(worker_process_event(t.w), 0);
		check_first_probe(&t, i == 0 ? "won" : "lost");
		worker_fixture_done(&t);
	}
}
END_TEST

/* An intent that was kept, because its record could not be written, ends with the device. */
START_TEST(only_a_real_remove_ends_an_intent)
{
	struct worker_fixture t;

	worker_fixture_new(&t, POLICY_BY_ID);
	intent_keep(intent_begin(t.g.intents, "pci", CARD, "pci-stub"));
	kernel_sends(&t, "remove", t.device, card_alias, 8, SYNTHETIC, sizeof(SYNTHETIC));
	ck_assert_int_eq(worker_process_event(t.w), 0);
	ck_assert(intent_is_pending(t.m->settings.state_dir, "pci", CARD, "pci-stub"));
	kernel_sends(&t, "remove", t.device, card_alias, 9, "", 0);
	ck_assert_int_eq(worker_process_event(t.w), 0);
	ck_assert(!intent_is_pending(t.m->settings.state_dir, "pci", CARD, "pci-stub"));
	worker_fixture_done(&t);
}
END_TEST

START_TEST(bus_that_is_registered_has_the_policy_read_again)
{
	static const char message[] = "add@/bus/vdpa\0ACTION=add\0SUBSYSTEM=bus";
	struct worker_fixture t;
	eventfd_t n;

	worker_fixture_new(&t, POLICY_BY_ID);
	ck_assert_int_eq(send(t.kernel, message, sizeof(message), 0), sizeof(message));
	ck_assert_int_eq(worker_process_event(t.w), 0);
	ck_assert(atomic_load(&t.g.buses_changed));
	ck_assert_int_eq(eventfd_read(t.g.main_wakeup, &n), 0);
	worker_fixture_done(&t);
}
END_TEST

START_TEST(cpu_that_comes_or_goes_has_the_standby_threads_placed_anew)
{
	static const char cpu[] = "SUBSYSTEM=cpu";
	struct worker_fixture t;
	eventfd_t n;

	worker_fixture_new(&t, POLICY_BY_ID);
	t.g.more_workers = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	/* Another subsystem's. */
	kernel_sends(&t, "offline", t.device, card_alias, 8, "", 0);
	ck_assert_int_eq(worker_process_event(t.w), 0);
	ck_assert_int_lt(eventfd_read(t.g.more_workers, &n), 0);
	kernel_sends(&t, "offline", "/devices/system/cpu/cpu1", "", 9, cpu, sizeof(cpu));
	ck_assert_int_eq(worker_process_event(t.w), 0);
	ck_assert_int_eq(eventfd_read(t.g.more_workers, &n), 0);
	(void)close(t.g.more_workers);
	worker_fixture_done(&t);
}
END_TEST

static uint64_t lost[2];

/* A device is added after the first release, and its message is lost, too. */
static void another_message_is_lost(struct worker_fixture *t)
{
	ck_assert_int_eq(fake_hold_mark(t->g.hold, lost[0]), HOLD_EXPIRED);
	lost[1] = fake_hold_issue(t->g.hold, "pci", "0000:00:05.0");
}

START_TEST(no_device_waits_for_a_message_that_was_lost)
{
	struct worker_fixture t;

	worker_fixture_new(&t, POLICY_BY_ID);
	receive_error = ENOBUFS;
	ck_assert_int_eq(worker_process_event(t.w), 0);
	ck_assert(atomic_load(&t.g.draining));
	ck_assert(!atomic_load(&t.g.messages_lost));
	lost[0] = fake_hold_issue(t.g.hold, "pci", "0000:00:04.0");
	on_receive = another_message_is_lost;
	receive_error = EAGAIN;
	ck_assert_int_eq(worker_process_event(t.w), 0);
	ck_assert_int_eq(fake_hold_mark(t.g.hold, lost[1]), HOLD_EXPIRED);
	/* The queue is empty: the kernel sends again, and the sweep sees to what was lost. */
	ck_assert(!atomic_load(&t.g.draining));
	ck_assert(atomic_load(&t.g.messages_lost));
	worker_fixture_done(&t);
}
END_TEST

START_TEST(a_worker_ends_when_the_socket_fails_and_not_before)
{
	static const int harmless[] = { EINTR, EAGAIN };
	struct worker_fixture t;

	worker_fixture_new(&t, POLICY_BY_ID);
	for (size_t i = 0; i < ELEMENTSOF(harmless); i++) {
		receive_error = harmless[i];
		ck_assert_int_eq(worker_process_event(t.w), 0);
	}
	receive_error = ENOTCONN;
	ck_assert_int_eq(worker_process_event(t.w), -ENOTCONN);
	worker_fixture_done(&t);
}
END_TEST

/* It shows that the guard is awake. */
START_TEST(an_event_resumes_a_hold_that_was_given_up)
{
	struct worker_fixture t;

	worker_fixture_new(&t, POLICY_BY_ID);
	fake_hold_give_up(t.g.hold);
	(void)worker_hears_of(&t, t.device, card_alias, 7);
	ck_assert(!hold_has_given_up(t.g.hold));
	worker_fixture_done(&t);
}
END_TEST

/* Any program may send to the socket. */
START_TEST(message_that_is_not_from_the_kernel_is_dropped)
{
	struct worker_fixture t;

	worker_fixture_new(&t, POLICY_BY_ID);
	sender_port = 4711;
	ck_assert_str_eq(worker_hears_of(&t, t.device, card_alias, 7), "");
	sender_port = 0;
	ck_assert_str_eq(worker_hears_of(&t, t.device, card_alias, 7), "pci-stub");
	worker_fixture_done(&t);
}
END_TEST

SUITE_MAIN("worker", 30, old_event_is_not_believed, latest_event_is_believed,
	   one_worker_decides_about_many_devices_in_turn, devices_that_hang_delay_no_other,
	   synthetic_add_is_counted_and_left_to_udev, synthetic_bind_says_nothing_about_the_first_probe,
	   only_a_real_remove_ends_an_intent, bus_that_is_registered_has_the_policy_read_again,
	   cpu_that_comes_or_goes_has_the_standby_threads_placed_anew,
	   no_device_waits_for_a_message_that_was_lost, a_worker_ends_when_the_socket_fails_and_not_before,
	   an_event_resumes_a_hold_that_was_given_up, message_that_is_not_from_the_kernel_is_dropped)
