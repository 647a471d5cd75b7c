/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `driver-override sweep --last-good`: in a boot image, the root file system does not come. */
#include "base/macro.h"
#include "state/boot-attempts.h"
#include "tests/unit/fixtures/boot-machine.h"
#include "tests/unit/fixtures/suite.h"

#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

START_TEST(root_that_does_not_come_is_got_back_in_the_same_boot)
{
	const char *device;
	struct mock *m = machine_new(&device);
	struct boot_attempts attempts;
	struct enforcer_result r;

	mock_policy(m, MOCK_ETC, "10-a.conf", RULE("other", "0000:00:09.0", "pci-stub"));
	machine_boot(m, device, true);
	mock_policy(m, MOCK_ETC, "10-a.conf", BAD);
	machine_enter_image(m, device);
	ck_assert_int_eq(enforcer_run(m, "sweep", "--boot", NULL).status, 0);
	ck_assert_str_eq(mock_override(m, device), "vfio-pci");
	ck_assert_int_eq(boot_attempts_read(&m->settings, &attempts), 0);
	ck_assert_uint_eq(attempts.n, 0);
	r = enforcer_run(m, "sweep", "--last-good", NULL);
	ck_assert_int_eq(r.status, 0);
	ck_assert_str_eq(mock_override(m, device), "\n");
	ck_assert_ptr_nonnull(strstr(r.err, "with the last policy that was good"));
	ck_assert_ptr_nonnull(strstr(console_text(m), "with the last policy that was good"));

	/* On the real root it stays so, and when that has been so twice, the policy has failed for good. */
	for (unsigned i = 1; i <= BOOT_ATTEMPTS_MAX; i++) {
		if (i > 1) {
			machine_enter_image(m, device);
			ck_assert_int_eq(enforcer_run(m, "sweep", "--boot", NULL).status, 0);
			ck_assert_str_eq(mock_override(m, device), "vfio-pci");
			ck_assert_int_eq(enforcer_run(m, "sweep", "--last-good", NULL).status, 0);
		}
		machine_leave_image(m);
		r = enforcer_run(m, "sweep", "--boot", NULL);
		ck_assert_int_eq(r.status, 0);
		ck_assert_str_eq(mock_override(m, device), "\n");
		ck_assert_int_eq(boot_attempts_read(&m->settings, &attempts), 0);
		ck_assert_uint_eq(attempts.n, i);
		ck_assert_int_eq(enforcer_run(m, "boot", "complete", NULL).status, 0);
	}
	machine_boot(m, device, true);
	ck_assert_str_eq(mock_override(m, device), "(null)\n");
	mock_free(m);
}
END_TEST

START_TEST(root_that_still_does_not_come_is_got_back_without_policy)
{
	const char *device;
	struct mock *m = machine_new(&device);
	struct enforcer_result r;

	mock_policy(m, MOCK_ETC, "10-a.conf", GOOD);
	machine_boot(m, device, true);
	mock_policy(m, MOCK_ETC, "10-a.conf", BAD);
	machine_enter_image(m, device);
	ck_assert_int_eq(enforcer_run(m, "sweep", "--boot", NULL).status, 0);
	mock_driver_add(m, "pci", "pci-stub");
	ck_assert_int_eq(enforcer_run(m, "sweep", "--last-good", NULL).status, 0);
	r = enforcer_run(m, "sweep", "--last-good", NULL);
	ck_assert_int_eq(r.status, 0);
	ck_assert_ptr_nonnull(strstr(r.err, "without policy"));
	ck_assert_str_eq(mock_override(m, device), "\n");
	mock_free(m);
}
END_TEST

/*
 * A running machine keeps its disk whatever a rule says, so such a policy counts as good until an image has
 * it, too.
 */
START_TEST(good_policy_that_takes_the_root_in_the_image_is_put_aside_for_a_boot)
{
	const char *device;
	struct mock *m = machine_new(&device);
	struct boot_attempts attempts;
	struct enforcer_result r;

	mock_policy(m, MOCK_ETC, "10-a.conf", BAD);
	machine_boot(m, device, true);
	machine_enter_image(m, device);
	ck_assert_int_eq(enforcer_run(m, "sweep", "--boot", NULL).status, 0);
	r = enforcer_run(m, "sweep", "--last-good", NULL);
	ck_assert_ptr_nonnull(strstr(r.err, "without policy"));
	ck_assert_str_eq(mock_override(m, device), "\n");
	machine_leave_image(m);
	ck_assert_int_eq(enforcer_run(m, "sweep", "--boot", NULL).status, 0);
	ck_assert_str_eq(mock_override(m, device), "\n");
	ck_assert_int_eq(enforcer_run(m, "boot", "complete", NULL).status, 0);
	ck_assert_int_eq(boot_attempts_read(&m->settings, &attempts), 0);
	ck_assert_uint_eq(attempts.n, 0);
	ck_assert_str_ne(attempts.good, "");
	mock_free(m);
}
END_TEST

/* A disk that is slow to come is no reason to give up a graphics card. */
START_TEST(device_without_a_disk_behind_it_is_not_given_back)
{
	struct mock *m = mock_new();
	const char *gpu = mock_pci_add(m, "0000:00:03.0", NULL, 0x10de, 0x1b80, 0x030000), *nic;
	struct enforcer_result r;

	mock_policy(m, MOCK_ETC, "10-a.conf", BAD);
	ck_assert_int_eq(enforcer_run(m, "sweep", "--boot", NULL).status, 0);
	r = enforcer_run(m, "sweep", "--last-good", NULL);
	ck_assert_int_eq(r.status, 0);
	ck_assert_ptr_nonnull(strstr(r.err, "stays in force"));
	ck_assert_str_eq(mock_override(m, gpu), "vfio-pci");

	mock_remove(m, gpu);
	/* A network card is on the way to the root file system only where the image brings up the network. */
	nic = mock_pci_add(m, "0000:00:03.0", NULL, 0x8086, 0x10d3, 0x020000);
	make_dirs(mock_printf(m, "%s/proc", m->root));
	make_file(mock_printf(m, "%s/proc/cmdline", m->root), "root=/dev/vda ro\n", 17);
	ck_assert_int_eq(enforcer_run(m, "sweep", "--boot", NULL).status, 0);
	ck_assert_ptr_nonnull(strstr(enforcer_run(m, "sweep", "--last-good", NULL).err, "stays in force"));
	ck_assert_str_eq(mock_override(m, nic), "vfio-pci");
	make_file(mock_printf(m, "%s/proc/cmdline", m->root), "root=/dev/nfs ip=dhcp\n", 22);
	ck_assert_ptr_nonnull(strstr(enforcer_run(m, "sweep", "--last-good", NULL).err, "without policy"));
	mock_free(m);
}
END_TEST

/* A running machine knows where its root file system lies; an image that waits for another disk gives up
 * nothing. */
START_TEST(image_knows_which_devices_the_root_lies_on)
{
	static const char *const mounts[] = {
		"1 0 0:1 / / rw - rootfs none rw\n2 1 259:0 / / rw - ext4 /dev/nvme0n1 rw\n",
		/* Its number is no disk's. */
		"1 0 0:1 / / rw - rootfs none rw\n2 1 0:27 /root / rw shared:1 - btrfs /dev/nvme0n1 "
		"rw,subvol=/root\n",
	};
	const char *device, *other, *noted;
	struct mock *m = machine_new(&device);
	struct enforcer_result r;

	other = mock_pci_add(m, "0000:00:04.0", NULL, 0x1b36, 0x0010, 0x010802);
	mock_class_add(m, "block", other, "nvme0n1");
	make_dirs(mock_printf(m, "%s/dev/block", m->sysfs));
	ck_assert_int_eq(symlink("../../class/block/nvme0n1", mock_printf(m, "%s/dev/block/259:0", m->sysfs)),
			 0);
	make_dirs(mock_printf(m, "%s/proc/self", m->root));
	noted = mock_printf(m, "%s/var/lib/driver-overrides/root-devices", m->root);
	mock_policy(m, MOCK_ETC, "10-a.conf", BAD);
	for (size_t i = 0; i < ELEMENTSOF(mounts); i++) {
		(void)unlink(noted);
		make_file(mock_printf(m, "%s/proc/self/mountinfo", m->root), mounts[i], strlen(mounts[i]));
		machine_boot(m, device, true);
		ck_assert_str_eq(mock_read(m, noted), "pci/0000:00:04.0\n");
	}
	r = enforcer_run(m, "image", "files", NULL);
	ck_assert_ptr_nonnull(strstr(r.out, "/var/lib/driver-overrides/root-devices\n"));

	machine_enter_image(m, device);
	ck_assert_int_eq(enforcer_run(m, "sweep", "--boot", NULL).status, 0);
	r = enforcer_run(m, "sweep", "--last-good", NULL);
	ck_assert_ptr_nonnull(strstr(r.err, "stays in force"));
	ck_assert_str_eq(mock_override(m, device), "vfio-pci");
	/* Where that disk is not here under its name, nobody knows. */
	make_file(noted, "pci/0000:00:05.0\n", 17);
	r = enforcer_run(m, "sweep", "--last-good", NULL);
	ck_assert_ptr_nonnull(strstr(r.err, "without policy"));
	mock_free(m);
}
END_TEST

/* The next image knows what has failed, and does not try it again. */
START_TEST(image_takes_the_last_good_policy_with_it)
{
	const char *device;
	struct mock *m = machine_with_failed_policy(&device);
	struct enforcer_result r = enforcer_run(m, "image", "files", NULL);

	ck_assert_ptr_nonnull(strstr(r.out, "/var/lib/driver-overrides/boots\n"));
	ck_assert_ptr_nonnull(strstr(r.out, "/var/lib/driver-overrides/policies/"));
	machine_enter_image(m, device);
	ck_assert_int_eq(enforcer_run(m, "sweep", "--boot", NULL).status, 0);
	ck_assert_str_eq(mock_override(m, device), "pci-stub");
	/* An image that is older than a person's decision does not decide. */
	machine_leave_image(m);
	ck_assert_int_eq(unlink(mock_printf(m, "%s/var/lib/driver-overrides/boots", m->root)), 0);
	make_file(mock_printf(m, "%s/var/lib/driver-overrides/boots", m->root), "good=\ntried=\nattempts=0\n",
		  25);
	ck_assert_int_eq(enforcer_run(m, "sweep", "--boot", NULL).status, 0);
	ck_assert_str_eq(mock_override(m, device), "vfio-pci");
	mock_free(m);
}
END_TEST

SUITE_MAIN("last-good", 60, root_that_does_not_come_is_got_back_in_the_same_boot,
	   root_that_still_does_not_come_is_got_back_without_policy,
	   good_policy_that_takes_the_root_in_the_image_is_put_aside_for_a_boot,
	   device_without_a_disk_behind_it_is_not_given_back, image_knows_which_devices_the_root_lies_on,
	   image_takes_the_last_good_policy_with_it)
