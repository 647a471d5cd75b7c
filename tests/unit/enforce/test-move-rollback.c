/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A step of a move fails, and all is as before; what a move would do; what it leaves alone. */
#include "base/macro.h"
#include "tests/unit/fixtures/move-fixture.h"
#include "tests/unit/fixtures/suite.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

START_TEST(foreign_override_is_restored_and_stays_foreign)
{
	struct move_fixture f = move_fixture_new(RULE("vfio-pci"));

	mock_attr(f.m, f.device, "driver_override", "nvme\n");
	kernel_refuses("bind vfio-pci", EINVAL);
	move_fixture_move_with(&f, (struct move_options){ .overwrite = true });
	assert_moved(&f, "failed", "Failed", "nvme", "nvme", true);
	ck_assert_str_eq(record_of(&f)->owned_override, "");
	ck_assert_str_eq(record_of(&f)->previous_override, "");
	move_fixture_done(&f);
}
END_TEST

START_TEST(failed_unbind_leaves_it)
{
	struct move_fixture f = move_fixture_new(RULE("vfio-pci"));

	kernel_refuses("unbind nvme", EPERM);
	move_fixture_move(&f);
	assert_moved(&f, "failed", "Failed", "nvme", "", false);
	ck_assert_str_eq(f.moved.reason, "unbinding from nvme: Operation not permitted");
	ck_assert_str_eq(kernel_writes(f.m), "unbind nvme");
	ck_assert_int_eq(record_of(&f)->state, STATE_FAILED);
	move_fixture_done(&f);
}
END_TEST

START_TEST(failed_override_brings_the_driver_back)
{
	struct move_fixture f = move_fixture_new(RULE("vfio-pci"));

	kernel_refuses("override vfio-pci", ENOMEM);
	move_fixture_move(&f);
	assert_moved(&f, "failed", "Failed", "nvme", "", true);
	ck_assert_ptr_nonnull(
		strstr(f.moved.reason, "driver_override: Cannot allocate memory; it is back with nvme"));
	ck_assert_str_eq(kernel_writes(f.m), "unbind nvme, override vfio-pci, bind nvme");
	ck_assert_str_eq(record_of(&f)->owned_override, "");
	move_fixture_done(&f);
}
END_TEST

START_TEST(failed_probe_brings_override_and_driver_back)
{
	struct move_fixture f = move_fixture_new(RULE("vfio-pci"));

	kernel_refuses("bind vfio-pci", EINVAL);
	move_fixture_move(&f);
	assert_moved(&f, "failed", "Failed", "nvme", "", true);
	ck_assert_str_eq(f.moved.reason, "probing by vfio-pci: Invalid argument; it is back with nvme");
	ck_assert_str_eq(kernel_writes(f.m),
			 "unbind nvme, override vfio-pci, probe, bind vfio-pci, override -, bind nvme");
	ck_assert_str_eq(record_of(&f)->owned_override, "");
	ck_assert_int_eq(record_of(&f)->state, STATE_FAILED);
	ck_assert_str_eq(record_of(&f)->reason, f.moved.reason);
	move_fixture_done(&f);
}
END_TEST

START_TEST(failed_probe_of_a_driverless_device)
{
	struct move_fixture f = move_fixture_new(RULE("vfio-pci"));

	mock_unbind(f.m, f.device);
	kernel_refuses("bind vfio-pci", EINVAL);
	move_fixture_move(&f);
	assert_moved(&f, "failed", "Failed", "", "", true);
	ck_assert_str_eq(f.moved.reason, "probing by vfio-pci: Invalid argument");
	move_fixture_done(&f);
}
END_TEST

/* The device may be so new that it cannot be probed yet, and its own driver would be the first to probe it.
 */
START_TEST(override_of_a_driverless_device_stands_if_nobody_asked)
{
	struct move_fixture f = move_fixture_new(RULE("vfio-pci"));

	mock_unbind(f.m, f.device);
	kernel_refuses("bind vfio-pci", ENODEV);
	move_fixture_move_with(&f, (struct move_options){ .keep_released = true });
	assert_moved(&f, "failed", "Failed", "", "vfio-pci", true);
	ck_assert_str_eq(kernel_writes(f.m), "override vfio-pci, probe, bind vfio-pci");
	ck_assert_str_eq(record_of(&f)->owned_override, "vfio-pci");
	ck_assert_int_eq(record_of(&f)->state, STATE_FAILED);
	move_fixture_done(&f);
}
END_TEST

START_TEST(failed_override_with_nothing_unbound)
{
	struct move_fixture f = move_fixture_new(RULE("nvme"));

	kernel_refuses("override nvme", EPERM);
	move_fixture_move(&f);
	assert_moved(&f, "failed", "Failed", "nvme", "", false);
	ck_assert_str_eq(f.moved.reason, "writing nvme to driver_override: Operation not permitted");
	move_fixture_done(&f);
}
END_TEST

/* The name of a mount point can be chosen by any user, in a mount namespace. */
START_TEST(reason_is_one_line_in_the_record)
{
	struct move_fixture f = move_fixture_new(RULE("none"));

	mock_class_add(f.m, "net", f.device, "eth0");
	mock_attr_link(f.m, mock_printf(f.m, "%s/net/eth0", f.device), "master", "../br0\nSET=nvme\x7f");
	move_fixture_move(&f);
	ck_assert_str_eq(f.moved.reason, "in use: eth0 is a port of br0 SET=nvme ");
	ck_assert_str_eq(record_of(&f)->owned_override, "");
	ck_assert_str_eq(record_of(&f)->reason, f.moved.reason);
	move_fixture_done(&f);
}
END_TEST

START_TEST(override_of_ours_is_restored)
{
	struct move_fixture f = move_fixture_new(RULE("vfio-pci"));

	move_fixture_move(&f);
	kernel_driver_add(f.m, "other");
	kernel_refuses("bind other", EIO);
	apply_fixture_set_policy(&f.apply, RULE("other"));
	move_fixture_move(&f);
	assert_moved(&f, "failed", "Failed", "vfio-pci", "vfio-pci", true);
	ck_assert_str_eq(record_of(&f)->owned_override, "vfio-pci");
	ck_assert_str_eq(record_of(&f)->decision, "other");

	/* Still ours: the rule goes, and the device is given back. */
	apply_fixture_set_policy(&f.apply, "");
	move_fixture_move(&f);
	assert_moved(&f, "unmanaged", "", "nvme", "", true);
	move_fixture_done(&f);
}
END_TEST

START_TEST(driver_of_an_override_that_is_gone_is_restored)
{
	struct move_fixture f = move_fixture_new(RULE("vfio-pci"));

	move_fixture_move(&f);
	mock_attr(f.m, f.device, "driver_override", "(null)\n");
	kernel_driver_add(f.m, "other");
	kernel_refuses("bind other", EIO);
	apply_fixture_set_policy(&f.apply, RULE("other"));
	move_fixture_move(&f);
	assert_moved(&f, "failed", "Failed", "vfio-pci", "", true);
	move_fixture_done(&f);
}
END_TEST

START_TEST(driver_that_does_not_take_it_back_is_named)
{
	struct move_fixture f = move_fixture_new(RULE("vfio-pci"));

	kernel_refuses("bind vfio-pci", EINVAL);
	kernel_refuses("bind nvme", EIO);
	move_fixture_move(&f);
	assert_moved(&f, "failed", "Failed", "", "", true);
	ck_assert_str_eq(
		f.moved.reason,
		"probing by vfio-pci: Invalid argument; and nvme did not take it back: Input/output error");
	move_fixture_done(&f);
}
END_TEST

START_TEST(override_that_cannot_be_restored_is_reported)
{
	struct move_fixture f = move_fixture_new(RULE("vfio-pci"));

	kernel_refuses("bind vfio-pci", EINVAL);
	kernel_refuses("override -", EPERM);
	move_fixture_move(&f);
	ck_assert_ptr_nonnull(strstr(f.moved.reason,
				     "; and driver_override could not be set back: Operation not permitted"));
	ck_assert_str_eq(move_error_to_string(f.moved.error), "Failed");
	move_fixture_done(&f);
}
END_TEST

START_TEST(failed_clearing_without_a_rule)
{
	struct move_fixture f = move_fixture_new(RULE("vfio-pci"));

	move_fixture_move(&f);
	apply_fixture_set_policy(&f.apply, "");
	kernel_refuses("override -", EPERM);
	move_fixture_move(&f);
	assert_moved(&f, "failed", "Failed", "vfio-pci", "vfio-pci", true);
	ck_assert_ptr_nonnull(strstr(f.moved.reason, "clearing driver_override: Operation not permitted"));
	ck_assert_str_eq(record_of(&f)->owned_override, "vfio-pci");
	move_fixture_done(&f);
}
END_TEST

START_TEST(override_that_cannot_be_read)
{
	struct move_fixture f = move_fixture_new(RULE("vfio-pci"));

	mock_attr_remove(f.m, f.device, "driver_override");
	make_dirs(mock_path(f.m, f.device, "driver_override"));
	move_fixture_move(&f);
	assert_moved(&f, "failed", "Failed", "nvme", "", false);
	ck_assert_ptr_nonnull(strstr(f.moved.reason, "reading driver_override"));
	move_fixture_done(&f);
}
END_TEST

START_TEST(state_directory_that_cannot_be_written)
{
	struct move_fixture f = move_fixture_new(RULE("vfio-pci"));

	make_file(f.m->state, "", 0);
	move_fixture_move(&f);
	assert_moved(&f, "failed", "Failed", "nvme", "", true);
	ck_assert_ptr_nonnull(strstr(f.moved.reason, "it is back with nvme"));
	move_fixture_done(&f);
}
END_TEST

START_TEST(unknown_decision)
{
	struct move_fixture f =
		move_fixture_new("[device x]\nName=0000:00:03.0\nAttr.loop=1\nDriver=vfio-pci\n");

	mock_attr_link(f.m, f.device, "loop", "loop");
	move_fixture_move(&f);
	assert_moved(&f, "pending", "Failed", "nvme", "", false);
	ck_assert_ptr_nonnull(strstr(f.moved.reason, "Attr.loop of "));
	ck_assert_ptr_nonnull(strstr(f.moved.reason, " cannot be read: Too many levels of symbolic links"));
	ck_assert_str_eq(f.moved.decision, "unknown");
	ck_assert_str_eq(kernel_writes(f.m), "");
	move_fixture_done(&f);
}
END_TEST

START_TEST(dry_run_describes_and_changes_nothing)
{
	struct move_fixture f = move_fixture_new(RULE("vfio-pci"));
	struct move_options dry = { .dry_run = true };
	struct record record;

	move_fixture_move_with(&f, dry);
	assert_moved(&f, "enforced", "", "nvme", "", true);
	ck_assert_str_eq(f.moved.reason,
			 "would unbind it from nvme, write driver_override vfio-pci, have it probed");
	apply_fixture_set_policy(&f.apply, RULE("none"));
	move_fixture_move_with(&f, dry);
	assert_moved(&f, "enforced", "", "nvme", "", true);
	ck_assert_str_eq(f.moved.reason, "would unbind it from nvme, write driver_override none");
	apply_fixture_set_policy(&f.apply, RULE("nvme"));
	move_fixture_move_with(&f, dry);
	ck_assert_str_eq(f.moved.reason, "would write driver_override nvme");
	apply_fixture_set_policy(&f.apply, RULE("default"));
	move_fixture_move_with(&f, dry);
	assert_moved(&f, "enforced", "", "nvme", "", false);

	/* What would be refused. */
	apply_fixture_set_policy(&f.apply, RULE("nonsense"));
	move_fixture_move_with(&f, dry);
	assert_moved(&f, "failed", "NoSuchDriver", "nvme", "", false);
	move_fixture_use(&f);
	apply_fixture_set_policy(&f.apply, RULE("vfio-pci"));
	move_fixture_move_with(&f, dry);
	assert_moved(&f, "blocked", "InUse", "nvme", "", false);
	apply_fixture_set_policy(&f.apply, RULE("vfio-pci") "Rebind=no\n");
	move_fixture_move_with(&f, dry);
	assert_moved(&f, "blocked", "", "nvme", "", true);
	mock_attr(f.m, f.device, "driver_override", "foreign\n");
	move_fixture_move_with(&f, dry);
	assert_moved(&f, "foreign", "Foreign", "nvme", "foreign", false);
	ck_assert_str_eq(kernel_writes(f.m), "");
	ck_assert(!mock_record(f.m, f.device, &record));
	ck_assert_int_ne(access(f.m->state, F_OK), 0);
	move_fixture_done(&f);
}
END_TEST

START_TEST(dry_run_asks_whether_there_is_a_module)
{
	struct move_fixture f = move_fixture_new(RULE("other"));

	modprobe_install(&f, "");
	move_fixture_move_with(&f, (struct move_options){ .dry_run = true });
	assert_moved(&f, "enforced", "", "nvme", "", true);
	ck_assert_str_eq(modprobe_calls(&f), "-n -- other\n");
	modprobe_install(&f, "echo \"modprobe: FATAL: Module $3 not found.\" >&2; exit 1");
	move_fixture_move_with(&f, (struct move_options){ .dry_run = true });
	assert_moved(&f, "failed", "NoSuchDriver", "nvme", "", false);
	ck_assert_str_eq(f.moved.reason, "there is no driver other on bus pci, and module other cannot be "
					 "loaded: Module other not found.");
	move_fixture_done(&f);
}
END_TEST

START_TEST(dry_run_of_a_device_that_is_given_back)
{
	struct move_fixture f = move_fixture_new(RULE("vfio-pci"));

	move_fixture_move(&f);
	(void)kernel_writes(f.m);
	apply_fixture_set_policy(&f.apply, "");
	move_fixture_move_with(&f, (struct move_options){ .dry_run = true });
	assert_moved(&f, "unmanaged", "", "vfio-pci", "vfio-pci", true);
	ck_assert_str_eq(f.moved.reason,
			 "would unbind it from vfio-pci, clear driver_override, have it probed");
	ck_assert_str_eq(kernel_writes(f.m), "");
	move_fixture_done(&f);
}
END_TEST

START_TEST(only_if_changed_leaves_what_others_did_since)
{
	struct move_fixture f = move_fixture_new(RULE("vfio-pci"));
	struct move_options careful = { .only_if_changed = true };

	/* Not yet enforced: refused first, then done. */
	move_fixture_use(&f);
	move_fixture_move_with(&f, careful);
	assert_moved(&f, "blocked", "InUse", "nvme", "", false);
	remove_tree(mock_printf(f.m, "%s%s/net", f.m->sysfs, f.device));
	move_fixture_move_with(&f, careful);
	assert_moved(&f, "enforced", "", "vfio-pci", "vfio-pci", true);

	/* libvirt, say, gives it back; and an event of the device later changes nothing about that. */
	kernel_bind(f.m, f.device, "nvme");
	mock_attr(f.m, f.device, "driver_override", "(null)\n");
	(void)kernel_writes(f.m);
	move_fixture_move_with(&f, careful);
	assert_moved(&f, "pending", "", "nvme", "", false);
	ck_assert_str_eq(kernel_writes(f.m), "");
	move_fixture_event(&f);
	(void)kernel_writes(f.m);
	move_fixture_move_with(&f, careful);
	assert_moved(&f, "pending", "", "nvme", "vfio-pci", false);
	ck_assert_str_eq(kernel_writes(f.m), "");

	/* The rule changed: now it counts again. */
	apply_fixture_set_policy(&f.apply, RULE("vfio-pci") "Rebind=safe\n");
	move_fixture_move_with(&f, careful);
	assert_moved(&f, "enforced", "", "vfio-pci", "vfio-pci", true);
	/* Without the option it always moves the device. */
	kernel_bind(f.m, f.device, "nvme");
	move_fixture_move(&f);
	assert_moved(&f, "enforced", "", "vfio-pci", "vfio-pci", true);
	move_fixture_done(&f);
}
END_TEST

/* Another rule's override was written in between: that was us, and nobody has taken the device elsewhere. */
START_TEST(only_if_changed_puts_right_what_another_rule_did_since)
{
	struct move_fixture f = move_fixture_new(RULE("vfio-pci"));
	struct move_options careful = { .only_if_changed = true };

	move_fixture_move_with(&f, careful);
	assert_moved(&f, "enforced", "", "vfio-pci", "vfio-pci", true);
	apply_fixture_set_policy(&f.apply, RULE("none"));
	move_fixture_event(&f);
	ck_assert_str_eq(mock_override(f.m, f.device), "none");
	ck_assert_uint_eq(record_of(&f)->enforced, 0);
	apply_fixture_set_policy(&f.apply, RULE("vfio-pci"));
	move_fixture_move_with(&f, careful);
	assert_moved(&f, "enforced", "", "vfio-pci", "vfio-pci", true);

	/* A move of ours that failed does not count as one by others either. */
	apply_fixture_set_policy(&f.apply, RULE("none"));
	kernel_refuses("override none", EPERM);
	move_fixture_move_with(&f, careful);
	assert_moved(&f, "failed", "Failed", "vfio-pci", "vfio-pci", true);
	ck_assert_uint_eq(record_of(&f)->enforced, 0);
	move_fixture_done(&f);
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
		struct move_fixture f = move_fixture_new("");

		apply_fixture_set_policy(&f.apply,
					 mock_printf(f.m, RULE("vfio-pci") "Rebind=%s\n", steps[i].rebind));
		mock_attr(f.m, f.device, "driver_override", "nvme\n");
		kernel_refuses(steps[i].refused, steps[i].error);
		move_fixture_move_with(&f, (struct move_options){ .overwrite = true });
		ck_assert_int_eq(f.moved.state, STATE_FAILED);
		ck_assert_str_eq(f.moved.override, "nvme");
		ck_assert_str_eq(record_of(&f)->owned_override, "");
		ck_assert_str_eq(record_of(&f)->previous_override, "");
		kernel_refuses(steps[i].refused, 0);
		(void)kernel_writes(f.m);
		move_fixture_event(&f);
		ck_assert_int_eq(f.apply.outcome.state, STATE_FOREIGN);
		ck_assert_str_eq(kernel_writes(f.m), "");
		move_fixture_done(&f);
	}
}
END_TEST

SUITE_MAIN("move-back", 40, only_if_changed_puts_right_what_another_rule_did_since,
	   foreign_override_stays_foreign_whatever_fails, foreign_override_is_restored_and_stays_foreign,
	   failed_unbind_leaves_it, failed_override_brings_the_driver_back,
	   failed_probe_brings_override_and_driver_back, failed_probe_of_a_driverless_device,
	   override_of_a_driverless_device_stands_if_nobody_asked, failed_override_with_nothing_unbound,
	   reason_is_one_line_in_the_record, override_of_ours_is_restored,
	   driver_of_an_override_that_is_gone_is_restored, driver_that_does_not_take_it_back_is_named,
	   override_that_cannot_be_restored_is_reported, failed_clearing_without_a_rule,
	   override_that_cannot_be_read, state_directory_that_cannot_be_written, unknown_decision,
	   dry_run_describes_and_changes_nothing, dry_run_asks_whether_there_is_a_module,
	   dry_run_of_a_device_that_is_given_back, only_if_changed_leaves_what_others_did_since)
