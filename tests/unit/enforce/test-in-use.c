/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What uses a device, on mock trees with a proc, a dev and a run beside them. What needs a kernel is tested
 * in the VM. */
#include "base/arena.h"
#include "base/text.h"
#include "tests/unit/fixtures/in-use-fixture.h"
#include "tests/unit/fixtures/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

START_TEST(device_with_nothing_below_it_is_free)
{
	struct in_use_fixture s = in_use_fixture_new();

	assert_free(&s);
	s.device = mock_platform_add(s.m, "serial8250", NULL);
	assert_free(&s);
	in_use_fixture_done(&s);
}
END_TEST

START_TEST(disk_that_can_be_had_exclusively_is_free)
{
	struct in_use_fixture s = in_use_fixture_new();

	(void)disk_add(&s, s.device, "sda");
	assert_free(&s);
	in_use_fixture_done(&s);
}
END_TEST

START_TEST(disk_without_its_own_node_is_taken_for_used)
{
	struct in_use_fixture s = in_use_fixture_new();
	const char *disk = disk_add(&s, s.device, "sda");

	mock_attr(s.m, disk, "dev", "8:0\n");
	assert_used(&s, "/dev/sda is not there, so nobody can tell whether it is in use");
	mock_attr(s.m, disk, "dev", "0:0\n");
	assert_free(&s);
	ck_assert_int_eq(unlink(mock_printf(s.m, "%s/dev/sda", s.m->root)), 0);
	assert_used(&s, "/dev/sda is not there, so nobody can tell whether it is in use");
	in_use_fixture_done(&s);
}
END_TEST

/* Permissions count from now on, for root as well. */
static void drop_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	ck_assert_int_eq(syscall(SYS_capget, &header, data), 0);
	data[0].effective &= ~(1U << CAP_DAC_OVERRIDE | 1U << CAP_DAC_READ_SEARCH);
	ck_assert_int_eq(syscall(SYS_capset, &header, data), 0);
}

START_TEST(disk_that_cannot_be_opened_is_taken_for_used)
{
	struct in_use_fixture s = in_use_fixture_new();

	(void)disk_add(&s, s.device, "sda");
	ck_assert_int_eq(chmod(mock_printf(s.m, "%s/dev/sda", s.m->root), 0), 0);
	drop_capabilities();
	s.is_not_shown = true;
	assert_used(&s,
		    "/dev/sda cannot be opened, so nobody can tell whether it is in use: Permission denied");
	in_use_fixture_done(&s);
}
END_TEST

/* A free partition is looked at before its disk, and no change of mounts tells when the disk's node comes
 * back. */
START_TEST(what_a_free_disk_might_have_waited_for_is_not_said_of_another)
{
	struct in_use_fixture s = in_use_fixture_new();
	const char *disk = disk_add(&s, s.device, "sda");

	(void)disk_add(&s, disk, "sda1");
	ck_assert_int_eq(unlink(mock_printf(s.m, "%s/dev/sda", s.m->root)), 0);
	s.look_only = true;
	assert_used(&s, "/dev/sda is not there, so nobody can tell whether it is in use");
	ck_assert_str_eq(s.answer.wait_for, "time");
	in_use_fixture_done(&s);
}
END_TEST

/* For somebody who may not disturb others: then only who can be seen is noticed. */
START_TEST(nothing_is_opened_with_look_only)
{
	struct in_use_fixture s = in_use_fixture_new();

	(void)disk_add(&s, s.device, "sda");
	s.look_only = true;
	ck_assert_int_eq(chmod(mock_printf(s.m, "%s/dev/sda", s.m->root), 0), 0);
	drop_capabilities();
	assert_free(&s);
	beside_file(&s, "proc/self/mountinfo", "23 21 0:0 / /mnt rw,noatime shared:1 - ext4 /dev/root rw\n");
	assert_used(&s, "/dev/sda is mounted on /mnt");
	ck_assert_str_eq(s.answer.wait_for, "mount");
	beside_file(&s, "proc/self/mountinfo", "");
	mock_group(s.m, 7, s.device, NULL);
	mock_attr(s.m, "/class/vfio/7", "dev", "1:3\n");
	mock_bind(s.m, s.device, "vfio-pci");
	beside_link(&s, "dev/vfio/7", "7");
	assert_free(&s);
	in_use_fixture_done(&s);
}
END_TEST

START_TEST(folder_that_cannot_be_looked_at)
{
	struct in_use_fixture s = in_use_fixture_new();
	const char *disk = disk_add(&s, s.device, "sda");

	drop_capabilities();
	ck_assert_int_eq(chmod(mock_path(s.m, disk, "dev"), 0), 0);
	ck_assert_int_eq(in_use_fixture_check(&s), -EACCES);
	ck_assert_int_eq(chmod(mock_printf(s.m, "%s%s", s.m->sysfs, disk), 0), 0);
	ck_assert_int_eq(in_use_fixture_check(&s), -EACCES);
	ck_assert_int_eq(chmod(mock_printf(s.m, "%s%s", s.m->sysfs, disk), 0700), 0);
	in_use_fixture_done(&s);
}
END_TEST

START_TEST(drive_without_a_medium_is_free)
{
	struct in_use_fixture s = in_use_fixture_new();

	(void)disk_add(&s, s.device, "sr0");
	/* What opening says then: ENXIO, as of a pipe that nobody reads, opened to be written; of a socket.
	 */
	ck_assert_int_eq(unlink(mock_printf(s.m, "%s/dev/sr0", s.m->root)), 0);
	ck_assert_int_eq(mknod(mock_printf(s.m, "%s/dev/sr0", s.m->root), S_IFSOCK | 0600, 0), 0);
	assert_free(&s);
	in_use_fixture_done(&s);
}
END_TEST

/* Another function of the card is moved at the same time. */
START_TEST(interface_and_node_that_go_while_they_are_looked_at_are_free)
{
	struct in_use_fixture s = in_use_fixture_new();
	const char *eth0 = mock_printf(s.m, "%s/net/eth0", s.device);
	const char *ifindex = mock_path(s.m, eth0, "ifindex");

	mock_class_add(s.m, "net", s.device, "eth0");
	ck_assert_int_eq(mknod(ifindex, S_IFSOCK | 0600, 0), 0); /* opening it fails with ENXIO */
	assert_free(&s);
	/* EINVAL for a buffer that holds no whole number of entries. */
	ck_assert_int_eq(unlink(ifindex), 0);
	ck_assert_int_eq(symlink("/proc/self/pagemap", ifindex), 0);
	assert_free(&s);
	ck_assert_int_eq(mknod(mock_path(s.m, eth0, "dev"), S_IFSOCK | 0600, 0), 0);
	assert_free(&s);
	in_use_fixture_done(&s);
}
END_TEST

START_TEST(disk_with_a_slash_in_its_name)
{
	struct in_use_fixture s = in_use_fixture_new();

	mock_class_add(s.m, "block", s.device, "cciss!c0d0");
	mock_attr(s.m, mock_printf(s.m, "%s/block/cciss!c0d0", s.device), "dev", "0:0\n");
	beside_file(&s, "dev/cciss/c0d0", "");
	assert_free(&s);
	in_use_fixture_done(&s);
}
END_TEST

START_TEST(mount_point_of_a_mounted_disk_is_named)
{
	struct in_use_fixture s = in_use_fixture_new();

	(void)disk_add(&s, s.device, "sda");
	node_hold(&s, "sda");
	beside_file(&s, "proc/self/mountinfo",
		    "21 1 0:20 / / rw - rootfs rootfs rw\n"
		    "cut off\n"
		    "22 21 7:0 / /else rw,noatime shared:1 - ext4 /dev/sdb rw\n"
		    "23 21 0:0 / /mnt/a\\040b rw,noatime shared:1 master:2 - ext4 /dev/root rw\n");
	assert_used(&s, "/dev/sda is mounted on /mnt/a b");
	/* btrfs: a number of its own. */
	beside_file(&s, "proc/self/mountinfo", "23 21 0:44 / /data rw - btrfs /dev/sda rw\n");
	assert_used(&s, "/dev/sda is mounted on /data");
	in_use_fixture_done(&s);
}
END_TEST

START_TEST(partition_is_named_before_its_disk)
{
	struct in_use_fixture s = in_use_fixture_new();
	const char *disk = disk_add(&s, s.device, "sda");

	(void)disk_add(&s, disk, "sda1");
	node_hold(&s, "sda");
	node_hold(&s, "sda1");
	beside_file(&s, "proc/self/mountinfo", "23 21 8:1 / /mnt rw - ext4 /dev/sda1 rw\n");
	assert_used(&s, "/dev/sda1 is mounted on /mnt");
	in_use_fixture_done(&s);
}
END_TEST

START_TEST(swap_is_named)
{
	struct in_use_fixture s = in_use_fixture_new();

	(void)disk_add(&s, s.device, "sda");
	node_hold(&s, "sda");
	beside_file(
		&s, "proc/swaps",
		"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n/dev/sda                                "
		"partition\t65532\t\t0\t\t-2\n");
	assert_used(&s, "/dev/sda is swap");
	ck_assert_str_eq(s.answer.wait_for, "mount");
	in_use_fixture_done(&s);
}
END_TEST

START_TEST(holder_of_a_disk_is_named)
{
	struct in_use_fixture s = in_use_fixture_new();
	const char *disk = disk_add(&s, s.device, "sda");

	node_hold(&s, "sda");
	make_dirs(mock_path(s.m, disk, "holders/md127"));
	assert_used(&s, "/dev/sda is used by md127");
	remove_tree(mock_path(s.m, disk, "holders/md127"));
	mock_attr(s.m, disk, "holders/dm-0/dm/name", "vg-root\n");
	assert_used(&s, "/dev/sda is used by device-mapper vg-root (dm-0)");
	in_use_fixture_done(&s);
}
END_TEST

START_TEST(mount_of_another_namespace_is_named_by_a_process)
{
	struct in_use_fixture s = in_use_fixture_new();
	static const char mounted[] = "23 21 0:0 / /mnt rw - ext4 /dev/sda rw\n";

	(void)disk_add(&s, s.device, "sda");
	node_hold(&s, "sda");
	s.is_not_shown = true;
	assert_used(&s, "/dev/sda is mounted in another mount namespace, or opened exclusively");

	beside_link(&s, "proc/self/ns/mnt", "mnt:[1]");
	beside_link(&s, "proc/10/ns/mnt", "mnt:[1]");
	beside_file(&s, "proc/10/mountinfo", mounted); /* what is not looked at need not be right */
	beside_link(&s, "proc/11/ns/mnt", "mnt:[2]");
	beside_file(&s, "proc/11/mountinfo", "21 1 0:20 / / rw - rootfs rootfs rw\n");
	beside_link(&s, "proc/12/ns/mnt", "mnt:[2]");
	beside_file(&s, "proc/12/mountinfo", "21 1 0:20 / / rw - rootfs rootfs rw\n");
	assert_used(&s, "/dev/sda is mounted in another mount namespace, or opened exclusively");
	beside_link(&s, "proc/4711/ns/mnt", "mnt:[3]");
	beside_file(&s, "proc/4711/mountinfo", mounted);
	beside_file(&s, "proc/4711/comm", "sleep\n");
	s.is_not_shown = false;
	assert_used(&s, "/dev/sda is mounted on /mnt in the mount namespace of sleep (process 4711)");
	in_use_fixture_done(&s);
}
END_TEST

START_TEST(nvme_multipath_heads_are_followed)
{
	struct in_use_fixture s = in_use_fixture_new();
	const char *subsystem = "/devices/virtual/nvme-subsystem/nvme-subsys0";

	mock_class_add(s.m, "nvme", s.device, "nvme0");
	mock_class_add(s.m, "block", mock_printf(s.m, "%s/nvme/nvme0", s.device), "nvme0c0n1");
	mock_class_add(s.m, "nvme-subsystem", "/devices/virtual", "nvme-subsys0");
	mock_class_add(s.m, "nvme-subsystem", "/devices/virtual", "nvme-subsys1");
	mock_attr_link(s.m, subsystem, "nvme0", "../../../pci0000:00/0000:00:03.0/nvme/nvme0");
	(void)disk_add(&s, subsystem, "nvme0n1");
	(void)disk_add(&s, "/devices/virtual/nvme-subsystem/nvme-subsys1", "nvme1n1");
	node_hold(&s, "nvme1n1");
	assert_free(&s);
	node_hold(&s, "nvme0n1");
	beside_file(&s, "proc/swaps", "/dev/nvme0n1 partition 1 0 -2\n");
	assert_used(&s, "/dev/nvme0n1 is swap");
	in_use_fixture_done(&s);
}
END_TEST

START_TEST(interface_below_another_interface)
{
	struct in_use_fixture s = in_use_fixture_new();
	const char *eth0 = mock_printf(s.m, "%s/net/eth0", s.device);

	mock_class_add(s.m, "net", s.device, "eth0");
	assert_free(&s);
	mock_attr_link(s.m, eth0, "upper_eth0.5", "../eth0.5");
	assert_used(&s, "eth0 carries eth0.5");
	mock_attr_link(s.m, eth0, "master", "../../virtual/net/br0");
	assert_used(&s, "eth0 is a port of br0");
	in_use_fixture_done(&s);
}
END_TEST

/* The loopback device of the machine has an address for certain, and may be asked about it. */
START_TEST(interface_with_an_address)
{
	struct in_use_fixture s = in_use_fixture_new();
	const char *eth0 = mock_printf(s.m, "%s/virtio0/net/eth0", s.device);

	mock_class_add(s.m, "net", mock_printf(s.m, "%s/virtio0", s.device), "eth0");
	mock_attr(s.m, eth0, "ifindex", "1\n");
	ck_assert_int_eq(in_use_fixture_check(&s), 1);
	ck_assert_msg(startswith(s.answer.reason, "eth0 has the address ") != NULL, "%s", s.answer.reason);
	/* One that there is not has neither address nor route. */
	mock_attr(s.m, eth0, "ifindex", "2147483647\n");
	assert_free(&s);
	mock_attr(s.m, eth0, "ifindex", "0\n");
	assert_free(&s);
	in_use_fixture_done(&s);
}
END_TEST

START_TEST(interface_in_another_network_namespace)
{
	struct in_use_fixture s = in_use_fixture_new();

	make_dirs(mock_path(s.m, s.device, "net"));
	beside_file(&s, "run/netns/blue", "");
	beside_file(&s, "proc/12/ns/net", "");
	assert_used(&s, "a network interface of it is in another network namespace");
	/* With our own at hand, the others are gone through; none of these is one. */
	beside_link(&s, "proc/self/ns/net", "/proc/self/ns/net");
	beside_link(&s, "proc/13/ns/net", "/proc/self/ns/net");
	assert_used(&s, "a network interface of it is in another network namespace");
	in_use_fixture_done(&s);
}
END_TEST

START_TEST(open_drm_device)
{
	struct in_use_fixture s = in_use_fixture_new();
	const char *card = mock_printf(s.m, "%s/drm/card0", s.device);

	mock_class_add(s.m, "drm", s.device, "card0");
	mock_class_add(s.m, "drm", card, "card0-HDMI-A-1"); /* a connector has no node */
	mock_attr(s.m, card, "dev", "1:3\n");		    /* that of /dev/null */
	beside_file(&s, "proc/42/fd/1", "");
	beside_link(&s, "proc/43/fd/0", "/dev/zero");
	beside_link(&s, "proc/44/fd/0", "/nowhere");
	assert_free(&s);
	beside_link(&s, "dev/char/1:3", "../dri/card0");
	beside_link(&s, "proc/4711/fd/7", "/dev/null");
	assert_used(&s, "/dev/dri/card0 is open in process 4711");
	beside_file(&s, "proc/4711/comm", "Xorg\n");
	assert_used(&s, "/dev/dri/card0 is open in Xorg (process 4711)");
	in_use_fixture_done(&s);
}
END_TEST

START_TEST(open_vfio_device)
{
	struct in_use_fixture s = in_use_fixture_new();

	mock_group(s.m, 7, s.device, NULL);
	mock_attr(s.m, "/class/vfio/7", "dev", "1:3\n");
	beside_file(&s, "proc/4711/comm", "qemu\n");
	beside_link(&s, "proc/4711/fd/7", "/dev/null");
	assert_free(&s); /* a driver that does not know VFIO */
	mock_bind(s.m, s.device, "vfio-pci");
	assert_used(&s, "/dev/vfio/7 is open in qemu (process 4711)");
	ck_assert_int_eq(unlink(mock_printf(s.m, "%s/proc/4711/fd/7", s.m->root)), 0);
	assert_free(&s); /* it has no node */
	beside_link(&s, "dev/vfio/7", "7");
	s.is_not_shown = true;
	assert_used(
		&s,
		"/dev/vfio/7 cannot be opened, so nobody can tell whether it is in use: Too many levels of "
		"symbolic links");
	ck_assert_int_eq(unlink(mock_printf(s.m, "%s/dev/vfio/7", s.m->root)), 0);

	/* The device itself, where it has a node. */
	s.is_not_shown = false;
	mock_class_add(s.m, "vfio-dev", s.device, "vfio0");
	assert_free(&s);
	mock_attr(s.m, mock_printf(s.m, "%s/vfio-dev/vfio0", s.device), "dev", "1:5\n");
	beside_link(&s, "dev/char/1:5", "../vfio/devices/vfio0");
	beside_link(&s, "proc/4711/fd/8", "/dev/zero");
	assert_used(&s, "/dev/vfio/devices/vfio0 is open in qemu (process 4711)");
	in_use_fixture_done(&s);
}
END_TEST

START_TEST(open_vfio_group_without_an_iommu)
{
	struct in_use_fixture s = in_use_fixture_new();

	mock_group(s.m, 7, s.device, NULL);
	mock_bind(s.m, s.device, "vfio-pci");
	mock_attr(s.m, "/class/vfio/noiommu-7", "dev", "1:3\n");
	assert_free(&s);
	beside_link(&s, "proc/4711/fd/7", "/dev/null");
	assert_used(&s, "/dev/vfio/noiommu-7 is open in process 4711");
	in_use_fixture_done(&s);
}
END_TEST

START_TEST(tree_that_never_ends)
{
	struct in_use_fixture s = in_use_fixture_new();
	const char *path = s.device;

	for (int i = 0; i < 60; i++)
		path = mock_printf(s.m, "%s/x", path);
	make_dirs(mock_printf(s.m, "%s%s", s.m->sysfs, path));
	ck_assert_int_eq(in_use_fixture_check(&s), -ELOOP);
	in_use_fixture_done(&s);
}
END_TEST

SUITE_MAIN("inuse", 20, device_with_nothing_below_it_is_free, disk_that_can_be_had_exclusively_is_free,
	   disk_without_its_own_node_is_taken_for_used, disk_that_cannot_be_opened_is_taken_for_used,
	   what_a_free_disk_might_have_waited_for_is_not_said_of_another, nothing_is_opened_with_look_only,
	   folder_that_cannot_be_looked_at, drive_without_a_medium_is_free,
	   interface_and_node_that_go_while_they_are_looked_at_are_free, disk_with_a_slash_in_its_name,
	   mount_point_of_a_mounted_disk_is_named, partition_is_named_before_its_disk, swap_is_named,
	   holder_of_a_disk_is_named, mount_of_another_namespace_is_named_by_a_process,
	   nvme_multipath_heads_are_followed, interface_below_another_interface, interface_with_an_address,
	   interface_in_another_network_namespace, open_drm_device, open_vfio_device,
	   open_vfio_group_without_an_iommu, tree_that_never_ends)
