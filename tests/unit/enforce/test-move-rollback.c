/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A step of a move fails, and all is as before; what a move would do; what it leaves alone. */
#include "tests/unit/fixtures/move-fixture.h"
#include "tests/unit/fixtures/suite.h"

START_TEST(foreign_override_that_was_to_be_replaced_is_set_back_and_still_foreign)
{
	struct stage s = stage_new(RULE("vfio-pci"));

	mock_attr(s.m, s.device, "driver_override", "nvme\n");
	kernel_refuses("bind vfio-pci", EINVAL);
	move_with(&s, (struct move_options){ .overwrite = true });
	assert_moved(&s, "failed", "Failed", "nvme", "nvme", true);
	ck_assert_str_eq(record_of(&s)->owned_override, "");
	ck_assert_str_eq(record_of(&s)->previous_override, "");
	stage_done(&s);
}
END_TEST

START_TEST(failed_unbind_leaves_it)
{
	struct stage s = stage_new(RULE("vfio-pci"));

	kernel_refuses("unbind nvme", EPERM);
	move(&s);
	assert_moved(&s, "failed", "Failed", "nvme", "", false);
	ck_assert_str_eq(s.moved.reason, "unbinding from nvme: Operation not permitted");
	ck_assert_str_eq(kernel_writes(s.m), "unbind nvme");
	ck_assert_str_eq(record_of(&s)->state, "failed");
	stage_done(&s);
}
END_TEST

START_TEST(failed_override_brings_the_driver_back)
{
	struct stage s = stage_new(RULE("vfio-pci"));

	kernel_refuses("override vfio-pci", ENOMEM);
	move(&s);
	assert_moved(&s, "failed", "Failed", "nvme", "", true);
	ck_assert_ptr_nonnull(
		strstr(s.moved.reason, "driver_override: Cannot allocate memory; it is back with nvme"));
	ck_assert_str_eq(kernel_writes(s.m), "unbind nvme, override vfio-pci, bind nvme");
	ck_assert_str_eq(record_of(&s)->owned_override, "");
	stage_done(&s);
}
END_TEST

START_TEST(failed_probe_brings_override_and_driver_back)
{
	struct stage s = stage_new(RULE("vfio-pci"));

	kernel_refuses("bind vfio-pci", EINVAL);
	move(&s);
	assert_moved(&s, "failed", "Failed", "nvme", "", true);
	ck_assert_str_eq(s.moved.reason, "probing by vfio-pci: Invalid argument; it is back with nvme");
	ck_assert_str_eq(kernel_writes(s.m),
			 "unbind nvme, override vfio-pci, probe, bind vfio-pci, override -, bind nvme");
	ck_assert_str_eq(record_of(&s)->owned_override, "");
	ck_assert_str_eq(record_of(&s)->state, "failed");
	ck_assert_str_eq(record_of(&s)->reason, s.moved.reason);
	stage_done(&s);
}
END_TEST

START_TEST(failed_probe_of_a_driverless_device)
{
	struct stage s = stage_new(RULE("vfio-pci"));

	mock_unbind(s.m, s.device);
	kernel_refuses("bind vfio-pci", EINVAL);
	move(&s);
	assert_moved(&s, "failed", "Failed", "", "", true);
	ck_assert_str_eq(s.moved.reason, "probing by vfio-pci: Invalid argument");
	stage_done(&s);
}
END_TEST

START_TEST(failed_override_where_nothing_was_unbound)
{
	struct stage s = stage_new(RULE("nvme"));

	kernel_refuses("override nvme", EPERM);
	move(&s);
	assert_moved(&s, "failed", "Failed", "nvme", "", false);
	ck_assert_str_eq(s.moved.reason, "writing nvme to driver_override: Operation not permitted");
	stage_done(&s);
}
END_TEST

/* The name of a mount point is anybody's, in a namespace of his own. */
START_TEST(reason_is_one_line_in_the_record)
{
	struct stage s = stage_new(RULE("none"));

	mock_class_add(s.m, "net", s.device, "eth0");
	mock_attr_link(s.m, mock_printf(s.m, "%s/net/eth0", s.device), "master", "../br0\nSET=nvme\x7f");
	move(&s);
	ck_assert_str_eq(s.moved.reason, "in use: eth0 is a port of br0 SET=nvme ");
	ck_assert_str_eq(record_of(&s)->owned_override, "");
	ck_assert_str_eq(record_of(&s)->reason, s.moved.reason);
	stage_done(&s);
}
END_TEST

START_TEST(back_to_an_override_of_ours)
{
	struct stage s = stage_new(RULE("vfio-pci"));

	move(&s);
	kernel_driver_add(s.m, "other");
	kernel_refuses("bind other", EIO);
	new_policy(&s.b, RULE("other"));
	move(&s);
	assert_moved(&s, "failed", "Failed", "vfio-pci", "vfio-pci", true);
	ck_assert_str_eq(record_of(&s)->owned_override, "vfio-pci");
	ck_assert_str_eq(record_of(&s)->decision, "other");

	/* Still ours: the rule goes, and the device is given back. */
	new_policy(&s.b, "");
	move(&s);
	assert_moved(&s, "unmanaged", "", "nvme", "", true);
	stage_done(&s);
}
END_TEST

START_TEST(back_to_a_driver_that_came_by_an_override_which_is_gone)
{
	struct stage s = stage_new(RULE("vfio-pci"));

	move(&s);
	mock_attr(s.m, s.device, "driver_override", "(null)\n");
	kernel_driver_add(s.m, "other");
	kernel_refuses("bind other", EIO);
	new_policy(&s.b, RULE("other"));
	move(&s);
	assert_moved(&s, "failed", "Failed", "vfio-pci", "", true);
	stage_done(&s);
}
END_TEST

START_TEST(driver_that_does_not_take_it_back_is_named)
{
	struct stage s = stage_new(RULE("vfio-pci"));

	kernel_refuses("bind vfio-pci", EINVAL);
	kernel_refuses("bind nvme", EIO);
	move(&s);
	assert_moved(&s, "failed", "Failed", "", "", true);
	ck_assert_str_eq(
		s.moved.reason,
		"probing by vfio-pci: Invalid argument; and nvme did not take it back: Input/output error");
	stage_done(&s);
}
END_TEST

START_TEST(override_that_cannot_be_set_back_is_told)
{
	struct stage s = stage_new(RULE("vfio-pci"));

	kernel_refuses("bind vfio-pci", EINVAL);
	kernel_refuses("override -", EPERM);
	move(&s);
	ck_assert_ptr_nonnull(strstr(s.moved.reason,
				     "; and driver_override could not be set back: Operation not permitted"));
	ck_assert_str_eq(move_error_to_string(s.moved.error), "Failed");
	stage_done(&s);
}
END_TEST

START_TEST(failed_clearing_of_what_no_rule_decides)
{
	struct stage s = stage_new(RULE("vfio-pci"));

	move(&s);
	new_policy(&s.b, "");
	kernel_refuses("override -", EPERM);
	move(&s);
	assert_moved(&s, "failed", "Failed", "vfio-pci", "vfio-pci", true);
	ck_assert_ptr_nonnull(strstr(s.moved.reason, "clearing driver_override: Operation not permitted"));
	ck_assert_str_eq(record_of(&s)->owned_override, "vfio-pci");
	stage_done(&s);
}
END_TEST

START_TEST(override_that_cannot_be_read)
{
	struct stage s = stage_new(RULE("vfio-pci"));

	mock_attr_remove(s.m, s.device, "driver_override");
	make_dirs(mock_path(s.m, s.device, "driver_override"));
	move(&s);
	assert_moved(&s, "failed", "Failed", "nvme", "", false);
	ck_assert_ptr_nonnull(strstr(s.moved.reason, "reading driver_override"));
	stage_done(&s);
}
END_TEST

START_TEST(state_directory_that_cannot_be_written)
{
	struct stage s = stage_new(RULE("vfio-pci"));

	make_file(s.m->state, "", 0);
	move(&s);
	assert_moved(&s, "failed", "Failed", "nvme", "", true);
	ck_assert_ptr_nonnull(strstr(s.moved.reason, "it is back with nvme"));
	stage_done(&s);
}
END_TEST

START_TEST(unknown_decision)
{
	struct stage s = stage_new("[device x]\nName=0000:00:03.0\nAttr.loop=1\nDriver=vfio-pci\n");

	mock_attr_link(s.m, s.device, "loop", "loop");
	move(&s);
	assert_moved(&s, "pending", "Failed", "nvme", "", false);
	ck_assert_str_eq(s.moved.reason, "Attr. cannot be compared yet");
	ck_assert_str_eq(s.moved.decision, "unknown");
	ck_assert_str_eq(kernel_writes(s.m), "");
	stage_done(&s);
}
END_TEST

START_TEST(dry_run_tells_and_does_nothing)
{
	struct stage s = stage_new(RULE("vfio-pci"));
	struct move_options dry = { .dry_run = true };
	struct record record;

	move_with(&s, dry);
	assert_moved(&s, "enforced", "", "nvme", "", true);
	ck_assert_str_eq(s.moved.reason,
			 "would unbind it from nvme, write driver_override vfio-pci, have it probed");
	new_policy(&s.b, RULE("none"));
	move_with(&s, dry);
	assert_moved(&s, "enforced", "", "nvme", "", true);
	ck_assert_str_eq(s.moved.reason, "would unbind it from nvme, write driver_override none");
	new_policy(&s.b, RULE("nvme"));
	move_with(&s, dry);
	ck_assert_str_eq(s.moved.reason, "would write driver_override nvme");
	new_policy(&s.b, RULE("default"));
	move_with(&s, dry);
	assert_moved(&s, "enforced", "", "nvme", "", false);

	/* What would be refused. */
	new_policy(&s.b, RULE("nonsense"));
	move_with(&s, dry);
	assert_moved(&s, "failed", "NoSuchDriver", "nvme", "", false);
	use(&s);
	new_policy(&s.b, RULE("vfio-pci"));
	move_with(&s, dry);
	assert_moved(&s, "blocked", "InUse", "nvme", "", false);
	new_policy(&s.b, RULE("vfio-pci") "Rebind=no\n");
	move_with(&s, dry);
	assert_moved(&s, "blocked", "", "nvme", "", true);
	mock_attr(s.m, s.device, "driver_override", "foreign\n");
	move_with(&s, dry);
	assert_moved(&s, "foreign", "Foreign", "nvme", "foreign", false);
	ck_assert_str_eq(kernel_writes(s.m), "");
	ck_assert(!mock_record(s.m, s.device, &record));
	ck_assert_int_ne(access(s.m->state, F_OK), 0);
	stage_done(&s);
}
END_TEST

START_TEST(dry_run_asks_whether_there_is_a_module)
{
	struct stage s = stage_new(RULE("other"));

	modprobe(&s, "");
	move_with(&s, (struct move_options){ .dry_run = true });
	assert_moved(&s, "enforced", "", "nvme", "", true);
	ck_assert_str_eq(loaded(&s), "-n -- other\n");
	modprobe(&s, "echo \"modprobe: FATAL: Module $3 not found.\" >&2; exit 1");
	move_with(&s, (struct move_options){ .dry_run = true });
	assert_moved(&s, "failed", "NoSuchDriver", "nvme", "", false);
	ck_assert_str_eq(s.moved.reason, "there is no driver other on bus pci, and module other cannot be "
					 "loaded: Module other not found.");
	stage_done(&s);
}
END_TEST

START_TEST(dry_run_of_a_device_that_is_given_back)
{
	struct stage s = stage_new(RULE("vfio-pci"));

	move(&s);
	(void)kernel_writes(s.m);
	new_policy(&s.b, "");
	move_with(&s, (struct move_options){ .dry_run = true });
	assert_moved(&s, "unmanaged", "", "vfio-pci", "vfio-pci", true);
	ck_assert_str_eq(s.moved.reason,
			 "would unbind it from vfio-pci, clear driver_override, have it probed");
	ck_assert_str_eq(kernel_writes(s.m), "");
	stage_done(&s);
}
END_TEST

START_TEST(only_if_changed_leaves_what_others_did_since)
{
	struct stage s = stage_new(RULE("vfio-pci"));
	struct move_options careful = { .only_if_changed = true };

	/* Not yet enforced: refused first, then done. */
	use(&s);
	move_with(&s, careful);
	assert_moved(&s, "blocked", "InUse", "nvme", "", false);
	remove_tree(mock_printf(s.m, "%s%s/net", s.m->sysfs, s.device));
	move_with(&s, careful);
	assert_moved(&s, "enforced", "", "vfio-pci", "vfio-pci", true);

	/* libvirt, say, gives it back; and an event of the device later changes nothing about that. */
	kernel_bind(s.m, s.device, "nvme");
	mock_attr(s.m, s.device, "driver_override", "(null)\n");
	(void)kernel_writes(s.m);
	move_with(&s, careful);
	assert_moved(&s, "pending", "", "nvme", "", false);
	ck_assert_str_eq(kernel_writes(s.m), "");
	event(&s);
	(void)kernel_writes(s.m);
	move_with(&s, careful);
	assert_moved(&s, "pending", "", "nvme", "vfio-pci", false);
	ck_assert_str_eq(kernel_writes(s.m), "");

	/* The rule changed: now it counts again. */
	new_policy(&s.b, RULE("vfio-pci") "Rebind=safe\n");
	move_with(&s, careful);
	assert_moved(&s, "enforced", "", "vfio-pci", "vfio-pci", true);
	/* And without the option it always does. */
	kernel_bind(s.m, s.device, "nvme");
	move(&s);
	assert_moved(&s, "enforced", "", "vfio-pci", "vfio-pci", true);
	stage_done(&s);
}
END_TEST

/* Another rule's override was written in between: that was us, and nobody has taken the device elsewhere. */
START_TEST(only_if_changed_puts_right_what_another_rule_did_since)
{
	struct stage s = stage_new(RULE("vfio-pci"));
	struct move_options careful = { .only_if_changed = true };

	move_with(&s, careful);
	assert_moved(&s, "enforced", "", "vfio-pci", "vfio-pci", true);
	new_policy(&s.b, RULE("none"));
	event(&s);
	ck_assert_str_eq(mock_override(s.m, s.device), "none");
	ck_assert_uint_eq(record_of(&s)->enforced, 0);
	new_policy(&s.b, RULE("vfio-pci"));
	move_with(&s, careful);
	assert_moved(&s, "enforced", "", "vfio-pci", "vfio-pci", true);

	/* Nor does a move that failed count as one by others. */
	new_policy(&s.b, RULE("none"));
	kernel_refuses("override none", EPERM);
	move_with(&s, careful);
	assert_moved(&s, "failed", "Failed", "vfio-pci", "vfio-pci", true);
	ck_assert_uint_eq(record_of(&s)->enforced, 0);
	stage_done(&s);
}
END_TEST

/* After each failure the old override stands, is not ours, and no later event takes it for that. */
START_TEST(foreign_override_stays_foreign_whatever_fails)
{
	static const struct {
		const char *rebind, *refused;
		int error;
	} steps[] = {
		{ "safe", "override vfio-pci", EPERM },
		{ "safe", "bind vfio-pci", EINVAL },
		{ "safe", "unbind nvme", EPERM },
		{ "no", "override vfio-pci", EPERM },
	};

	for (size_t i = 0; i < ELEMENTSOF(steps); i++) {
		struct stage s = stage_new("");

		new_policy(&s.b, mock_printf(s.m, RULE("vfio-pci") "Rebind=%s\n", steps[i].rebind));
		mock_attr(s.m, s.device, "driver_override", "nvme\n");
		kernel_refuses(steps[i].refused, steps[i].error);
		move_with(&s, (struct move_options){ .overwrite = true });
		ck_assert_int_eq(s.moved.state, STATE_FAILED);
		ck_assert_str_eq(s.moved.override, "nvme");
		ck_assert_str_eq(record_of(&s)->owned_override, "");
		ck_assert_str_eq(record_of(&s)->previous_override, "");
		kernel_refuses(steps[i].refused, 0);
		(void)kernel_writes(s.m);
		event(&s);
		ck_assert_int_eq(s.b.outcome.state, STATE_FOREIGN);
		ck_assert_str_eq(kernel_writes(s.m), "");
		stage_done(&s);
	}
}
END_TEST

SUITE_MAIN("move-back", 40, only_if_changed_puts_right_what_another_rule_did_since,
	   foreign_override_stays_foreign_whatever_fails,
	   foreign_override_that_was_to_be_replaced_is_set_back_and_still_foreign, failed_unbind_leaves_it,
	   failed_override_brings_the_driver_back, failed_probe_brings_override_and_driver_back,
	   failed_probe_of_a_driverless_device, failed_override_where_nothing_was_unbound,
	   reason_is_one_line_in_the_record, back_to_an_override_of_ours,
	   back_to_a_driver_that_came_by_an_override_which_is_gone,
	   driver_that_does_not_take_it_back_is_named, override_that_cannot_be_set_back_is_told,
	   failed_clearing_of_what_no_rule_decides, override_that_cannot_be_read,
	   state_directory_that_cannot_be_written, unknown_decision, dry_run_tells_and_does_nothing,
	   dry_run_asks_whether_there_is_a_module, dry_run_of_a_device_that_is_given_back,
	   only_if_changed_leaves_what_others_did_since)
