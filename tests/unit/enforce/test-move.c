/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A device is moved from one driver to another: which steps, in which order, and what is refused. */
#include "base/file.h"
#include "base/macro.h"
#include "base/text.h"
#include "state/intent.h"
#include "tests/unit/fixtures/move-fixture.h"
#include "tests/unit/fixtures/suite.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

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

START_TEST(bound_to_the_right_driver_only_the_override_is_written)
{
	struct move_fixture f = move_fixture_new(RULE("nvme"));

	move_fixture_move(&f);
	assert_moved(&f, "enforced", "", "nvme", "nvme", true);
	ck_assert_str_eq(kernel_writes(f.m), "override nvme");
	move_fixture_done(&f);
}
END_TEST

START_TEST(driverless_it_is_probed)
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

START_TEST(default_gives_up_the_driver_that_came_by_ours)
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
START_TEST(default_where_the_override_named_the_driver_that_it_had)
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
START_TEST(default_where_its_own_driver_came_by_ours)
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

START_TEST(rule_taken_away_and_override_cleared_by_another)
{
	struct move_fixture f = move_fixture_new(RULE("vfio-pci"));

	move_fixture_move(&f);
	apply_fixture_set_policy(&f.apply, "");
	mock_attr(f.m, f.device, "driver_override", "(null)\n");
	(void)kernel_writes(f.m);
	move_fixture_move(&f);
	assert_moved(&f, "unmanaged", "", "nvme", "", true);
	ck_assert_str_eq(kernel_writes(f.m), "unbind vfio-pci, probe");
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

START_TEST(foreign_override_is_replaced_on_request_only)
{
	struct move_fixture f = move_fixture_new(RULE("vfio-pci"));

	mock_attr(f.m, f.device, "driver_override", "foreign\n");
	move_fixture_move_with(&f, (struct move_options){ .rebind = REBIND_FORCE });
	assert_moved(&f, "foreign", "Foreign", "nvme", "foreign", false);
	ck_assert_ptr_nonnull(strstr(f.moved.reason, "foreign"));
	ck_assert_str_eq(kernel_writes(f.m), "");
	ck_assert_int_eq(record_of(&f)->state, STATE_FOREIGN);

	move_fixture_move_with(&f, (struct move_options){ .overwrite = true });
	assert_moved(&f, "enforced", "", "vfio-pci", "vfio-pci", true);
	ck_assert_str_eq(kernel_writes(f.m), "unbind nvme, override vfio-pci, probe");
	ck_assert_str_eq(record_of(&f)->owned_override, "vfio-pci");
	move_fixture_done(&f);
}
END_TEST

START_TEST(override_that_the_kernel_has_set_is_never_replaced)
{
	struct move_fixture f = move_fixture_new(RULE("none"));
	const char *pf = mock_pci_add(f.m, "0000:00:02.0", NULL, 0x1b36, 0x0010, 0x010802);

	mock_physfn(f.m, f.device, pf, 0);
	mock_attr(f.m, f.device, "driver_override", "vfio-pci\n");
	mock_bind(f.m, pf, "vfio-pci");
	move_fixture_move_with(&f, (struct move_options){ .overwrite = true, .rebind = REBIND_FORCE });
	assert_moved(&f, "foreign", "Foreign", "nvme", "vfio-pci", false);
	ck_assert_ptr_nonnull(strstr(f.moved.reason, "kernel"));

	/* Where the physical function is the host's, it was somebody else. */
	mock_bind(f.m, pf, "nvme");
	move_fixture_move_with(&f, (struct move_options){ .overwrite = true });
	assert_moved(&f, "enforced", "", "", "none", true);
	move_fixture_done(&f);
}
END_TEST

START_TEST(override_of_a_child_of_a_vfio_container_is_never_replaced)
{
	struct move_fixture f = move_fixture_new("[device x]\nName=dpni.1\nDriver=none\n");
	const char *container = mock_device_add(f.m, "fsl-mc", "/devices/platform/soc", "dprc.2", true);

	f.device = mock_device_add(f.m, "fsl-mc", container, "dpni.1", true);
	mock_bind(f.m, container, "vfio-fsl-mc");
	mock_attr(f.m, f.device, "driver_override", "vfio-fsl-mc\n");
	move_fixture_move_with(&f, (struct move_options){ .overwrite = true });
	assert_moved(&f, "foreign", "Foreign", "", "vfio-fsl-mc", false);
	move_fixture_done(&f);
}
END_TEST

START_TEST(override_of_a_driver_that_is_part_of_rpmsg_is_never_replaced)
{
	static const char *const overrides[] = { "rpmsg_ctrl", "rpmsg_ns" };
	struct move_fixture f = move_fixture_new("[device x]\nBus=rpmsg\nDriver=none\n");

	f.device = mock_device_add(f.m, "rpmsg", "/devices/platform/rproc", "virtio0.rpmsg_ctrl.0.0", true);
	for (size_t i = 0; i < ELEMENTSOF(overrides); i++) {
		mock_attr(f.m, f.device, "driver_override", mock_printf(f.m, "%s\n", overrides[i]));
		move_fixture_move_with(&f,
				       (struct move_options){ .overwrite = true, .rebind = REBIND_FORCE });
		assert_moved(&f, "foreign", "Foreign", "", overrides[i], false);
		ck_assert_ptr_nonnull(strstr(f.moved.reason, "the kernel"));
	}
	mock_attr(f.m, f.device, "driver_override", "rpmsg_chrdev\n");
	move_fixture_move_with(&f, (struct move_options){ .overwrite = true });
	assert_moved(&f, "enforced", "", "", "none", true);
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
	ck_assert_str_eq(record_of(&f)->first_probe, "lost");
	move_fixture_done(&f);
}
END_TEST

/* A group's overrides are all written first; the look at this one's driver comes with a later step. */
START_TEST(first_probe_that_was_won_at_first_sight_only)
{
	struct move_fixture f = move_fixture_new(RULE("none"));

	mock_unbind(f.m, f.device);
	move_fixture_event(&f);
	ck_assert_str_eq(record_of(&f)->first_probe, "won");
	mock_bind(f.m, f.device, "nvme");
	move_fixture_event(&f);
	ck_assert_str_eq(record_of(&f)->first_probe, "lost");
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

START_TEST(in_use_it_stays_and_by_force_it_does_not)
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
		move_fixture_move_with(&f, (struct move_options){ .rebind = REBIND_FORCE });
		assert_moved(&f, "enforced", "", i == 0 ? "vfio-pci" : "", drivers[i], true);
		move_fixture_done(&f);
	}
}
END_TEST

START_TEST(rebind_of_the_rule_and_instead_of_it)
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

START_TEST(rebind_no_with_a_foreign_override)
{
	struct move_fixture f = move_fixture_new(RULE("vfio-pci") "Rebind=no\n");

	mock_attr(f.m, f.device, "driver_override", "foreign\n");
	move_fixture_move_with(&f, (struct move_options){ .overwrite = true });
	assert_moved(&f, "blocked", "", "nvme", "vfio-pci", true);
	move_fixture_done(&f);
}
END_TEST

START_TEST(rebind_no_of_what_no_rule_decides)
{
	struct move_fixture f = move_fixture_new(RULE("vfio-pci"));

	move_fixture_move(&f);
	apply_fixture_set_policy(&f.apply, "");
	(void)kernel_writes(f.m);
	move_fixture_move_with(&f, (struct move_options){ .rebind = REBIND_NO });
	assert_moved(&f, "blocked", "", "vfio-pci", "vfio-pci", false);
	ck_assert_str_eq(kernel_writes(f.m), "");
	/* And it is not forgotten. */
	move_fixture_move(&f);
	assert_moved(&f, "unmanaged", "", "nvme", "", true);
	move_fixture_done(&f);
}
END_TEST

START_TEST(rebind_no_whose_override_cannot_be_written)
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
	make_file(mock_printf(f.m, "%s/present", f.m->state), mock_printf(f.m, "%s\n", boot_id()),
		  strlen(boot_id()) + 1);
	move_fixture_move(&f);
	assert_moved(&f, state, "", driver, streq(group, "vfio") ? "vfio-pci" : "none", true);
	if (streq(group, "hold")) {
		move_fixture_move_with(&f, (struct move_options){ .rebind = REBIND_SAFE });
		assert_moved(&f, "held", "", "", "none", true);
	}
	move_fixture_done(&f);
}

START_TEST(companion_is_moved_but_not_for_holding)
{
	with_companion("hold", "blocked", "nvme");
	with_companion("vfio", "enforced", "vfio-pci");
	with_companion("none", "held", "");
}
END_TEST

/* The guard has written an override, the kernel has bound a driver by it, and the guard was killed over that.
 */
static void guard_dies_writing(struct move_fixture *f, const char *override)
{
	struct intents *intents;

	ck_assert_int_eq(intents_open(f->m->settings.state_dir, &intents), 0);
	ck_assert_ptr_nonnull(intent_begin(intents, "pci", "0000:00:03.0", override));
	mock_attr(f->m, f->device, "driver_override", mock_printf(f->m, "%s\n", override));
	mock_unbind(f->m, f->device);
	kernel_bind(f->m, f->device, override);
}

START_TEST(override_over_which_the_guard_died_is_replaced)
{
	struct move_fixture f = move_fixture_new(RULE("nvme"));

	guard_dies_writing(&f, "vfio-pci");
	move_fixture_move(&f);
	assert_moved(&f, "enforced", "", "nvme", "nvme", true);
	ck_assert_str_eq(record_of(&f)->owned_override, "nvme");
	move_fixture_done(&f);
}
END_TEST

START_TEST(override_over_which_the_guard_died_is_given_back)
{
	struct move_fixture f = move_fixture_new("");

	guard_dies_writing(&f, "vfio-pci");
	move_fixture_move(&f);
	assert_moved(&f, "unmanaged", "", "nvme", "", true);
	ck_assert_str_eq(kernel_writes(f.m), "unbind vfio-pci, override -, probe");
	move_fixture_done(&f);
}
END_TEST

SUITE_MAIN("move", 40, override_of_a_driver_that_is_part_of_rpmsg_is_never_replaced,
	   first_probe_that_was_on_its_way_is_lost, first_probe_that_was_won_at_first_sight_only,
	   override_over_which_the_guard_died_is_replaced, override_over_which_the_guard_died_is_given_back,
	   unbind_then_override_then_probe, none_is_unbound_and_not_probed,
	   bound_to_the_right_driver_only_the_override_is_written, driverless_it_is_probed,
	   default_gives_up_the_driver_that_came_by_ours,
	   default_where_the_override_named_the_driver_that_it_had, default_where_its_own_driver_came_by_ours,
	   default_after_an_event_that_has_cleared_the_override,
	   default_of_a_device_that_has_no_driver_of_its_own, rule_taken_away_gives_the_device_back,
	   rule_taken_away_and_override_cleared_by_another, without_a_decision_nothing_is_touched,
	   foreign_override_is_replaced_on_request_only, override_that_the_kernel_has_set_is_never_replaced,
	   override_of_a_child_of_a_vfio_container_is_never_replaced, driver_that_does_not_exist,
	   in_use_it_stays_and_by_force_it_does_not, rebind_of_the_rule_and_instead_of_it,
	   rebind_no_with_a_foreign_override, rebind_no_of_what_no_rule_decides,
	   rebind_no_whose_override_cannot_be_written, companion_is_moved_but_not_for_holding)
