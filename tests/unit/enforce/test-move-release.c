/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A device is released: given back whatever policy says, and left alone from then on. */
#include "base/text.h"
#include "enforce/apply-record.h"
#include "state/evaluate.h"
#include "state/record-file.h"
#include "tests/unit/fixtures/move-fixture.h"
#include "tests/unit/fixtures/suite.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

static void device_release(struct move_fixture *f)
{
	(void)kernel_writes(f->m);
	move_fixture_move_with(f, (struct move_options){ .release = true });
}

/* Of a device that vfio-pci has by its rule. */
static struct move_fixture released_fixture_new(void)
{
	struct move_fixture f = move_fixture_new(RULE("vfio-pci"));

	move_fixture_move(&f);
	device_release(&f);
	return f;
}

START_TEST(device_goes_back_to_its_own_driver)
{
	struct move_fixture f = released_fixture_new();

	assert_moved(&f, "unmanaged", "", "nvme", "", true);
	ck_assert_str_eq(kernel_writes(f.m), "unbind vfio-pci, override -, probe");
	ck_assert_str_eq(f.moved.reason, REASON_RELEASED);
	ck_assert(record_of(&f)->released);
	ck_assert_str_eq(record_of(&f)->owned_override, "");
	ck_assert_str_eq(record_of(&f)->decision, "");

	/* Twice: nothing more is done. */
	device_release(&f);
	assert_moved(&f, "unmanaged", "", "nvme", "", false);
	ck_assert_str_eq(kernel_writes(f.m), "");
	move_fixture_done(&f);
}
END_TEST

START_TEST(events_and_background_moves_leave_it_alone)
{
	struct move_fixture f = released_fixture_new();

	(void)kernel_writes(f.m);
	for (enum occasion occasion = OCCASION_ADDED; occasion <= OCCASION_AGAIN; occasion++) {
		f.apply.occasion = occasion;
		move_fixture_event(&f);
		ck_assert_int_eq(f.apply.outcome.state, STATE_UNMANAGED);
		ck_assert(f.apply.outcome.released);
	}
	move_fixture_move_with(&f, (struct move_options){ .keep_released = true });
	assert_moved(&f, "unmanaged", "", "nvme", "", false);
	ck_assert_str_eq(kernel_writes(f.m), "");
	ck_assert(record_of(&f)->released);
	move_fixture_done(&f);
}
END_TEST

START_TEST(apply_ends_it)
{
	struct move_fixture f = released_fixture_new();

	move_fixture_move(&f);
	assert_moved(&f, "enforced", "", "vfio-pci", "vfio-pci", true);
	ck_assert(!record_of(&f)->released);
	move_fixture_event(&f);
	ck_assert_int_eq(f.apply.outcome.state, STATE_ENFORCED);
	move_fixture_done(&f);
}
END_TEST

/* In use by its host's driver, so policy cannot have it: it stays as it was. */
START_TEST(apply_that_is_refused_does_not_end_it)
{
	struct move_fixture f = released_fixture_new();

	move_fixture_use(&f);
	move_fixture_move(&f);
	ck_assert_int_eq(f.moved.error, MOVE_IN_USE);
	ck_assert(record_of(&f)->released);
	ck_assert_str_eq(record_of(&f)->reason, REASON_RELEASED);
	move_fixture_done(&f);
}
END_TEST

START_TEST(dry_run_releases_nothing)
{
	struct move_fixture f = move_fixture_new(RULE("vfio-pci"));

	move_fixture_move(&f);
	(void)kernel_writes(f.m);
	move_fixture_move_with(&f, (struct move_options){ .release = true, .dry_run = true });
	assert_moved(&f, "unmanaged", "", "vfio-pci", "vfio-pci", true);
	ck_assert_str_eq(f.moved.reason,
			 "would unbind it from vfio-pci, clear driver_override, have it probed");
	ck_assert_str_eq(kernel_writes(f.m), "");
	ck_assert(!record_of(&f)->released);
	move_fixture_done(&f);
}
END_TEST

START_TEST(device_in_use_is_released_by_force_only)
{
	struct move_fixture f = move_fixture_new(RULE("vfio-pci"));
	struct record before;

	move_fixture_move(&f);
	before = *record_of(&f);
	move_fixture_use(&f);
	device_release(&f);
	ck_assert_int_eq(f.moved.error, MOVE_IN_USE);
	ck_assert_str_eq(kernel_writes(f.m), "");
	ck_assert(record_equal(record_of(&f), &before));

	move_fixture_move_with(&f, (struct move_options){ .release = true, .rebind = REBIND_FORCE });
	assert_moved(&f, "unmanaged", "", "nvme", "", true);
	ck_assert(record_of(&f)->released);
	move_fixture_done(&f);
}
END_TEST

START_TEST(release_that_fails_is_none)
{
	struct move_fixture f = move_fixture_new(RULE("vfio-pci"));

	move_fixture_move(&f);
	kernel_refuses("override -", EIO);
	device_release(&f);
	ck_assert_int_eq(f.moved.error, MOVE_FAILED);
	ck_assert(!record_of(&f)->released);
	ck_assert_str_eq(record_of(&f)->owned_override, "vfio-pci");

	kernel_refuses("override -", 0);
	kernel_refuses("unbind vfio-pci", EBUSY);
	device_release(&f);
	ck_assert_int_eq(f.moved.error, MOVE_FAILED);
	ck_assert(!record_of(&f)->released);
	move_fixture_done(&f);
}
END_TEST

/* Decided, and not yet so: its driver is its own, and is not unbound. */
START_TEST(device_that_was_not_moved_yet_is_left_where_it_is)
{
	struct move_fixture f = move_fixture_new(RULE("vfio-pci"));

	move_fixture_event(&f);
	move_fixture_use(&f);
	device_release(&f);
	assert_moved(&f, "unmanaged", "", "nvme", "", true);
	ck_assert_str_eq(kernel_writes(f.m), "override -");
	ck_assert(record_of(&f)->released);
	move_fixture_done(&f);
}
END_TEST

START_TEST(override_of_another_stays)
{
	struct move_fixture f = move_fixture_new(RULE("vfio-pci"));

	mock_attr(f.m, f.device, "driver_override", "other\n");
	device_release(&f);
	assert_moved(&f, "foreign", "", "nvme", "other", true);
	ck_assert_str_eq(kernel_writes(f.m), "");
	ck_assert(record_of(&f)->released);
	move_fixture_done(&f);
}
END_TEST

START_TEST(device_that_nothing_is_decided_about_is_not_noted)
{
	struct move_fixture f = move_fixture_new("");

	device_release(&f);
	assert_moved(&f, "unmanaged", "", "nvme", "", false);
	ck_assert_str_eq(f.moved.reason, "");
	ck_assert(!mock_record(f.m, f.device, &f.record));
	move_fixture_done(&f);
}
END_TEST

/* An enforcer that decided before the release, and comes to write after it. */
START_TEST(record_of_before_does_not_replace_it)
{
	struct move_fixture f = released_fixture_new();
	struct record late = { .inode = record_of(&f)->inode, .state = STATE_PENDING };
	struct record_key key = { "pci", "0000:00:03.0", late.inode, f.m->sysfs, f.device };

	(void)strcpy(late.owned_override, "vfio-pci");
	ck_assert_int_eq(record_write(f.m->state, key, &late), -ECANCELED);
	ck_assert(record_of(&f)->released);
	ck_assert_str_eq(record_of(&f)->owned_override, "");
	ck_assert_int_eq(record_set_released(f.m->state, key, false), 0);
	ck_assert_int_eq(record_write(f.m->state, key, &late), 0);
	move_fixture_done(&f);
}
END_TEST

/* Another card in its place has nothing to do with it. */
START_TEST(another_device_of_its_name_is_not_released)
{
	struct move_fixture f = released_fixture_new();

	mock_remove(f.m, f.device);
	(void)mock_pci_add(f.m, "0000:00:03.0", NULL, 0x8086, 0x10d3, 0x020000);
	f.apply.occasion = OCCASION_ADDED;
	move_fixture_event(&f);
	ck_assert(!f.apply.outcome.released);
	ck_assert(f.apply.outcome.wrote);
	move_fixture_done(&f);
}
END_TEST

SUITE_MAIN("move-release", 60, device_goes_back_to_its_own_driver, events_and_background_moves_leave_it_alone,
	   apply_ends_it, apply_that_is_refused_does_not_end_it, dry_run_releases_nothing,
	   device_in_use_is_released_by_force_only, release_that_fails_is_none,
	   device_that_was_not_moved_yet_is_left_where_it_is, override_of_another_stays,
	   device_that_nothing_is_decided_about_is_not_noted, record_of_before_does_not_replace_it,
	   another_device_of_its_name_is_not_released)
