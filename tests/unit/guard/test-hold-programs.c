/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The BPF programs of the hold, compiled as ordinary C: what becomes of tickets, and how long a hold lasts.
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "tests/unit/fixtures/bpf-kernel.h"
#include "tests/unit/fixtures/suite.h"

static void hold_added_device(struct pci_dev___local *d)
{
	hold_on_pci_add_1(d);
	hold_on_pci_add_2(d);
	hold_on_pci_add_3(d);
}

static void probe_device(struct pci_dev___local *d, const char *name)
{
	struct device_driver___local driver = { .name = name };

	note_on_really_probe_1(&d->dev, &driver);
	note_on_really_probe_2(&d->dev, &driver);
}

/* Its ticket; NULL: it has none. */
static struct hold_ticket *ticket_of_device(struct pci_dev___local *d)
{
	struct hold_key key;

	(void)key_of_device(&d->dev, &key);
	return bpf_map_lookup_elem(&tickets, &key);
}

/* The driver that probed it first, by what is noted. */
static const char *driver_noted_of(struct pci_dev___local *d)
{
	const __u64 number = ticket_of_device(d)->number;
	const struct hold_kept *noted = &kernel_kept[number % HOLD_TICKETS_KEPT];

	return noted->probed_number == number ? noted->driver : "";
}

static void guard_decides(__u64 number)
{
	(void)ticket_change_mark(number, HOLD_WAITS, HOLD_DECIDED);
}

/* At the moment of `happens`. */
static void guard_decides_all(void)
{
	for (__u64 number = 1; number <= last_ticket; number++)
		guard_decides(number);
}

START_TEST(both_copies_of_the_program_issue_one_ticket)
{
	struct pci_dev___local d = pci_device("0000:01:00.0");

	add_device(&d);
	ck_assert_uint_eq(last_ticket, 1);
	ck_assert_uint_eq(counters.added, 1);
	ck_assert_int_eq(tickets_held, 1);
	/* It is added anew: the ticket before is void. */
	guard_decides(1);
	hold_added_device(&d);
	add_device(&d);
	ck_assert_uint_eq(last_ticket, 2);
	ck_assert_uint_eq(ticket_of_device(&d)->number, 2);
	ck_assert_int_eq(tickets_held, 1);
}
END_TEST

START_TEST(a_failed_addition_leaves_no_ticket)
{
	struct pci_dev___local first = pci_device("0000:01:00.0"), second = pci_device("0000:01:00.1");

	add_device(&first);
	drop_on_failed_add(&first.dev, 0);
	ck_assert_ptr_nonnull(ticket_of_device(&first));
	drop_on_failed_add(&first.dev, -17);
	ck_assert_ptr_null(ticket_of_device(&first));
	ck_assert_int_eq(tickets_held, 0);
	/* The other function of the slot does not wait for it. */
	add_device(&second);
	happens = guard_decides_all;
	happens_at_ns = clock_ns + 1000000;
	hold_added_device(&second);
	ck_assert_uint_eq(counters.expired, 0);
	ck_assert_uint_lt(counters.longest_ns, 2000000);
	drop_on_bus_remove(&second.dev);
	ck_assert_ptr_null(ticket_of_device(&second));
}
END_TEST

START_TEST(the_first_driver_is_noted_when_the_hold_has_ended)
{
	struct pci_dev___local d = pci_device("0000:01:00.0");

	add_device(&d);
	guard_decides(1);
	hold_added_device(&d);
	ck_assert_int_eq(ticket_mark(1), HOLD_PASSED);
	ck_assert_str_eq(driver_noted_of(&d), "");
	probe_device(&d, "e1000e");
	probe_device(&d, "vfio-pci");
	ck_assert_str_eq(driver_noted_of(&d), "e1000e");
	ck_assert_int_eq(ticket_mark(1), HOLD_PASSED);
}
END_TEST

START_TEST(a_driver_that_probes_during_the_hold_is_early)
{
	for (unsigned decided = 0; decided < 2; decided++) {
		struct pci_dev___local d = pci_device("0000:01:00.0");

		add_device(&d);
		if (decided)
			guard_decides(last_ticket);
		probe_device(&d, "e1000e");
		ck_assert_int_eq(ticket_mark(last_ticket), HOLD_PROBED_EARLY);
		hold_added_device(&d);
		ck_assert_int_eq(ticket_mark(last_ticket), HOLD_PASSED_EARLY);
		ck_assert_str_eq(driver_noted_of(&d), "e1000e");
	}
}
END_TEST

START_TEST(tickets_are_kept_for_so_many_devices_that_come_later)
{
	struct pci_dev___local old = pci_device("old.0"), waiting = pci_device("waiting.0");
	char name[16];

	add_device(&old);
	guard_decides(1);
	hold_added_device(&old);
	add_device(&waiting);
	for (unsigned i = 0; i < HOLD_TICKETS_KEPT; i++) {
		struct pci_dev___local d = pci_device(name);

		ck_assert_int_eq(ticket_of_device(&old) != NULL, i + 1 < HOLD_TICKETS_KEPT);
		(void)snprintf(name, sizeof(name), "%08x.0", i);
		add_device(&d);
		guard_decides(last_ticket);
		hold_added_device(&d);
	}
	/* One that is still held is never forgotten. */
	ck_assert_ptr_nonnull(ticket_of_device(&waiting));
	ck_assert_int_eq(tickets_held, 1);
	guard_decides(2);
	hold_added_device(&waiting);
	ck_assert_int_eq(ticket_mark(2), HOLD_PASSED);
	ck_assert_ptr_null(ticket_of_device(&waiting));
	ck_assert_int_eq(tickets_held, 0);
}
END_TEST

START_TEST(a_hold_without_an_answer_ends_at_the_limit_and_three_are_all)
{
	struct pci_dev___local d = pci_device("0000:01:00.0");

	for (unsigned i = 0; i < 5; i++) {
		add_device(&d);
		hold_added_device(&d);
	}
	ck_assert_uint_eq(counters.expired, 3);
	ck_assert_uint_ge(counters.waited_ns, 3 * LIMIT_NS);
	ck_assert_uint_lt(counters.waited_ns, 3 * LIMIT_NS + 3000000);
	ck_assert_uint_eq(last_ticket, 3);
	ck_assert_uint_eq(n_told, 2 * 3);
	ck_assert_uint_eq(counters.added, 3 + 2 * 2); /* without a ticket each copy counts */
	/* The guard is awake again, and decides. */
	spent_ns = 5;
	add_device(&d);
	happens = guard_decides_all;
	happens_at_ns = clock_ns + 1000000;
	hold_added_device(&d);
	ck_assert_uint_eq(counters.expired, 3);
	ck_assert_int_eq(ticket_mark(4), HOLD_PASSED);
	ck_assert_uint_eq(spent_ns, 0);
}
END_TEST

/* Devices that are added by threads of their own. One runs at a time: the clock hands on to the next. */
static struct {
	struct pci_dev___local device;
	pthread_t thread;
	sem_t turn;
	bool is_over;
} at_once[8];
static _Thread_local int own_turn = -1;

static void hand_on_turn(int from)
{
	for (int i = 1; i <= (int)ELEMENTSOF(at_once); i++) {
		const int next = (from + i) % (int)ELEMENTSOF(at_once);

		if (!at_once[next].is_over) {
			(void)sem_post(&at_once[next].turn);
			return;
		}
	}
}

static void take_turns(void)
{
	if (own_turn < 0)
		return;
	hand_on_turn(own_turn);
	(void)sem_wait(&at_once[own_turn].turn);
}

static void *hold_in_turn(void *userdata)
{
	own_turn = (int)(intptr_t)userdata;
	(void)sem_wait(&at_once[own_turn].turn);
	hold_added_device(&at_once[own_turn].device);
	at_once[own_turn].is_over = true;
	hand_on_turn(own_turn);
	return NULL;
}

START_TEST(holds_at_the_same_time_cost_three_limits_in_all)
{
	static const char *const names[] = { "a.0", "b.0", "c.0", "d.0", "e.0", "f.0", "g.0", "h.0" };

	clock_hands_on = take_turns;
	for (int i = 0; i < (int)ELEMENTSOF(at_once); i++) {
		at_once[i].device = pci_device(names[i]);
		ck_assert_int_eq(sem_init(&at_once[i].turn, 0, 0), 0);
		add_device(&at_once[i].device);
	}
	for (int i = 0; i < (int)ELEMENTSOF(at_once); i++)
		ck_assert_int_eq(pthread_create(&at_once[i].thread, NULL, hold_in_turn, (void *)(intptr_t)i),
				 0);
	hand_on_turn(-1);
	for (size_t i = 0; i < ELEMENTSOF(at_once); i++)
		ck_assert_int_eq(pthread_join(at_once[i].thread, NULL), 0);
	ck_assert_uint_eq(counters.expired, ELEMENTSOF(at_once));
	/* Each notes what it has waited in steps of a millisecond. */
	ck_assert_uint_ge(counters.waited_ns, 3 * LIMIT_NS);
	ck_assert_uint_le(counters.waited_ns, 3 * LIMIT_NS + ELEMENTSOF(at_once) * 2000000);
}
END_TEST

static void guard_exits(void)
{
	static struct signal_struct___local signal = { .live = { 3 }, .flags = SIGNAL_GROUP_EXIT___local };
	static struct task_struct___local task = { .tgid = 42, .signal = &signal };

	end_on_guard_exit(&task);
}

static void guard_gets_signal(int number)
{
	static struct task_struct___local task = { .tgid = 42 };

	end_on_guard_signal(number, NULL, &task);
}

static void guard_is_killed(void)
{
	guard_gets_signal(SIGKILL___local);
}

static void guard_is_told_to_end(void)
{
	grace_ns = 5000000;
	guard_gets_signal(SIGTERM___local);
}

static void user_space_is_frozen(void)
{
	freeze_on_freeze_processes();
}

START_TEST(a_hold_ends_when_nobody_can_answer)
{
	void (*const reasons[])(void) = { guard_exits, guard_is_killed, guard_is_told_to_end,
					  user_space_is_frozen };

	guard_tgid = 42;
	for (size_t i = 0; i < ELEMENTSOF(reasons); i++) {
		struct pci_dev___local d = pci_device("0000:01:00.0");

		has_ended = 0;
		ends_at_ns = 0;
		add_device(&d);
		happens = reasons[i];
		happens_at_ns = clock_ns + 1000000;
		hold_added_device(&d);
		ck_assert_uint_eq(counters.let_go, i + 1);
		ck_assert_int_eq(ticket_mark(i + 1), HOLD_EXPIRED);
	}
	ck_assert_uint_lt(counters.longest_ns, 6100000);
	ck_assert_uint_lt(counters.waited_ns, 3 * 1100000 + 6100000);
	ck_assert_uint_eq(counters.expired, 0);
	thaw_on_thaw_processes();
	ck_assert(hold_may_wait(clock_ns));
}
END_TEST

START_TEST(the_end_of_another_process_or_of_one_thread_is_not_the_guards)
{
	struct signal_struct___local goes_on = { .live = { 3 } };
	struct task_struct___local thread = { .tgid = 42, .signal = &goes_on },
				   other = { .tgid = 43, .signal = &goes_on };

	guard_tgid = 42;
	end_on_guard_exit(&thread);
	end_on_guard_signal(15, NULL, &other);
	end_on_guard_signal(17, NULL, &thread);
	goes_on.live.counter = 0;
	end_on_guard_exit(&other);
	ck_assert(has_ended == 0 && ends_at_ns == 0);
	end_on_guard_exit(&thread);
	ck_assert_uint_eq(has_ended, 1);
}
END_TEST

/* The guard's main thread, and one more, which could run on the CPU that waits. */
START_TEST(a_hold_that_keeps_the_guard_out_is_the_last)
{
	struct signal_struct___local signal = {};
	struct task_struct___local leader = { .signal = &signal, .on_rq = 1 },
				   worker = { .signal = &signal, .on_rq = 0 };
	struct pci_dev___local d = pci_device("0000:01:00.0");

	signal.thread_head.next = &leader.thread_node;
	leader.thread_node.next = &worker.thread_node;
	worker.thread_node.next = &signal.thread_head;
	guard_leader = (uintptr_t)&leader;
	add_device(&d);
	hold_added_device(&d);
	ck_assert_uint_eq(is_kept_out, 0); /* it slept */
	ck_assert(first_expiry.asleep == 1 && first_expiry.kept_out == 0 && first_expiry.is_complete);
	worker.on_rq = 1;
	add_device(&d);
	hold_added_device(&d);
	ck_assert_uint_eq(is_kept_out, 1);
	add_device(&d);
	ck_assert_uint_eq(last_ticket, 2);
	ck_assert_uint_eq(counters.expired, 2);
}
END_TEST

SUITE_MAIN("hold-programs", 60, both_copies_of_the_program_issue_one_ticket,
	   a_failed_addition_leaves_no_ticket, the_first_driver_is_noted_when_the_hold_has_ended,
	   a_driver_that_probes_during_the_hold_is_early,
	   tickets_are_kept_for_so_many_devices_that_come_later,
	   a_hold_without_an_answer_ends_at_the_limit_and_three_are_all,
	   holds_at_the_same_time_cost_three_limits_in_all, a_hold_ends_when_nobody_can_answer,
	   the_end_of_another_process_or_of_one_thread_is_not_the_guards,
	   a_hold_that_keeps_the_guard_out_is_the_last)
