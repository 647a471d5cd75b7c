/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A device is moved from one driver to another: which steps, in which order, and what is refused. */
#include "state/intent.h"
#include "tests/unit/fixtures/move-fixture.h"
#include "tests/unit/fixtures/suite.h"

START_TEST(unbind_then_override_then_probe)
{
	struct stage s = stage_new(RULE("vfio-pci"));

	move(&s);
	assert_moved(&s, "enforced", "", "vfio-pci", "vfio-pci", true);
	ck_assert_str_eq(s.moved.reason, "");
	ck_assert_str_eq(s.moved.decision, "vfio-pci");
	ck_assert_str_eq(kernel_writes(s.m), "unbind nvme, override vfio-pci, probe");
	ck_assert_str_eq(record_of(&s)->owned_override, "vfio-pci");
	ck_assert_str_eq(record_of(&s)->state, "enforced");

	/* Once there, nothing more is done. */
	move(&s);
	assert_moved(&s, "enforced", "", "vfio-pci", "vfio-pci", false);
	ck_assert_str_eq(kernel_writes(s.m), "");
	stage_done(&s);
}
END_TEST

START_TEST(none_is_unbound_and_not_probed)
{
	struct stage s = stage_new(RULE("none"));

	move(&s);
	assert_moved(&s, "enforced", "", "", "none", true);
	ck_assert_str_eq(kernel_writes(s.m), "unbind nvme, override none");
	stage_done(&s);
}
END_TEST

START_TEST(bound_to_the_right_driver_only_the_override_is_written)
{
	struct stage s = stage_new(RULE("nvme"));

	move(&s);
	assert_moved(&s, "enforced", "", "nvme", "nvme", true);
	ck_assert_str_eq(kernel_writes(s.m), "override nvme");
	stage_done(&s);
}
END_TEST

START_TEST(driverless_it_is_probed)
{
	struct stage s = stage_new(RULE("vfio-pci"));

	mock_unbind(s.m, s.device);
	use(&s); /* nobody asks where nothing is unbound */
	move(&s);
	assert_moved(&s, "enforced", "", "vfio-pci", "vfio-pci", true);
	ck_assert_str_eq(kernel_writes(s.m), "override vfio-pci, probe");
	stage_done(&s);
}
END_TEST

START_TEST(default_gives_up_the_driver_that_came_by_ours)
{
	struct stage s = stage_new(RULE("vfio-pci"));

	move(&s);
	new_policy(&s.b, RULE("default"));
	(void)kernel_writes(s.m);
	move(&s);
	assert_moved(&s, "enforced", "", "nvme", "", true);
	ck_assert_str_eq(kernel_writes(s.m), "unbind vfio-pci, override -, probe");
	ck_assert_str_eq(record_of(&s)->owned_override, "");
	move(&s);
	assert_moved(&s, "enforced", "", "nvme", "", false);
	stage_done(&s);
}
END_TEST

/* It was there already: nothing is unbound for that, so nobody who uses the device is in the way. */
START_TEST(default_where_the_override_named_the_driver_that_it_had)
{
	struct stage s = stage_new(RULE("nvme"));

	use(&s);
	move(&s);
	ck_assert_str_eq(record_of(&s)->driver_before_override, "nvme");
	event(&s);
	new_policy(&s.b, RULE("default"));
	(void)kernel_writes(s.m);
	move(&s);
	assert_moved(&s, "enforced", "", "nvme", "", true);
	ck_assert_str_eq(kernel_writes(s.m), "override -");

	new_policy(&s.b, RULE("nvme"));
	move(&s);
	new_policy(&s.b, "");
	(void)kernel_writes(s.m);
	move(&s);
	assert_moved(&s, "unmanaged", "", "nvme", "", true);
	ck_assert_str_eq(kernel_writes(s.m), "override -");
	stage_done(&s);
}
END_TEST

/* Whether it would have come by itself, nobody can tell. */
START_TEST(default_where_its_own_driver_came_by_ours)
{
	struct stage s = stage_new(RULE("nvme"));

	mock_unbind(s.m, s.device);
	move(&s);
	event(&s); /* finds it bound, which is no news */
	mock_attr(s.m, s.device, "driver_override", "(null)\n");
	event(&s); /* writes it again */
	ck_assert_str_eq(record_of(&s)->driver_before_override, "");
	new_policy(&s.b, RULE("default"));
	(void)kernel_writes(s.m);
	move(&s);
	assert_moved(&s, "enforced", "", "nvme", "", true);
	ck_assert_str_eq(kernel_writes(s.m), "unbind nvme, override -, probe");
	move(&s);
	assert_moved(&s, "enforced", "", "nvme", "", false);
	stage_done(&s);
}
END_TEST

START_TEST(default_after_an_event_that_has_cleared_the_override)
{
	struct stage s = stage_new(RULE("vfio-pci"));

	move(&s);
	new_policy(&s.b, RULE("default"));
	event(&s);
	ck_assert_str_eq(record_of(&s)->driver_by_override, "vfio-pci");
	(void)kernel_writes(s.m);
	move(&s);
	assert_moved(&s, "enforced", "", "nvme", "", true);
	ck_assert_str_eq(kernel_writes(s.m), "unbind vfio-pci, probe");
	ck_assert_str_eq(record_of(&s)->driver_by_override, "");
	stage_done(&s);
}
END_TEST

START_TEST(default_of_a_device_that_has_no_driver_of_its_own)
{
	struct stage s = stage_new(RULE("vfio-pci"));

	move(&s);
	kernel_refuses("bind nvme", ENODEV);
	new_policy(&s.b, RULE("default"));
	move(&s);
	assert_moved(&s, "enforced", "", "", "", true);
	stage_done(&s);
}
END_TEST

START_TEST(rule_taken_away_gives_the_device_back)
{
	struct stage s = stage_new(RULE("vfio-pci"));
	struct record record;

	move(&s);
	new_policy(&s.b, "");
	(void)kernel_writes(s.m);
	move(&s);
	assert_moved(&s, "unmanaged", "", "nvme", "", true);
	ck_assert_str_eq(s.moved.decision, "");
	ck_assert_str_eq(kernel_writes(s.m), "unbind vfio-pci, override -, probe");
	ck_assert(!mock_record(s.m, s.device, &record));
	move(&s);
	assert_moved(&s, "unmanaged", "", "nvme", "", false);
	ck_assert_str_eq(kernel_writes(s.m), "");
	stage_done(&s);
}
END_TEST

START_TEST(rule_taken_away_and_override_cleared_by_another)
{
	struct stage s = stage_new(RULE("vfio-pci"));

	move(&s);
	new_policy(&s.b, "");
	mock_attr(s.m, s.device, "driver_override", "(null)\n");
	(void)kernel_writes(s.m);
	move(&s);
	assert_moved(&s, "unmanaged", "", "nvme", "", true);
	ck_assert_str_eq(kernel_writes(s.m), "unbind vfio-pci, probe");
	stage_done(&s);
}
END_TEST

START_TEST(without_a_decision_nothing_is_touched)
{
	struct stage s = stage_new("");

	move(&s);
	assert_moved(&s, "unmanaged", "", "nvme", "", false);
	mock_attr(s.m, s.device, "driver_override", "foreign\n");
	move_with(&s, (struct move_options){ .rebind = REBIND_FORCE, .overwrite = true });
	assert_moved(&s, "foreign", "", "nvme", "foreign", false);
	ck_assert_str_eq(kernel_writes(s.m), "");
	stage_done(&s);
}
END_TEST

START_TEST(foreign_override_is_replaced_on_request_only)
{
	struct stage s = stage_new(RULE("vfio-pci"));

	mock_attr(s.m, s.device, "driver_override", "foreign\n");
	move_with(&s, (struct move_options){ .rebind = REBIND_FORCE });
	assert_moved(&s, "foreign", "Foreign", "nvme", "foreign", false);
	ck_assert_ptr_nonnull(strstr(s.moved.reason, "foreign"));
	ck_assert_str_eq(kernel_writes(s.m), "");
	ck_assert_str_eq(record_of(&s)->state, "foreign");

	move_with(&s, (struct move_options){ .overwrite = true });
	assert_moved(&s, "enforced", "", "vfio-pci", "vfio-pci", true);
	ck_assert_str_eq(kernel_writes(s.m), "unbind nvme, override vfio-pci, probe");
	ck_assert_str_eq(record_of(&s)->owned_override, "vfio-pci");
	stage_done(&s);
}
END_TEST

START_TEST(override_that_the_kernel_has_set_is_never_replaced)
{
	struct stage s = stage_new(RULE("none"));
	const char *pf = mock_pci_add(s.m, "0000:00:02.0", NULL, 0x1b36, 0x0010, 0x010802);

	mock_physfn(s.m, s.device, pf, 0);
	mock_attr(s.m, s.device, "driver_override", "vfio-pci\n");
	mock_bind(s.m, pf, "vfio-pci");
	move_with(&s, (struct move_options){ .overwrite = true, .rebind = REBIND_FORCE });
	assert_moved(&s, "foreign", "Foreign", "nvme", "vfio-pci", false);
	ck_assert_ptr_nonnull(strstr(s.moved.reason, "kernel"));

	/* Where the physical function is the host's, it was somebody else. */
	mock_bind(s.m, pf, "nvme");
	move_with(&s, (struct move_options){ .overwrite = true });
	assert_moved(&s, "enforced", "", "", "none", true);
	stage_done(&s);
}
END_TEST

START_TEST(override_of_a_child_of_a_vfio_container_is_never_replaced)
{
	struct stage s = stage_new("[device x]\nName=dpni.1\nDriver=none\n");
	const char *container = mock_device_add(s.m, "fsl-mc", "/devices/platform/soc", "dprc.2", true);

	s.device = mock_device_add(s.m, "fsl-mc", container, "dpni.1", true);
	mock_bind(s.m, container, "vfio-fsl-mc");
	mock_attr(s.m, s.device, "driver_override", "vfio-fsl-mc\n");
	move_with(&s, (struct move_options){ .overwrite = true });
	assert_moved(&s, "foreign", "Foreign", "", "vfio-fsl-mc", false);
	stage_done(&s);
}
END_TEST

START_TEST(override_of_a_driver_that_is_part_of_rpmsg_is_never_replaced)
{
	static const char *const overrides[] = { "rpmsg_ctrl", "rpmsg_ns" };
	struct stage s = stage_new("[device x]\nBus=rpmsg\nDriver=none\n");

	s.device = mock_device_add(s.m, "rpmsg", "/devices/platform/rproc", "virtio0.rpmsg_ctrl.0.0", true);
	for (size_t i = 0; i < ELEMENTSOF(overrides); i++) {
		mock_attr(s.m, s.device, "driver_override", mock_printf(s.m, "%s\n", overrides[i]));
		move_with(&s, (struct move_options){ .overwrite = true, .rebind = REBIND_FORCE });
		assert_moved(&s, "foreign", "Foreign", "", overrides[i], false);
		ck_assert_ptr_nonnull(strstr(s.moved.reason, "the kernel"));
	}
	mock_attr(s.m, s.device, "driver_override", "rpmsg_chrdev\n");
	move_with(&s, (struct move_options){ .overwrite = true });
	assert_moved(&s, "enforced", "", "", "none", true);
	stage_done(&s);
}
END_TEST

/* It had matched before the override was written, and makes its link when the probe is waited for. */
START_TEST(first_probe_that_was_on_its_way_is_lost)
{
	struct stage s = stage_new(RULE("vfio-pci"));

	mock_unbind(s.m, s.device);
	kernel_has_matched("nvme");
	event(&s);
	ck_assert_str_eq(kernel_writes(s.m), "override vfio-pci, probe");
	ck_assert_int_eq(s.b.outcome.state, STATE_PENDING);
	ck_assert_str_eq(record_of(&s)->first_probe, "lost");
	stage_done(&s);
}
END_TEST

/* A group's overrides are all written first; the look at this one's driver comes with a later step. */
START_TEST(first_probe_that_was_won_at_first_sight_only)
{
	struct stage s = stage_new(RULE("none"));

	mock_unbind(s.m, s.device);
	event(&s);
	ck_assert_str_eq(record_of(&s)->first_probe, "won");
	mock_bind(s.m, s.device, "nvme");
	event(&s);
	ck_assert_str_eq(record_of(&s)->first_probe, "lost");
	stage_done(&s);
}
END_TEST

START_TEST(driver_that_does_not_exist)
{
	struct stage s = stage_new(RULE("nonsense"));

	move_with(&s, (struct move_options){ .rebind = REBIND_FORCE });
	assert_moved(&s, "failed", "NoSuchDriver", "nvme", "", false);
	ck_assert_ptr_nonnull(strstr(s.moved.reason, "nonsense"));
	ck_assert_str_eq(kernel_writes(s.m), "");
	ck_assert_str_eq(record_of(&s)->state, "failed");
	ck_assert_str_eq(record_of(&s)->reason, s.moved.reason);
	ck_assert_str_eq(record_of(&s)->owned_override, "");

	/* What was ours before still is. */
	new_policy(&s.b, RULE("vfio-pci"));
	move(&s);
	new_policy(&s.b, RULE("nonsense"));
	move(&s);
	assert_moved(&s, "failed", "NoSuchDriver", "vfio-pci", "vfio-pci", false);
	ck_assert_str_eq(record_of(&s)->owned_override, "vfio-pci");
	ck_assert_str_eq(record_of(&s)->decision, "nonsense");
	stage_done(&s);
}
END_TEST

START_TEST(in_use_it_stays_and_by_force_it_does_not)
{
	static const char *const drivers[] = { "vfio-pci", "none" };

	for (size_t i = 0; i < ELEMENTSOF(drivers); i++) {
		struct stage s = stage_new("");

		new_policy(&s.b, mock_printf(s.m, "[device x]\nName=0000:00:03.0\nDriver=%s\n", drivers[i]));
		use(&s);
		move(&s);
		assert_moved(&s, "blocked", "InUse", "nvme", "", false);
		ck_assert_str_eq(s.moved.reason, "in use: eth0 is a port of br0");
		ck_assert_str_eq(kernel_writes(s.m), "");
		ck_assert_str_eq(record_of(&s)->state, "blocked");
		move_with(&s, (struct move_options){ .rebind = REBIND_FORCE });
		assert_moved(&s, "enforced", "", i == 0 ? "vfio-pci" : "", drivers[i], true);
		stage_done(&s);
	}
}
END_TEST

START_TEST(rebind_of_the_rule_and_instead_of_it)
{
	struct stage s = stage_new(RULE("vfio-pci") "Rebind=no\n");

	/* The override is written all the same, as `event` does it. */
	move(&s);
	assert_moved(&s, "blocked", "", "nvme", "vfio-pci", true);
	ck_assert_ptr_nonnull(strstr(s.moved.reason, "Rebind=no"));
	ck_assert_str_eq(kernel_writes(s.m), "override vfio-pci");
	ck_assert_str_eq(record_of(&s)->state, "blocked");
	ck_assert_str_eq(record_of(&s)->owned_override, "vfio-pci");
	use(&s);
	move_with(&s, (struct move_options){ .rebind = REBIND_SAFE });
	assert_moved(&s, "blocked", "InUse", "nvme", "vfio-pci", false);

	new_policy(&s.b, RULE("vfio-pci") "Rebind=force\n");
	move_with(&s, (struct move_options){ .rebind = REBIND_NO });
	assert_moved(&s, "blocked", "", "nvme", "vfio-pci", false);
	ck_assert_str_eq(record_of(&s)->state, "blocked");
	move(&s);
	assert_moved(&s, "enforced", "", "vfio-pci", "vfio-pci", true);
	stage_done(&s);
}
END_TEST

START_TEST(rebind_no_with_a_foreign_override)
{
	struct stage s = stage_new(RULE("vfio-pci") "Rebind=no\n");

	mock_attr(s.m, s.device, "driver_override", "foreign\n");
	move_with(&s, (struct move_options){ .overwrite = true });
	assert_moved(&s, "blocked", "", "nvme", "vfio-pci", true);
	stage_done(&s);
}
END_TEST

START_TEST(rebind_no_of_what_no_rule_decides)
{
	struct stage s = stage_new(RULE("vfio-pci"));

	move(&s);
	new_policy(&s.b, "");
	(void)kernel_writes(s.m);
	move_with(&s, (struct move_options){ .rebind = REBIND_NO });
	assert_moved(&s, "blocked", "", "vfio-pci", "vfio-pci", false);
	ck_assert_str_eq(kernel_writes(s.m), "");
	/* And it is not forgotten. */
	move(&s);
	assert_moved(&s, "unmanaged", "", "nvme", "", true);
	stage_done(&s);
}
END_TEST

START_TEST(rebind_no_whose_override_cannot_be_written)
{
	struct stage s = stage_new(RULE("vfio-pci") "Rebind=no\n");

	kernel_refuses("override vfio-pci", EPERM);
	move(&s);
	assert_moved(&s, "failed", "Failed", "nvme", "", false);
	stage_done(&s);
}
END_TEST

/* A companion that has a driver: held, it keeps that; given another, it moves. */
static void with_companion(const char *group, const char *state, const char *driver)
{
	struct stage s = stage_new("");
	const char *gpu = mock_pci_add(s.m, "0000:00:02.0", NULL, 0x10de, 0x1b80, 0x030000);

	new_policy(&s.b,
		   mock_printf(s.m, "[device x]\nName=0000:00:02.0\nDriver=vfio-pci\nGroup=%s\n", group));
	mock_group(s.m, 1, gpu, s.device, NULL);
	make_dirs(s.m->state);
	make_file(mock_printf(s.m, "%s/present", s.m->state), mock_printf(s.m, "%s\n", boot_id()),
		  strlen(boot_id()) + 1);
	move(&s);
	assert_moved(&s, state, "", driver, streq(group, "vfio") ? "vfio-pci" : "none", true);
	if (streq(group, "hold")) {
		move_with(&s, (struct move_options){ .rebind = REBIND_SAFE });
		assert_moved(&s, "held", "", "", "none", true);
	}
	stage_done(&s);
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
static void guard_dies_writing(struct stage *s, const char *override)
{
	struct intents *intents;

	ck_assert_int_eq(intents_open(s->m->settings.state_dir, &intents), 0);
	ck_assert_ptr_nonnull(intent_begin(intents, "pci", "0000:00:03.0", override));
	mock_attr(s->m, s->device, "driver_override", mock_printf(s->m, "%s\n", override));
	mock_unbind(s->m, s->device);
	kernel_bind(s->m, s->device, override);
}

START_TEST(override_over_which_the_guard_died_is_replaced)
{
	struct stage s = stage_new(RULE("nvme"));

	guard_dies_writing(&s, "vfio-pci");
	move(&s);
	assert_moved(&s, "enforced", "", "nvme", "nvme", true);
	ck_assert_str_eq(record_of(&s)->owned_override, "nvme");
	stage_done(&s);
}
END_TEST

START_TEST(override_over_which_the_guard_died_is_given_back)
{
	struct stage s = stage_new("");

	guard_dies_writing(&s, "vfio-pci");
	move(&s);
	assert_moved(&s, "unmanaged", "", "nvme", "", true);
	ck_assert_str_eq(kernel_writes(s.m), "unbind vfio-pci, override -, probe");
	stage_done(&s);
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
