/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Groups that somebody uses through VFIO, and devices that have none: what is said, and what is left for
 * later. */
#include "base/macro.h"
#include "sysfs/iommu.h"
#include "tests/unit/fixtures/mock-kernel.h"
#include "tests/unit/fixtures/move-fixture.h"
#include "tests/unit/fixtures/suite.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#define FUNCTION "0000:00:03.0"
#define OTHER "/devices/pci0000:00/0000:00:03.1"

#define OWN "[device x]\nName=" FUNCTION "\nDriver=nvme\n"
#define OWNED "its IOMMU group 1 is in use by qemu (process 4711), and the kernel lets no other driver in"

/* The device without a driver, and another function of it with vfio-pci, whose group qemu has open. */
static struct move_fixture owned(const char *policy)
{
	struct move_fixture s = move_fixture_new(policy);

	mock_unbind(s.m, s.device);
	(void)mock_pci_add(s.m, "0000:00:03.1", NULL, 0x1b36, 0x0010, 0x010802);
	mock_group(s.m, 1, OTHER, NULL);
	mock_bind(s.m, OTHER, "vfio-pci");
	mock_group_open(s.m, 1);
	kernel_refuses("bind nvme", EBUSY);
	return s;
}

static void let_go(struct move_fixture *s)
{
	mock_group_close(s->m);
	kernel_refuses("bind nvme", 0);
}

static void assert_held(struct move_fixture *s)
{
	const struct record *record = record_of(s);

	ck_assert_int_eq(record->state, STATE_HELD);
	ck_assert_str_eq(record->reason, OWNED);
	ck_assert_uint_eq(record->enforced, 0); /* so nobody takes it for drift that it has no driver */
}

START_TEST(a_driver_that_the_kernel_refuses_is_for_later)
{
	struct move_fixture s = owned(OWN);

	move_fixture_event(&s);
	ck_assert_str_eq(device_state_to_string(s.apply.outcome.state), "held");
	ck_assert_str_eq(mock_override(s.m, s.device), "nvme");
	assert_held(&s);
	move_fixture_move(&s);
	assert_moved(&s, "held", "", "", "nvme", false);
	ck_assert_str_eq(s.moved.reason, OWNED);
	assert_held(&s);
	let_go(&s);
	move_fixture_move(&s);
	assert_moved(&s, "enforced", "", "nvme", "nvme", false);
	ck_assert_uint_ne(record_of(&s)->enforced, 0);
	move_fixture_done(&s);
}
END_TEST

START_TEST(its_own_driver_is_for_later_as_well)
{
	struct move_fixture s = owned("[device x]\nName=" FUNCTION "\nDriver=default\n");

	move_fixture_event(&s);
	ck_assert_str_eq(device_state_to_string(s.apply.outcome.state), "held");
	assert_held(&s);
	let_go(&s);
	move_fixture_move(&s);
	assert_moved(&s, "enforced", "", "nvme", "", false);
	move_fixture_done(&s);
}
END_TEST

START_TEST(one_that_had_a_driver_goes_back_to_it)
{
	struct move_fixture s = owned(OWN);

	kernel_bind(s.m, s.device, "vfio-pci");
	mock_attr(s.m, s.device, "driver_override", "vfio-pci\n");
	move_fixture_move_with(&s, (struct move_options){ .overwrite = true, .rebind = REBIND_FORCE });
	assert_moved(&s, "failed", "Failed", "vfio-pci", "vfio-pci", true);
	ck_assert_ptr_nonnull(strstr(s.moved.reason, OWNED "; it is back with vfio-pci"));
	move_fixture_done(&s);
}
END_TEST

/* He may be hidden, or have gone while the kernel still takes the guest's memory back. */
START_TEST(who_owns_a_group_need_not_be_seen)
{
	static const char *const drivers[] = { "nvme", "default" };

	for (size_t i = 0; i < ELEMENTSOF(drivers); i++) {
		struct move_fixture s = owned("");

		apply_fixture_set_policy(
			&s.apply, mock_printf(s.m, "[device x]\nName=" FUNCTION "\nDriver=%s\n", drivers[i]));
		move_fixture_event(&s);
		mock_group_close(s.m);
		for (int again = 0; again < 2; again++) {
			move_fixture_move(&s);
			ck_assert_str_eq(device_state_to_string(s.moved.state), "held");
			ck_assert_str_eq(s.moved.reason, "its IOMMU group 1 is in use by VFIO, and the "
							 "kernel lets no other driver in");
			ck_assert_int_eq(record_of(&s)->state, STATE_HELD);
			ck_assert_str_eq(record_of(&s)->owned_override,
					 i == 0 ? "nvme" : ""); /* it is still ours */
			ck_assert_uint_eq(record_of(&s)->enforced, 0);
		}
		kernel_refuses("bind nvme", 0);
		move_fixture_move(&s);
		ck_assert_str_eq(device_state_to_string(s.moved.state), "enforced");
		ck_assert_str_eq(s.moved.driver, "nvme");
		move_fixture_done(&s);
	}
}
END_TEST

/* Nothing of ours stood before; what does now is ours, also for those who come later. */
START_TEST(a_refused_device_keeps_its_override_as_ours)
{
	struct move_fixture s = owned(OWN);

	mock_group_close(s.m);
	move_fixture_move(&s);
	ck_assert_str_eq(device_state_to_string(s.moved.state), "held");
	ck_assert_str_eq(mock_override(s.m, s.device), "nvme");
	ck_assert_str_eq(record_of(&s)->owned_override, "nvme");
	apply_fixture_set_policy(&s.apply, "");
	kernel_refuses("bind nvme", 0);
	move_fixture_move(&s);
	assert_moved(&s, "unmanaged", "", "nvme", "", true);
	move_fixture_done(&s);
}
END_TEST

/* Without such a member it is the driver's own probe that says EBUSY. */
START_TEST(a_driver_that_is_busy_itself_has_failed)
{
	struct move_fixture s = owned(OWN);

	mock_unbind(s.m, OTHER);
	move_fixture_move(&s);
	assert_moved(&s, "failed", "Failed", "", "", true);
	ck_assert_str_eq(s.moved.reason, "probing by nvme: Device or resource busy");
	move_fixture_done(&s);
}
END_TEST

START_TEST(one_that_is_given_back_while_its_group_is_in_use_is_not_forgotten)
{
	struct move_fixture s = owned("[device x]\nName=" FUNCTION "\nDriver=none\n");

	move_fixture_move(&s);
	assert_moved(&s, "enforced", "", "", "none", true);
	apply_fixture_set_policy(&s.apply, "");
	move_fixture_move(&s);
	assert_moved(&s, "held", "", "", "", true);
	ck_assert_str_eq(s.moved.reason, OWNED);
	ck_assert(record_is_refused(record_of(&s)));
	let_go(&s);
	move_fixture_move(&s);
	assert_moved(&s, "unmanaged", "", "nvme", "", false);
	ck_assert(!mock_record(s.m, s.device, &(struct record){}));
	move_fixture_done(&s);
}
END_TEST

START_TEST(vfio_s_own_drivers_are_not_kept_off)
{
	struct move_fixture s = owned("[device x]\nName=" FUNCTION "\nDriver=vfio-pci\n");

	move_fixture_event(&s);
	ck_assert_str_eq(device_state_to_string(s.apply.outcome.state), "enforced");
	move_fixture_done(&s);
}
END_TEST

/* By iommufd a device's own node is opened, and no group's. */
START_TEST(a_device_that_is_open_owns_its_group)
{
	struct move_fixture s = owned(OWN);

	mock_attr(s.m, "/class/vfio/1", "dev", "1:77\n");
	move_fixture_event(&s);
	ck_assert_ptr_null(strstr(s.apply.outcome.reason, "qemu"));
	make_dirs(mock_path(s.m, OTHER, "vfio-dev/vfio0"));
	mock_attr(s.m, OTHER "/vfio-dev/vfio0", "dev", "1:3\n");
	move_fixture_event(&s);
	ck_assert_str_eq(s.apply.outcome.reason, OWNED);
	move_fixture_done(&s);
}
END_TEST

static enum iommu iommu_of(struct mock *m, const char *devpath)
{
	struct sysfs sysfs;
	struct sysfs_device *d;
	enum iommu iommu;

	sysfs_init(&sysfs, &m->settings);
	d = mock_device(&sysfs, devpath);
	iommu = sysfs_device_iommu(d);
	sysfs_device_free(d);
	sysfs_done(&sysfs);
	return iommu;
}

START_TEST(no_group_may_mean_not_yet)
{
	struct mock *m = mock_new();
	const char *card = mock_pci_add(m, "0000:00:03.0", NULL, 0x1b36, 0x0010, 0x010802);
	const char *chip = mock_platform_add(m, "fe000000.dma", NULL);
	const char *other = mock_platform_add(m, "fe100000.dma", NULL);

	ck_assert_int_eq(iommu_of(m, card), IOMMU_NONE);
	make_dirs(mock_printf(m, "%s/devices/pci0000:00/of_node/iommu-map", m->sysfs));
	make_dirs(mock_path(m, chip, "of_node/iommus"));
	ck_assert_int_eq(iommu_of(m, card), IOMMU_NONE); /* its driver is not there */
	make_dirs(mock_printf(m, "%s/class/iommu/smmu3.0", m->sysfs));
	ck_assert_int_eq(iommu_of(m, card), IOMMU_LATER);
	ck_assert_int_eq(iommu_of(m, chip), IOMMU_LATER);
	ck_assert_int_eq(iommu_of(m, other), IOMMU_NONE);
	mock_bind(m, chip, "dma"); /* and no group was made */
	ck_assert_int_eq(iommu_of(m, chip), IOMMU_NONE);
	mock_group(m, 4, card, NULL);
	ck_assert_int_eq(iommu_of(m, card), IOMMU_GROUP);
	make_dirs(mock_printf(m, "%s/firmware/acpi/tables/IORT", m->sysfs));
	ck_assert_int_eq(iommu_of(m, other), IOMMU_LATER);
	mock_free(m);
}
END_TEST

START_TEST(without_an_iommu_it_is_said_what_that_means)
{
	struct move_fixture s = move_fixture_new("[device x]\nName=" FUNCTION "\nDriver=vfio\n");

	ck_assert_int_eq(unlink(mock_path(s.m, s.device, "iommu_group")), 0);
	kernel_refuses("bind vfio-pci", EINVAL);
	move_fixture_move(&s);
	assert_moved(&s, "failed", "Failed", "nvme", "", true);
	ck_assert_ptr_nonnull(
		strstr(s.moved.reason, "probing by vfio-pci: Invalid argument; it is in no IOMMU group"));

	/* With vfio's enable_unsafe_noiommu_mode it binds, and has a group of its own. */
	kernel_refuses("bind vfio-pci", 0);
	mock_group(s.m, 9, s.device, NULL);
	make_file(mock_printf(s.m, "%s/kernel/iommu_groups/9/name", s.m->sysfs), "vfio-noiommu\n", 13);
	move_fixture_move(&s);
	ck_assert_str_eq(device_state_to_string(s.moved.state), "enforced");
	ck_assert_ptr_nonnull(strstr(s.moved.reason, "can read and write all of the machine's memory"));
	ck_assert_ptr_nonnull(strstr(record_of(&s)->reason, "vfio-noiommu"));
	move_fixture_done(&s);
}
END_TEST

SUITE_MAIN("iommu", 30, a_driver_that_the_kernel_refuses_is_for_later, its_own_driver_is_for_later_as_well,
	   one_that_had_a_driver_goes_back_to_it, who_owns_a_group_need_not_be_seen,
	   a_refused_device_keeps_its_override_as_ours, a_driver_that_is_busy_itself_has_failed,
	   one_that_is_given_back_while_its_group_is_in_use_is_not_forgotten,
	   vfio_s_own_drivers_are_not_kept_off, a_device_that_is_open_owns_its_group,
	   no_group_may_mean_not_yet, without_an_iommu_it_is_said_what_that_means)
