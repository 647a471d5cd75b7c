/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Device nodes that processes have open, and what dies with a device; see in-use.h. Nodes are those of this
 * machine's memory devices: /dev/null is 1:3, /dev/zero 1:5. */
#include "tests/unit/fixtures/in-use-fixture.h"
#include "base/arena.h"
#include "base/macro.h"
#include "tests/unit/fixtures/suite.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* A folder below a device, with a node of the number 1:3. */
static const char *node_add(struct in_use_fixture *s, const char *class, const char *parent, const char *name)
{
	const char *folder = mock_printf(s->m, "%s/%s/%s", parent, class, name);

	mock_class_add(s->m, class, parent, name);
	mock_attr(s->m, folder, "dev", "1:3\n");
	return folder;
}

START_TEST(nodes_of_every_class_count)
{
	static const struct {
		const char *class, *name, *node;
	} v[] = { { "sound", "controlC0", "snd/controlC0" },
		  { "sound", "pcmC0D0p", "snd/pcmC0D0p" },
		  { "i2c-dev", "i2c-4", "i2c-4" },
		  { "uio", "uio0", "uio0" },
		  { "infiniband_verbs", "uverbs0", "infiniband/uverbs0" },
		  { "accel", "accel0", "accel/accel0" },
		  { "scsi_tape", "nst0", "nst0" },
		  { "dvb", "dvb0.demux0", "dvb/adapter0/demux0" },
		  { "usb", "1-1", "bus/usb/001/002" },
		  { "nvme-generic", "ng0n1", "ng0n1" },
		  { "drm", "renderD128", "dri/renderD128" },
		  { "mei", "mei0", "mei0" } };

	for (size_t i = 0; i < ELEMENTSOF(v); i++) {
		struct in_use_fixture s = in_use_fixture_new();

		(void)node_add(&s, v[i].class, s.device, v[i].name);
		beside_link(&s, "dev/char/1:3", mock_printf(s.m, "../%s", v[i].node));
		assert_free(&s);
		process_opens(&s, 4711, "user", "/dev/null");
		assert_used(&s, mock_printf(s.m, "/dev/%s is open in user (process 4711)", v[i].node));
		ck_assert_str_eq(s.answer.wait_for, mock_printf(s.m, "/dev/%s", v[i].node));
		process_closes(&s, 4711);
		assert_free(&s);
		ck_assert_str_eq(s.answer.wait_for, "");
		in_use_fixture_done(&s);
	}
}
END_TEST

/* vhost-vdpa-N: a folder with a number and without a subsystem. */
START_TEST(node_of_a_folder_without_a_subsystem)
{
	struct in_use_fixture s = in_use_fixture_new();

	s.device = mock_device_add(s.m, "vdpa", "/devices", "vdpa0", true);
	mock_attr(s.m, mock_printf(s.m, "%s/vhost-vdpa-0", s.device), "dev", "1:3\n");
	assert_free(&s);
	process_opens(&s, 4711, "qemu", "/dev/null");
	assert_used(&s, "/dev/vhost-vdpa-0 is open in qemu (process 4711)");
	in_use_fixture_done(&s);
}
END_TEST

START_TEST(nodes_of_no_weight)
{
	static const char *const classes[] = { "input", "hidraw", "rtc", "watchdog", "tpm", "tpmrm" };

	for (size_t i = 0; i < ELEMENTSOF(classes); i++) {
		struct in_use_fixture s = in_use_fixture_new();

		(void)node_add(&s, classes[i], s.device, "x0");
		process_opens(&s, 4711, "user", "/dev/null");
		assert_free(&s);
		in_use_fixture_done(&s);
	}
}
END_TEST

START_TEST(terminal_counts_while_somebody_is_logged_in)
{
	struct in_use_fixture s = in_use_fixture_new();

	(void)node_add(&s, "tty", s.device, "ttyS0");
	process_opens(&s, 4711, "gpsd", "/dev/null");
	beside_file(&s, "proc/4711/stat", "4711 (gpsd) S 1 4711 4711 0 -1 4194304\n");
	assert_free(&s); /* a program that reads a serial line */
	beside_file(&s, "proc/4711/comm", "agetty\n");
	beside_file(&s, "proc/4711/stat", "4711 (agetty) S 1 4711 4711 259 4711 4194304\n");
	assert_free(&s); /* nobody has logged in yet */
	beside_file(&s, "proc/4711/comm", "bash\n");
	beside_file(&s, "proc/4711/stat", "4711 (ba) sh) S 1 4711 4711 259 4711 4194304\n");
	assert_used(&s, "/dev/ttyS0 is open in bash (process 4711)");
	in_use_fixture_done(&s);
}
END_TEST

START_TEST(udev_that_reads_a_disk_is_no_user)
{
	struct in_use_fixture s = in_use_fixture_new();

	(void)node_add(&s, "nvme-generic", s.device, "ng0n1");
	process_opens(&s, 4711, "(udev-worker)", "/dev/null");
	assert_free(&s);
	/* Anybody can call himself so. */
	ck_assert_int_eq(chown(mock_printf(s.m, "%s/proc/4711", s.m->root), 65534, 65534),
			 geteuid() == 0 ? 0 : -1);
	if (geteuid() == 0)
		assert_used(&s, "/dev/ng0n1 is open in (udev-worker) (process 4711)");
	in_use_fixture_done(&s);
}
END_TEST

/* A whole disk that is given to a guest: QEMU opens it, but not exclusively. The dry run says the same. The
 * node is made for this, of a number that loop devices have, and never opened. */
START_TEST(disk_that_is_open_but_not_exclusively)
{
	struct in_use_fixture s = in_use_fixture_new();
	const char *disk = disk_add(&s, s.device, "nvme0n1");
	const char *node = mock_printf(s.m, "%s/node", s.m->root);

	if (geteuid() != 0 || mknod(node, S_IFBLK | 0600, makedev(7, 255)) < 0) {
		in_use_fixture_done(&s); /* only root makes nodes */
		return;
	}
	mock_attr(s.m, disk, "dev", "7:255\n");
	process_opens(&s, 4711, "qemu", node);
	assert_used(&s, "/dev/nvme0n1 is open in qemu (process 4711)");
	s.look_only = true;
	assert_used(&s, "/dev/nvme0n1 is open in qemu (process 4711)");
	in_use_fixture_done(&s);
}
END_TEST

START_TEST(nvidia_s_nodes_are_found_by_proc)
{
	struct in_use_fixture s = in_use_fixture_new();

	mock_bind(s.m, s.device, "nvidia");
	beside_file(&s, "proc/devices",
		    "Character devices:\n  1 nvidia-frontend\n\nBlock devices:\n259 blkext\n");
	beside_file(&s, "proc/driver/nvidia/gpus/0000:00:03.0/information",
		    "Model: \t\t X\nBus Location: \t 0000:00:03.0\nDevice Minor: \t 3\n");
	assert_free(&s);
	process_opens(&s, 4711, "Xorg", "/dev/zero");
	assert_free(&s); /* of another card */
	process_opens(&s, 4711, "Xorg", "/dev/null");
	assert_used(&s, "/dev/nvidia3 is open in Xorg (process 4711)");
	in_use_fixture_done(&s);
}
END_TEST

/* The driver's name is not VFIO's, but the kernel's vfio-dev folder tells. */
START_TEST(vfio_behind_a_driver_of_another_name)
{
	struct in_use_fixture s = in_use_fixture_new();

	mock_bind(s.m, s.device, "nvidia");
	mock_group(s.m, 7, s.device, NULL);
	mock_attr(s.m, "/class/vfio/7", "dev", "1:3\n");
	process_opens(&s, 4711, "qemu", "/dev/null");
	assert_free(&s); /* not yet VFIO's */
	mock_class_add(s.m, "vfio-dev", s.device, "vfio0");
	mock_attr_link(s.m, mock_printf(s.m, "%s/vfio-dev/vfio0", s.device), "device",
		       "../../../0000:00:03.0");
	assert_used(&s, "/dev/vfio/7 is open in qemu (process 4711)");
	in_use_fixture_done(&s);
}
END_TEST

START_TEST(mediated_device_that_a_guest_has)
{
	struct in_use_fixture s = in_use_fixture_new();
	const char *child;

	mock_bind(s.m, s.device, "i915");
	child = mock_device_add(s.m, "mdev", s.device, "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001", false);
	mock_group(s.m, 9, child, NULL);
	mock_attr(s.m, "/class/vfio/9", "dev", "1:3\n");
	assert_free(&s);
	process_opens(&s, 4711, "qemu", "/dev/null");
	assert_used(&s, "/dev/vfio/9 is open in qemu (process 4711)");
	in_use_fixture_done(&s);
}
END_TEST

START_TEST(virtual_functions_are_looked_at_each)
{
	struct in_use_fixture s = in_use_fixture_new();
	const char *vf = mock_pci_add(s.m, "0000:00:10.1", NULL, 0x8086, 0x10ed, 0x020000);

	mock_physfn(s.m, vf, s.device, 0);
	mock_bind(s.m, vf, "vfio-pci");
	mock_group(s.m, 11, vf, NULL);
	mock_attr(s.m, "/class/vfio/11", "dev", "1:3\n");
	assert_free(&s);
	process_opens(&s, 4711, "qemu", "/dev/null");
	assert_used(&s, "its virtual function 0000:00:10.1: /dev/vfio/11 is open in qemu (process 4711)");
	process_closes(&s, 4711);
	mock_bind(s.m, vf, "igbvf");
	(void)node_add(&s, "uio", vf, "uio0");
	process_opens(&s, 4711, "dpdk", "/dev/null");
	assert_used(&s, "its virtual function 0000:00:10.1: /dev/uio0 is open in dpdk (process 4711)");
	process_closes(&s, 4711);
	mock_class_add(s.m, "net", vf, "eth7");
	mock_attr_link(s.m, mock_printf(s.m, "%s/net/eth7", vf), "master", "../../virtual/net/br0");
	assert_used(&s, "its virtual function 0000:00:10.1: eth7 is a port of br0");
	ck_assert_str_eq(s.answer.wait_for, "net");
	in_use_fixture_done(&s);
}
END_TEST

/* A regulator that an SD host hangs by. */
START_TEST(consumers_die_with_their_supplier)
{
	struct in_use_fixture s = in_use_fixture_new();
	const char *host, *devlink = "/devices/virtual/devlink/platform:reg--platform:mmc";

	s.device = mock_platform_add(s.m, "reg", NULL);
	host = mock_platform_add(s.m, "mmc", NULL);
	mock_attr(s.m, devlink, "status", "active\n");
	mock_attr(s.m, devlink, "sync_state_only", "0\n");
	mock_attr_link(s.m, devlink, "consumer", mock_printf(s.m, "%s%s", s.m->sysfs, host));
	mock_attr_link(s.m, s.device, "consumer:platform:mmc", mock_printf(s.m, "%s%s", s.m->sysfs, devlink));
	assert_free(&s);
	(void)node_add(&s, "uio", host, "uio0");
	process_opens(&s, 4711, "user", "/dev/null");
	assert_used(&s, "its consumer mmc: /dev/uio0 is open in user (process 4711)");
	/* A link that the driver core does not manage unbinds nobody; neither does one for sync_state(). */
	mock_attr(s.m, devlink, "status", "not tracked\n");
	assert_free(&s);
	mock_attr(s.m, devlink, "status", "active\n");
	mock_attr(s.m, devlink, "sync_state_only", "1\n");
	assert_free(&s);
	/* Two that depend on each other end the search. */
	mock_attr(s.m, devlink, "sync_state_only", "0\n");
	process_closes(&s, 4711);
	mock_attr_link(s.m, host, "consumer:platform:reg", mock_printf(s.m, "%s%s", s.m->sysfs, devlink));
	assert_free(&s);
	in_use_fixture_done(&s);
}
END_TEST

/* s390: the interface of a qeth group hangs below the group device, not below its three subchannels. */
START_TEST(group_device_of_a_ccw_device)
{
	struct in_use_fixture s = in_use_fixture_new();
	const char *group = mock_device_add(s.m, "ccwgroup", "/devices/qeth", "0.0.f500", false);

	s.device = mock_device_add(s.m, "ccw", "/devices/css0", "0.0.f501", true);
	mock_attr_link(s.m, s.device, "group_device", mock_printf(s.m, "%s%s", s.m->sysfs, group));
	assert_free(&s);
	mock_class_add(s.m, "net", group, "enc0");
	mock_attr_link(s.m, mock_printf(s.m, "%s/net/enc0", group), "master", "../../virtual/net/br0");
	assert_used(&s, "its group device 0.0.f500: enc0 is a port of br0");
	in_use_fixture_done(&s);
}
END_TEST

START_TEST(bridge_counts_with_a_device_below_it)
{
	struct in_use_fixture s = in_use_fixture_new();

	/* An NVSwitch, an ISA bridge: of class 06, and end points like any. */
	s.device = mock_pci_add(s.m, "0000:00:1f.0", NULL, 0x8086, 0x2918, 0x060100);
	assert_free(&s);
	s.device = mock_pci_add(s.m, "0000:00:1c.0", NULL, 0x8086, 0x1901, 0x060400);
	mock_attr(s.m, s.device, "secondary_bus_number", "3\n");
	assert_free(&s);
	(void)mock_pci_add(s.m, "0000:03:00.0", s.device, 0x8086, 0x10d3, 0x020000);
	assert_used(&s, "it is a PCI bridge, with 0000:03:00.0 below it");
	in_use_fixture_done(&s);
}
END_TEST

SUITE_MAIN("in-use-node", 20, nodes_of_every_class_count, node_of_a_folder_without_a_subsystem,
	   nodes_of_no_weight, terminal_counts_while_somebody_is_logged_in, udev_that_reads_a_disk_is_no_user,
	   disk_that_is_open_but_not_exclusively, nvidia_s_nodes_are_found_by_proc,
	   vfio_behind_a_driver_of_another_name, mediated_device_that_a_guest_has,
	   virtual_functions_are_looked_at_each, consumers_die_with_their_supplier,
	   group_device_of_a_ccw_device, bridge_counts_with_a_device_below_it)
