/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A device is moved from one driver to another: which steps, in which order, and what is refused. */
#include "base/file.h"
#include "base/macro.h"
#include "base/text.h"
#include "state/intent.h"
#include "state/record-file.h"
#include "tests/unit/fixtures/move-fixture.h"
#include "tests/unit/fixtures/suite.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

START_TEST(unbind_then_override_then_probe)
{
	struct move_fixture f = move_fixture_new(RULE("vfio-pci"));

	move_fixture_move(&f);
	assert_moved(&f, "enforced", "", "vfio-pci", "vfio-pci", true);
	ck_assert_str_eq(f.moved.reason, "");
	ck_assert_str_eq(f.moved.decision, "vfio-pci");
	ck_assert_str_eq(kernel_writes(f.m), "unbind nvme, override vfio-pci, probe");
	ck_assert_str_eq(record_of(&f)->owned_override, "vfio-pci");
	ck_assert_int_eq(record_of(&f)->state, STATE_ENFORCED);

	/* Once there, nothing more is done. */
	move_fixture_move(&f);
	assert_moved(&f, "enforced", "", "vfio-pci", "vfio-pci", false);
	ck_assert_str_eq(kernel_writes(f.m), "");
	move_fixture_done(&f);
}
END_TEST

START_TEST(none_is_unbound_and_not_probed)
{
	struct move_fixture f = move_fixture_new(RULE("none"));

	move_fixture_move(&f);
	assert_moved(&f, "enforced", "", "", "none", true);
	ck_assert_str_eq(kernel_writes(f.m), "unbind nvme, override none");
	move_fixture_done(&f);
}
END_TEST

START_TEST(device_with_the_right_driver_gets_only_the_override)
{
	struct move_fixture f = move_fixture_new(RULE("nvme"));

	move_fixture_move(&f);
	assert_moved(&f, "enforced", "", "nvme", "nvme", true);
	ck_assert_str_eq(kernel_writes(f.m), "override nvme");
	move_fixture_done(&f);
}
END_TEST

/* Its bind event does it only where udev knows the device as ours. */
START_TEST(group_has_its_node_announced)
{
	struct move_fixture f = move_fixture_new(RULE("vfio-pci"));
	const char *node = mock_printf(f.m, "%s/class/vfio/7", f.m->sysfs);
	const char *uevent = mock_printf(f.m, "%s/uevent", node);

	mock_group(f.m, 7, f.device, mock_pci_add(f.m, "0000:00:03.1", NULL, 0x8086, 0x10d3, 0x020000), NULL);
	make_dirs(node);
	make_file(uevent, "", 0);
	move_fixture_move(&f);
	assert_moved(&f, "enforced", "", "vfio-pci", "vfio-pci", true);
	ck_assert_str_eq(mock_read(f.m, uevent), "change");

	/* Once there, there is nothing to tell. */
	make_file(uevent, "", 0);
	move_fixture_move(&f);
	ck_assert_str_eq(mock_read(f.m, uevent), "");
	move_fixture_done(&f);
}
END_TEST

START_TEST(driverless_device_is_probed)
{
	struct move_fixture f = move_fixture_new(RULE("vfio-pci"));

	mock_unbind(f.m, f.device);
	move_fixture_use(&f); /* nobody asks where nothing is unbound */
	move_fixture_move(&f);
	assert_moved(&f, "enforced", "", "vfio-pci", "vfio-pci", true);
	ck_assert_str_eq(kernel_writes(f.m), "override vfio-pci, probe");
	move_fixture_done(&f);
}
END_TEST

START_TEST(default_gives_up_a_driver_that_came_by_our_override)
{
	struct move_fixture f = move_fixture_new(RULE("vfio-pci"));

	move_fixture_move(&f);
	apply_fixture_set_policy(&f.apply, RULE("default"));
	(void)kernel_writes(f.m);
	move_fixture_move(&f);
	assert_moved(&f, "enforced", "", "nvme", "", true);
	ck_assert_str_eq(kernel_writes(f.m), "unbind vfio-pci, override -, probe");
	ck_assert_str_eq(record_of(&f)->owned_override, "");
	move_fixture_move(&f);
	assert_moved(&f, "enforced", "", "nvme", "", false);
	move_fixture_done(&f);
}
END_TEST

/* It was there already: nothing is unbound for that, so nobody who uses the device is in the way. */
START_TEST(default_keeps_a_driver_that_came_before_our_override)
{
	struct move_fixture f = move_fixture_new(RULE("nvme"));

	move_fixture_use(&f);
	move_fixture_move(&f);
	ck_assert_str_eq(record_of(&f)->driver_before_override, "nvme");
	move_fixture_event(&f);
	apply_fixture_set_policy(&f.apply, RULE("default"));
	(void)kernel_writes(f.m);
	move_fixture_move(&f);
	assert_moved(&f, "enforced", "", "nvme", "", true);
	ck_assert_str_eq(kernel_writes(f.m), "override -");

	apply_fixture_set_policy(&f.apply, RULE("nvme"));
	move_fixture_move(&f);
	apply_fixture_set_policy(&f.apply, "");
	(void)kernel_writes(f.m);
	move_fixture_move(&f);
	assert_moved(&f, "unmanaged", "", "nvme", "", true);
	ck_assert_str_eq(kernel_writes(f.m), "override -");
	move_fixture_done(&f);
}
END_TEST

/* Whether it would have come by itself, nobody can tell. */
START_TEST(default_probes_again_where_its_own_driver_came_by_our_override)
{
	struct move_fixture f = move_fixture_new(RULE("nvme"));

	mock_unbind(f.m, f.device);
	move_fixture_move(&f);
	move_fixture_event(&f); /* finds it bound, which is no news */
	mock_attr(f.m, f.device, "driver_override", "(null)\n");
	move_fixture_event(&f); /* writes it again */
	ck_assert_str_eq(record_of(&f)->driver_before_override, "");
	apply_fixture_set_policy(&f.apply, RULE("default"));
	(void)kernel_writes(f.m);
	move_fixture_move(&f);
	assert_moved(&f, "enforced", "", "nvme", "", true);
	ck_assert_str_eq(kernel_writes(f.m), "unbind nvme, override -, probe");
	move_fixture_move(&f);
	assert_moved(&f, "enforced", "", "nvme", "", false);
	move_fixture_done(&f);
}
END_TEST

START_TEST(default_after_an_event_that_has_cleared_the_override)
{
	struct move_fixture f = move_fixture_new(RULE("vfio-pci"));

	move_fixture_move(&f);
	apply_fixture_set_policy(&f.apply, RULE("default"));
	move_fixture_event(&f);
	ck_assert_str_eq(record_of(&f)->driver_by_override, "vfio-pci");
	(void)kernel_writes(f.m);
	move_fixture_move(&f);
	assert_moved(&f, "enforced", "", "nvme", "", true);
	ck_assert_str_eq(kernel_writes(f.m), "unbind vfio-pci, probe");
	ck_assert_str_eq(record_of(&f)->driver_by_override, "");
	move_fixture_done(&f);
}
END_TEST

START_TEST(default_of_a_device_that_has_no_driver_of_its_own)
{
	struct move_fixture f = move_fixture_new(RULE("vfio-pci"));

	move_fixture_move(&f);
	kernel_refuses("bind nvme", ENODEV);
	apply_fixture_set_policy(&f.apply, RULE("default"));
	move_fixture_move(&f);
	assert_moved(&f, "enforced", "", "", "", true);
	move_fixture_done(&f);
}
END_TEST

START_TEST(rule_taken_away_gives_the_device_back)
{
	struct move_fixture f = move_fixture_new(RULE("vfio-pci"));
	struct record record;

	move_fixture_move(&f);
	apply_fixture_set_policy(&f.apply, "");
	(void)kernel_writes(f.m);
	move_fixture_move(&f);
	assert_moved(&f, "unmanaged", "", "nvme", "", true);
	ck_assert_str_eq(f.moved.decision, "");
	ck_assert_str_eq(kernel_writes(f.m), "unbind vfio-pci, override -, probe");
	ck_assert(!mock_record(f.m, f.device, &record));
	move_fixture_move(&f);
	assert_moved(&f, "unmanaged", "", "nvme", "", false);
	ck_assert_str_eq(kernel_writes(f.m), "");
	move_fixture_done(&f);
}
END_TEST

START_TEST(default_clears_a_text_that_reads_as_unset)
{
	struct move_fixture f = move_fixture_new(RULE("default"));

	mock_attr(f.m, f.device, "driver_override", "(null)\n");
	move_fixture_move(&f);
	ck_assert_str_eq(kernel_writes(f.m), ""); /* with a driver it is no harm */
	mock_unbind(f.m, f.device);
	move_fixture_move(&f);
	ck_assert_str_eq(kernel_writes(f.m), "override -, probe");
	assert_moved(&f, "enforced", "", "nvme", "", true);
	move_fixture_done(&f);
}
END_TEST

START_TEST(rule_taken_away_and_override_cleared_by_another)
{
	struct move_fixture f = move_fixture_new(RULE("vfio-pci"));

	move_fixture_move(&f);
	apply_fixture_set_policy(&f.apply, "");
	mock_attr(f.m, f.device, "driver_override", "(null)\n");
	(void)kernel_writes(f.m);
	move_fixture_move(&f);
	assert_moved(&f, "unmanaged", "", "nvme", "", true);
	/* The text may be an override that only reads as unset. */
	ck_assert_str_eq(kernel_writes(f.m), "unbind vfio-pci, override -, probe");
	move_fixture_done(&f);
}
END_TEST

START_TEST(without_a_decision_nothing_is_touched)
{
	struct move_fixture f = move_fixture_new("");

	move_fixture_move(&f);
	assert_moved(&f, "unmanaged", "", "nvme", "", false);
	mock_attr(f.m, f.device, "driver_override", "foreign\n");
	move_fixture_move_with(&f, (struct move_options){ .rebind = REBIND_FORCE, .overwrite = true });
	assert_moved(&f, "foreign", "", "nvme", "foreign", false);
	ck_assert_str_eq(kernel_writes(f.m), "");
	move_fixture_done(&f);
}
END_TEST

/* A move of it did not come back, and its rule has gone since. */
START_TEST(without_a_decision_no_record_is_kept)
{
	struct move_fixture f = move_fixture_new("");
	struct record_key key = { "pci", "0000:00:03.0", 0, f.m->sysfs, f.device };
	struct record record = { .state = STATE_STUCK };
	struct stat st;

	ck_assert_int_eq(stat(mock_path(f.m, f.device, ""), &st), 0);
	key.inode = record.inode = st.st_ino;
	ck_assert_int_eq(record_write(f.m->state, key, &record), 0);
	ck_assert(mock_record(f.m, f.device, &record));
	move_fixture_move_with(&f, (struct move_options){ .dry_run = true });
	assert_moved(&f, "unmanaged", "", "nvme", "", false);
	ck_assert(mock_record(f.m, f.device, &record));
	move_fixture_move(&f);
	assert_moved(&f, "unmanaged", "", "nvme", "", false);
	ck_assert(!mock_record(f.m, f.device, &record));
	ck_assert_str_eq(kernel_writes(f.m), "");
	move_fixture_done(&f);
}
END_TEST

/* It had matched before the override was written, and makes its link when the probe is waited for. */
START_TEST(first_probe_that_was_on_its_way_is_lost)
{
	struct move_fixture f = move_fixture_new(RULE("vfio-pci"));

	mock_unbind(f.m, f.device);
	kernel_has_matched("nvme");
	move_fixture_event(&f);
	ck_assert_str_eq(kernel_writes(f.m), "override vfio-pci, probe");
	ck_assert_int_eq(f.apply.outcome.state, STATE_PENDING);
	ck_assert_str_eq(first_probe_to_string(record_of(&f)->first_probe), "lost");
	move_fixture_done(&f);
}
END_TEST

/* A group's overrides are all written first; the look at this one's driver comes with a later step. */
START_TEST(first_probe_won_at_first_is_lost_at_the_second_look)
{
	struct move_fixture f = move_fixture_new(RULE("none"));

	mock_unbind(f.m, f.device);
	move_fixture_event(&f);
	ck_assert_str_eq(first_probe_to_string(record_of(&f)->first_probe), "won");
	mock_bind(f.m, f.device, "nvme");
	move_fixture_event(&f);
	ck_assert_str_eq(first_probe_to_string(record_of(&f)->first_probe), "lost");
	move_fixture_done(&f);
}
END_TEST

START_TEST(driver_that_does_not_exist)
{
	struct move_fixture f = move_fixture_new(RULE("nonsense"));

	move_fixture_move_with(&f, (struct move_options){ .rebind = REBIND_FORCE });
	assert_moved(&f, "failed", "NoSuchDriver", "nvme", "", false);
	ck_assert_ptr_nonnull(strstr(f.moved.reason, "nonsense"));
	ck_assert_str_eq(kernel_writes(f.m), "");
	ck_assert_int_eq(record_of(&f)->state, STATE_FAILED);
	ck_assert_str_eq(record_of(&f)->reason, f.moved.reason);
	ck_assert_str_eq(record_of(&f)->owned_override, "");

	/* What was ours before still is. */
	apply_fixture_set_policy(&f.apply, RULE("vfio-pci"));
	move_fixture_move(&f);
	apply_fixture_set_policy(&f.apply, RULE("nonsense"));
	move_fixture_move(&f);
	assert_moved(&f, "failed", "NoSuchDriver", "vfio-pci", "vfio-pci", false);
	ck_assert_str_eq(record_of(&f)->owned_override, "vfio-pci");
	ck_assert_str_eq(record_of(&f)->decision, "nonsense");
	move_fixture_done(&f);
}
END_TEST

START_TEST(device_in_use_is_moved_by_force_only)
{
	static const char *const drivers[] = { "vfio-pci", "none" };

	for (size_t i = 0; i < ELEMENTSOF(drivers); i++) {
		struct move_fixture f = move_fixture_new("");

		apply_fixture_set_policy(
			&f.apply, mock_printf(f.m, "[device x]\nName=0000:00:03.0\nDriver=%s\n", drivers[i]));
		move_fixture_use(&f);
		move_fixture_move(&f);
		assert_moved(&f, "blocked", "InUse", "nvme", "", false);
		ck_assert_str_eq(f.moved.reason, "in use: eth0 is a port of br0");
		ck_assert_str_eq(kernel_writes(f.m), "");
		ck_assert_int_eq(record_of(&f)->state, STATE_BLOCKED);
		ck_assert_str_eq(record_of(&f)->wait_for, "net");
		move_fixture_move_with(&f, (struct move_options){ .rebind = REBIND_FORCE });
		assert_moved(&f, "enforced", "", i == 0 ? "vfio-pci" : "", drivers[i], true);
		ck_assert_str_eq(record_of(&f)->wait_for, "");
		move_fixture_done(&f);
	}
}
END_TEST

START_TEST(rebind_option_counts_instead_of_the_rule)
{
	struct move_fixture f = move_fixture_new(RULE("vfio-pci") "Rebind=no\n");

	/* The override is written all the same, as `event` does it. */
	move_fixture_move(&f);
	assert_moved(&f, "blocked", "", "nvme", "vfio-pci", true);
	ck_assert_ptr_nonnull(strstr(f.moved.reason, "Rebind=no"));
	ck_assert_str_eq(kernel_writes(f.m), "override vfio-pci");
	ck_assert_int_eq(record_of(&f)->state, STATE_BLOCKED);
	ck_assert_str_eq(record_of(&f)->owned_override, "vfio-pci");
	move_fixture_use(&f);
	move_fixture_move_with(&f, (struct move_options){ .rebind = REBIND_SAFE });
	assert_moved(&f, "blocked", "InUse", "nvme", "vfio-pci", false);

	apply_fixture_set_policy(&f.apply, RULE("vfio-pci") "Rebind=force\n");
	move_fixture_move_with(&f, (struct move_options){ .rebind = REBIND_NO });
	assert_moved(&f, "blocked", "", "nvme", "vfio-pci", false);
	ck_assert_int_eq(record_of(&f)->state, STATE_BLOCKED);
	move_fixture_move(&f);
	assert_moved(&f, "enforced", "", "vfio-pci", "vfio-pci", true);
	move_fixture_done(&f);
}
END_TEST

START_TEST(rebind_no_without_a_rule)
{
	struct move_fixture f = move_fixture_new(RULE("vfio-pci"));

	move_fixture_move(&f);
	apply_fixture_set_policy(&f.apply, "");
	(void)kernel_writes(f.m);
	move_fixture_move_with(&f, (struct move_options){ .rebind = REBIND_NO });
	assert_moved(&f, "blocked", "", "vfio-pci", "vfio-pci", false);
	ck_assert_str_eq(kernel_writes(f.m), "");
	/* The override is not forgotten: the next move clears it. */
	move_fixture_move(&f);
	assert_moved(&f, "unmanaged", "", "nvme", "", true);
	move_fixture_done(&f);
}
END_TEST

START_TEST(rebind_no_fails_where_the_override_cannot_be_written)
{
	struct move_fixture f = move_fixture_new(RULE("vfio-pci") "Rebind=no\n");

	kernel_refuses("override vfio-pci", EPERM);
	move_fixture_move(&f);
	assert_moved(&f, "failed", "Failed", "nvme", "", false);
	move_fixture_done(&f);
}
END_TEST

/* A companion that has a driver: held, it keeps that; given another, it moves. */
static void with_companion(const char *group, const char *state, const char *driver)
{
	struct move_fixture f = move_fixture_new("");
	const char *gpu = mock_pci_add(f.m, "0000:00:02.0", NULL, 0x10de, 0x1b80, 0x030000);

	apply_fixture_set_policy(
		&f.apply,
		mock_printf(f.m, "[device x]\nName=0000:00:02.0\nDriver=vfio-pci\nGroup=%s\n", group));
	mock_group(f.m, 1, gpu, f.device, NULL);
	make_dirs(f.m->state);
	make_file(mock_printf(f.m, "%s/present", f.m->state), mock_printf(f.m, "%s\ncomplete\n", boot_id()),
		  strlen(boot_id()) + strlen("\ncomplete\n"));
	move_fixture_move(&f);
	assert_moved(&f, state, "", driver, streq(group, "vfio") ? "vfio-pci" : "none", true);
	if (streq(group, "hold")) {
		move_fixture_move_with(&f, (struct move_options){ .rebind = REBIND_SAFE });
		assert_moved(&f, "held", "", "", "none", true);
	}
	move_fixture_done(&f);
}

START_TEST(group_member_is_moved_except_for_hold)
{
	with_companion("hold", "blocked", "nvme");
	with_companion("vfio", "enforced", "vfio-pci");
	with_companion("none", "held", "");
}
END_TEST

SUITE_MAIN("move", 40, default_clears_a_text_that_reads_as_unset, first_probe_that_was_on_its_way_is_lost,
	   first_probe_won_at_first_is_lost_at_the_second_look, unbind_then_override_then_probe,
	   none_is_unbound_and_not_probed, device_with_the_right_driver_gets_only_the_override,
	   group_has_its_node_announced, driverless_device_is_probed,
	   default_gives_up_a_driver_that_came_by_our_override,
	   default_keeps_a_driver_that_came_before_our_override,
	   default_probes_again_where_its_own_driver_came_by_our_override,
	   default_after_an_event_that_has_cleared_the_override,
	   default_of_a_device_that_has_no_driver_of_its_own, rule_taken_away_gives_the_device_back,
	   rule_taken_away_and_override_cleared_by_another, without_a_decision_nothing_is_touched,
	   without_a_decision_no_record_is_kept, driver_that_does_not_exist,
	   device_in_use_is_moved_by_force_only, rebind_option_counts_instead_of_the_rule,
	   rebind_no_without_a_rule, rebind_no_fails_where_the_override_cannot_be_written,
	   group_member_is_moved_except_for_hold)
