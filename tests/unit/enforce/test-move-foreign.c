/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A device whose override was not set by us, but by somebody else, by the kernel, or by a guard that died. */
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

/* What driverctl does while the service moves the device: it unbinds it, writes, and has it probed. */
START_TEST(device_that_another_program_takes_meanwhile_is_left_to_it)
{
	static const struct {
		const char *before, *what, *driver, *writes;
	} cases[] = {
		/* Before the override was to be written; it was the decided one at first, too. */
		{ "", "unbind nvme", "uio", "unbind nvme" },
		{ "vfio-pci", "unbind nvme", "uio", "unbind nvme" },
		/* The other program has not had it probed, and nobody else will. */
		{ "", "unbind nvme", "", "unbind nvme, probe" },
		/* Before the way back. */
		{ "", "probe", "uio", "unbind nvme, override vfio-pci, probe" },
	};

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		struct move_fixture f = move_fixture_new(RULE("vfio-pci"));

		if (cases[i].before[0])
			move_fixture_event(&f);
		(void)kernel_writes(f.m);
		if (streq(cases[i].what, "probe"))
			kernel_refuses("bind vfio-pci", EIO);
		kernel_driver_add(f.m, "uio");
		kernel_is_overtaken(cases[i].what, f.device, "uio", cases[i].driver);
		move_fixture_move(&f);
		ck_assert_str_eq(kernel_writes(f.m), cases[i].writes);
		assert_moved(&f, "foreign", "Foreign", "uio", "uio", true);
		ck_assert_ptr_nonnull(strstr(f.moved.reason, "set by another program"));
		ck_assert_int_eq(record_of(&f)->state, STATE_FOREIGN);
		ck_assert_str_eq(record_of(&f)->owned_override, "");
		move_fixture_done(&f);
	}
}
END_TEST

/* A card is exchanged while it is moved: what the new one has is the guard's doing, or nobody's yet. */
START_TEST(another_device_of_its_name_is_left_as_it_is)
{
	static const struct {
		const char *policy, *what, *override, *writes;
	} cases[] = {
		{ RULE("vfio-pci"), "unbind nvme", "pci-stub", "unbind nvme" },
		{ RULE("vfio-pci"), "probe", "pci-stub", "unbind nvme, override vfio-pci, probe" },
		/* This is written even where it cannot be recorded. */
		{ RULE("none"), "unbind nvme", "", "unbind nvme" },
	};

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		struct move_fixture f = move_fixture_new(cases[i].policy);
		struct record record;

		kernel_refuses("bind vfio-pci", EIO);
		kernel_exchanges_device(cases[i].what, f.device, cases[i].override);
		move_fixture_move(&f);
		ck_assert_str_eq(kernel_writes(f.m), cases[i].writes);
		ck_assert_str_eq(device_state_to_string(f.moved.state), "failed");
		ck_assert_str_eq(mock_override(f.m, f.device), cases[i].override);
		ck_assert(!mock_record(f.m, f.device, &record));
		move_fixture_done(&f);
	}
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

START_TEST(override_of_a_guard_that_died_is_replaced)
{
	struct move_fixture f = move_fixture_new(RULE("nvme"));

	guard_dies_writing(&f, "vfio-pci");
	move_fixture_move(&f);
	assert_moved(&f, "enforced", "", "nvme", "nvme", true);
	ck_assert_str_eq(record_of(&f)->owned_override, "nvme");
	move_fixture_done(&f);
}
END_TEST

START_TEST(override_of_a_guard_that_died_is_given_back)
{
	struct move_fixture f = move_fixture_new("");

	guard_dies_writing(&f, "vfio-pci");
	move_fixture_move(&f);
	assert_moved(&f, "unmanaged", "", "nvme", "", true);
	ck_assert_str_eq(kernel_writes(f.m), "unbind vfio-pci, override -, probe");
	move_fixture_done(&f);
}
END_TEST

SUITE_MAIN("move-foreign", 60, foreign_override_is_replaced_on_request_only,
	   override_that_the_kernel_has_set_is_never_replaced,
	   override_of_a_child_of_a_vfio_container_is_never_replaced,
	   override_of_a_driver_that_is_part_of_rpmsg_is_never_replaced, rebind_no_with_a_foreign_override,
	   device_that_another_program_takes_meanwhile_is_left_to_it,
	   another_device_of_its_name_is_left_as_it_is, override_of_a_guard_that_died_is_replaced,
	   override_of_a_guard_that_died_is_given_back)
