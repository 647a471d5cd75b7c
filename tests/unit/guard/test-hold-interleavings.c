/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The tickets of the hold in all orders of steps: of threads that add, probe and remove devices, of the
 * guard's workers and standby threads, of drivers that are registered meanwhile. In no order is anything
 * claimed that is not so, and in none does anybody wait for ever: where no time passes, a hold has to end by
 * what others do.
 */
#include "tests/unit/fixtures/suite.h"
#include "tests/unit/fixtures/ticket-world.h"

#include <stddef.h>

static const struct world_device one[] = { { .name = "serial", .decided = "vfio" } };
static const struct world_device two[] = { { .name = "serial", .decided = "vfio" },
					   { .name = "other", .decided = "vfio" } };
static const struct world_device one_after_the_other[] = {
	{ .name = "serial", .has_no_driver = true, .decided = "vfio" },
	{ .name = "other", .follows = true, .decided = "vfio" }
};
static const struct world_device three[] = { { .name = "a", .decided = "vfio" },
					     { .name = "b", .fails = true, .decided = "vfio" },
					     { .name = "c", .decided = "vfio" } };
static const struct world_device two_of_a_name[] = { { .name = "serial", .decided = "vfio" },
						     { .name = "serial", .decided = "uio" } };
static const struct world_device functions[] = {
	{ .name = "0000:01:00.0", .is_pci = true, .decided = "vfio" },
	{ .name = "0000:01:00.1", .is_pci = true, .decided = "vfio" }
};
static const struct world_device functions_one_of_which_fails[] = {
	{ .name = "0000:01:00.0", .is_pci = true, .fails = true, .decided = "vfio" },
	{ .name = "0000:01:00.1", .is_pci = true, .decided = "vfio" }
};

/* What all ends have in common: nobody had a reason to go on without a decision. */
static void search_for_guaranteed_ends_only(void)
{
	(void)world_search();
	ck_assert_uint_gt(world_guaranteed, 0);
	ck_assert_uint_eq(world_won + world_lost + world_unknown, 0);
}

START_TEST(copies_of_the_programs_do_what_one_does)
{
	world_begin(one, 1);
	world_copies();
	world_adder("adder", 1);
	world_worker("worker");
	search_for_guaranteed_ends_only();
}
END_TEST

START_TEST(a_driver_that_is_registered_meanwhile_is_noticed)
{
	for (unsigned fails = 0; fails < 2; fails++) {
		world_begin(one, 1);
		world_copies();
		world_adder("adder", 1);
		world_worker("worker");
		world_racer(0, fails);
		(void)world_search();
		ck_assert(world_guaranteed > 0 && world_lost > 0);
	}
}
END_TEST

START_TEST(a_late_device_is_decided_about_by_a_standby_thread)
{
	world_begin(one, 1);
	world_adder("adder", 1);
	world_worker("worker");
	world_standby();
	world_time();
	(void)world_search();
	ck_assert(world_guaranteed > 0 && world_won > 0);
}
END_TEST

START_TEST(a_driver_that_is_registered_while_a_device_is_late_is_noticed)
{
	world_begin(one, 1);
	world_adder("adder", 1);
	world_worker("worker");
	world_quick_standby();
	world_racer(0, true);
	world_time();
	(void)world_search();
	ck_assert(world_guaranteed > 0 && world_lost > 0 && world_won > 0);
}
END_TEST

START_TEST(a_hold_ends_at_the_limit_when_nobody_decides)
{
	world_begin(one, 1);
	world_adder("adder", 1);
	world_time();
	(void)world_search();
}
END_TEST

START_TEST(a_name_that_is_given_to_another_device)
{
	world_begin(two_of_a_name, 2);
	world_replacer("replacer", 0, 1);
	world_worker("worker");
	world_worker("worker 2");
	world_racer(1, false);
	(void)world_search();
	ck_assert_uint_gt(world_guaranteed, 0);
}
END_TEST

START_TEST(a_device_that_is_removed_while_it_is_held)
{
	world_begin(two_of_a_name, 2);
	world_adder("adder", 1);
	world_remover(0);
	world_adder("adder 2", 2);
	world_worker("worker");
	(void)world_search();
	ck_assert_uint_gt(world_guaranteed, 0);
}
END_TEST

/* What a program has found in the map of tickets is another one's a moment later. */
START_TEST(an_element_of_the_map_that_is_given_to_another_ticket)
{
	world_begin(one_after_the_other, 2);
	world_visitor("visitor", 0);
	world_racer(0, false);
	world_adder("adder 2", 2);
	world_quick_worker();
	(void)world_search();
	ck_assert_uint_gt(world_guaranteed, 0);
}
END_TEST

START_TEST(functions_of_a_slot_wait_for_one_another)
{
	world_begin(functions, 2);
	world_adder("adder", 3);
	world_worker("worker");
	world_quick_worker();
	(void)world_search();
	/* Won: a worker was so slow that another one, which decided about the whole slot, has let the device
	 * go. */
	ck_assert(world_guaranteed > 0 && world_lost + world_unknown == 0);
}
END_TEST

START_TEST(a_function_whose_addition_fails_keeps_nobody_waiting)
{
	world_begin(functions_one_of_which_fails, 2);
	world_adder("adder", 3);
	world_worker("worker");
	search_for_guaranteed_ends_only();
}
END_TEST

/* PROGRAM_TICKETS_MAX is 2: the third ticket has the word of the first, which may be held yet. */
START_TEST(a_word_that_is_given_to_another_ticket)
{
	world_begin(three, 3);
	world_adder("adder", 1);
	world_adder("adder 2", 6);
	world_quick_worker();
	(void)world_search();
	ck_assert(world_guaranteed > 0 && world_won > 0);
}
END_TEST

START_TEST(nobody_waits_for_a_guard_that_ends)
{
	world_begin(two, 2);
	world_adder("adder", 1);
	world_adder("adder 2", 2);
	world_end_of_guard();
	(void)world_search();
}
END_TEST

START_TEST(nobody_waits_while_user_space_is_frozen)
{
	world_begin(one, 1);
	world_adder("adder", 1);
	world_worker("worker");
	world_freezer();
	(void)world_search();
	ck_assert_uint_gt(world_guaranteed, 0);
}
END_TEST

START_TEST(nobody_waits_for_a_message_that_is_lost)
{
	world_begin(two, 2);
	world_adder("adder", 3);
	world_worker("worker");
	world_loser_of_messages();
	(void)world_search();
	ck_assert_uint_gt(world_guaranteed, 0);
}
END_TEST

SUITE_MAIN("hold-interleavings", 120, copies_of_the_programs_do_what_one_does,
	   a_driver_that_is_registered_meanwhile_is_noticed,
	   a_late_device_is_decided_about_by_a_standby_thread,
	   a_driver_that_is_registered_while_a_device_is_late_is_noticed,
	   a_hold_ends_at_the_limit_when_nobody_decides, a_name_that_is_given_to_another_device,
	   a_device_that_is_removed_while_it_is_held, an_element_of_the_map_that_is_given_to_another_ticket,
	   functions_of_a_slot_wait_for_one_another, a_function_whose_addition_fails_keeps_nobody_waiting,
	   a_word_that_is_given_to_another_ticket, nobody_waits_for_a_guard_that_ends,
	   nobody_waits_while_user_space_is_frozen, nobody_waits_for_a_message_that_is_lost)
