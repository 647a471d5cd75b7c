/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The functions of one card move together or not at all; see move-slot.c. */
#include "base/macro.h"
#include "tests/unit/fixtures/move-fixture.h"
#include "tests/unit/fixtures/suite.h"

#include <stddef.h>

#define BOTH "[device card]\nName=0000:00:03.*\nDriver=vfio-pci\n"

/* Two functions with drivers of their own in one group; the second one has an interface that is in use. */
static struct move_fixture slot_fixture_new(const char *policy, const char *other_name)
{
	struct move_fixture f = move_fixture_new("");
	const char *other;

	apply_fixture_set_policy(&f.apply, policy);
	other = mock_pci_add(f.m, other_name, NULL, 0x8086, 0x10d3, 0x020000);
	kernel_driver_add(f.m, "e1000e");
	kernel_bind(f.m, other, "e1000e");
	mock_group(f.m, 1, f.device, other, NULL);
	mock_class_add(f.m, "net", other, "eth0");
	mock_attr_link(f.m, mock_printf(f.m, "%s/net/eth0", other), "master", "../../virtual/net/br0");
	return f;
}

static void slot_fixture_move(struct move_fixture *f, struct move_options options)
{
	options.policy = f->apply.policy;
	move_fixture_move_with(f, options);
}

START_TEST(function_stays_while_another_of_its_slot_is_in_use)
{
	struct move_fixture f = slot_fixture_new(BOTH, "0000:00:03.1");
	const char *uplink = "/devices/pci0000:00/0000:00:03.1/net/eth0";

	/* The dry run says the same. */
	for (int dry = 1; dry >= 0; dry--) {
		slot_fixture_move(&f, (struct move_options){ .dry_run = dry });
		assert_moved(&f, "blocked", "InUse", "nvme", "", false);
		ck_assert_str_eq(f.moved.reason,
				 "in use: 0000:00:03.1, which shares its slot: eth0 is a port of br0");
		ck_assert_str_eq(f.moved.wait_for, "net");
	}
	ck_assert_str_eq(kernel_writes(f.m), "");
	mock_attr_remove(f.m, uplink, "master");
	slot_fixture_move(&f, (struct move_options){});
	assert_moved(&f, "enforced", "", "vfio-pci", "vfio-pci", true);
	move_fixture_done(&f);
}
END_TEST

/* After one function was seen to, the group's other members are: by an event, in which nothing is unbound. */
START_TEST(function_in_use_is_waited_for_after_its_group_was_seen_to)
{
	struct move_fixture f = slot_fixture_new(BOTH, "0000:00:03.1");

	slot_fixture_move(&f, (struct move_options){});
	move_fixture_event(&f);
	ck_assert_int_eq(record_of(&f)->state, STATE_BLOCKED);
	ck_assert_str_eq(record_of(&f)->reason,
			 "in use: 0000:00:03.1, which shares its slot: eth0 is a port of br0");
	ck_assert_str_eq(record_of(&f)->wait_for, "net");
	/* Under another decision it was not found in use. */
	apply_fixture_set_policy(&f.apply, "[device card]\nName=0000:00:03.*\nDriver=none\n");
	move_fixture_event(&f);
	ck_assert_int_eq(record_of(&f)->state, STATE_PENDING);
	ck_assert_str_eq(record_of(&f)->wait_for, "");
	move_fixture_done(&f);
}
END_TEST

START_TEST(force_asks_no_other_function)
{
	struct move_fixture f = slot_fixture_new(BOTH, "0000:00:03.1");

	slot_fixture_move(&f, (struct move_options){ .rebind = REBIND_FORCE });
	assert_moved(&f, "enforced", "", "vfio-pci", "vfio-pci", true);
	move_fixture_done(&f);
}
END_TEST

START_TEST(function_that_its_rule_leaves_does_not_count)
{
	/* Its own rule keeps it, another rule moves it, or none does. */
	static const char *const policies[] = {
		"[device other]\nName=0000:00:03.1\nDriver=default\n" BOTH,
		"[device other]\nName=0000:00:03.1\nDriver=e1000e\n" BOTH,
		"[device card]\nName=0000:00:03.0\nDriver=vfio-pci\nGroup=leave\n",
	};

	for (size_t i = 0; i < ELEMENTSOF(policies); i++) {
		struct move_fixture f = slot_fixture_new(policies[i], "0000:00:03.1");

		slot_fixture_move(&f, (struct move_options){});
		assert_moved(&f, "enforced", "", "vfio-pci", "vfio-pci", true);
		move_fixture_done(&f);
	}
}
END_TEST

START_TEST(group_member_taken_along_counts)
{
	struct move_fixture f = slot_fixture_new(
		"[device card]\nName=0000:00:03.0\nDriver=vfio-pci\nGroup=vfio\n", "0000:00:03.1");

	slot_fixture_move(&f, (struct move_options){});
	assert_moved(&f, "blocked", "InUse", "nvme", "", false);
	move_fixture_done(&f);
}
END_TEST

START_TEST(group_member_of_another_slot_does_not_count)
{
	struct move_fixture f =
		slot_fixture_new("[device card]\nName=0000:00:0*\nDriver=vfio-pci\n", "0000:00:04.1");

	slot_fixture_move(&f, (struct move_options){});
	assert_moved(&f, "enforced", "", "vfio-pci", "vfio-pci", true);
	move_fixture_done(&f);
}
END_TEST

SUITE_MAIN("move-slot", 20, function_stays_while_another_of_its_slot_is_in_use,
	   function_in_use_is_waited_for_after_its_group_was_seen_to, force_asks_no_other_function,
	   function_that_its_rule_leaves_does_not_count, group_member_taken_along_counts,
	   group_member_of_another_slot_does_not_count)
