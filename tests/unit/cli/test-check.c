/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What `overridectl check` says about valid policy, on mock trees with the files beside them. */
#include "base/macro.h"
#include "base/text.h"
#include "policy/vfio-driver.h"
#include "tests/unit/fixtures/mock-sysfs.h"
#include "tests/unit/fixtures/run-enforcer.h"
#include "tests/unit/fixtures/suite.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

/* An NVMe with /dev/nvme0n1p1, a network card with eth0, and a graphics card with its sound, in one group. */
struct machine {
	struct mock *m;
	const char *nvme, *nic, *gpu, *sound;
};

/* A file beside the sysfs tree. */
static void machine_file(struct machine *t, const char *path, const char *text)
{
	const char *full = mock_printf(t->m, "%s/../%s", t->m->sysfs, path);

	make_dirs(mock_printf(t->m, "%.*s", (int)(strrchr(full, '/') - full), full));
	make_file(full, text, strlen(text));
}

static void machine_disk(struct machine *t, const char *number, const char *name)
{
	make_dirs(mock_printf(t->m, "%s/dev/block", t->m->sysfs));
	ck_assert_int_eq(symlink(mock_printf(t->m, "../../class/block/%s", name),
				 mock_printf(t->m, "%s/dev/block/%s", t->m->sysfs, number)),
			 0);
}

static struct machine machine_new(const char *policy)
{
	struct machine t = { .m = mock_new() };

	t.nvme = mock_pci_add(t.m, "0000:00:03.0", NULL, 0x1b36, 0x0010, 0x010802);
	t.nic = mock_pci_add(t.m, "0000:00:04.0", NULL, 0x8086, 0x10d3, 0x020000);
	t.gpu = mock_pci_add(t.m, "0000:00:05.0", NULL, 0x10de, 0x1b80, 0x030000);
	t.sound = mock_pci_add(t.m, "0000:00:05.1", NULL, 0x10de, 0x10f0, 0x040300);
	mock_bind(t.m, t.nvme, "nvme");
	mock_bind(t.m, t.nic, "e1000e");
	mock_bind(t.m, t.gpu, "nouveau");
	mock_bind(t.m, t.sound, "snd_hda_intel");
	mock_driver_add(t.m, "pci", "vfio-pci");
	mock_group(t.m, 1, t.nvme, NULL);
	mock_group(t.m, 2, t.nic, NULL);
	mock_group(t.m, 3, t.gpu, t.sound, NULL);
	mock_class_add(t.m, "block", mock_printf(t.m, "%s/nvme/nvme0", t.nvme), "nvme0n1");
	mock_class_add(t.m, "net", t.nic, "eth0");
	mock_attr_link(t.m, mock_printf(t.m, "%s/net/eth0", t.nic), "device", "../..");
	machine_disk(&t, "259:0", "nvme0n1");
	mock_policy(t.m, MOCK_ETC, "10-a.conf", policy);
	return t;
}

static struct enforcer_result machine_check(struct machine *t)
{
	return enforcer_run(t->m, "check", NULL);
}

static void assert_line(const struct enforcer_result *r, const char *kind, const char *text)
{
	const char *at = strstr(r->out, text), *line = at;

	ck_assert_msg(at != NULL, "\"%s\" is not in: %s%s", text, r->out, r->err);
	while (line > r->out && line[-1] != '\n')
		line--;
	ck_assert_msg(strstr(line, kind) && strstr(line, kind) < at, "not of kind %s: %s", kind, r->out);
	ck_assert_int_eq(r->status, strstr(r->out, ": error: ") != NULL);
}

#define RULE(match, driver) "[device a]\n" match "\nDriver=" driver "\n"
#define SOUND_LEFT RULE("Name=0000:00:05.0", "vfio-pci") "Group=leave\n"

START_TEST(the_root_disk_is_an_error)
{
	struct machine t = machine_new(RULE("Name=0000:00:03.0", "none"));
	struct enforcer_result r;

	r = machine_check(&t);
	ck_assert_int_eq(r.status, 0);
	machine_file(&t, "proc/self/mountinfo", "1 0 259:0 / / rw shared:1 - ext4 /dev/root rw\n");
	r = machine_check(&t);
	assert_line(&r, "error", "on it is: the root file system");
	mock_free(t.m);
}
END_TEST

START_TEST(fstab_and_swap_are_warned_of)
{
	struct machine t = machine_new(RULE("Name=0000:00:03.0", "none"));
	struct enforcer_result r;

	machine_file(&t, "etc/fstab", "# all\nUUID=\"ab-cd\" /srv/my\\040data ext4 defaults 0 0\n");
	machine_file(&t, "dev/nvme0n1", "");
	machine_file(&t, "dev/disk/by-uuid/x", "");
	ck_assert_int_eq(
		symlink("../../nvme0n1", mock_printf(t.m, "%s/../dev/disk/by-uuid/ab-cd", t.m->sysfs)), 0);
	machine_file(&t, "proc/swaps", "Filename Type Size Used Priority\n/dev/nvme0n1 partition 1 0 -2\n");
	r = machine_check(&t);
	assert_line(&r, "warning", "on it is: /srv/my data, swap");
	ck_assert_int_eq(r.status, 0);
	mock_free(t.m);
}
END_TEST

/* The root file system's number is its own; what it lies on is below a partition of an md below a dm. */
START_TEST(disks_below_a_file_system_are_found)
{
	static const char md[] = "/devices/virtual/block/md0", dm[] = "/devices/virtual/block/dm-0";
	struct machine t = machine_new(RULE("Name=0000:00:03.0", "none"));
	struct enforcer_result r;

	mock_class_add(t.m, "block", "/devices/virtual", "dm-0");
	mock_class_add(t.m, "block", "/devices/virtual", "md0");
	mock_class_add(t.m, "block", "/devices/virtual", "sdx");
	mock_attr(t.m, mock_printf(t.m, "%s/md0p1", md), "partition", "1\n");
	ck_assert_int_eq(symlink("../../devices/virtual/block/md0/md0p1",
				 mock_printf(t.m, "%s/class/block/md0p1", t.m->sysfs)),
			 0);
	make_dirs(mock_path(t.m, dm, "slaves"));
	make_dirs(mock_path(t.m, md, "slaves"));
	mock_attr_link(t.m, mock_printf(t.m, "%s/slaves", dm), "md0p1", "../../md0/md0p1");
	mock_attr_link(t.m, mock_printf(t.m, "%s/slaves", md), "nvme0n1",
		       "../../../../../class/block/nvme0n1");
	make_dirs(mock_printf(t.m, "%s/fs/btrfs/0-1/devices/sdx", t.m->sysfs));
	make_dirs(mock_printf(t.m, "%s/fs/btrfs/0-1/devices/dm-0", t.m->sysfs));
	/* The overlay's upper layer lies on a btrfs, of which another disk is the dm. */
	machine_file(&t, "proc/self/mountinfo",
		     "1 0 0:40 / /run/disk rw - btrfs /dev/sdx rw\n"
		     "2 0 0:41 / / rw - overlay overlay rw,lowerdir=/gone,upperdir=/run/disk/upper\n");
	r = machine_check(&t);
	assert_line(&r, "error", "on it is: the root file system");
	mock_free(t.m);
}
END_TEST

START_TEST(members_of_a_zfs_pool_are_known_from_udev)
{
	struct machine t = machine_new(RULE("Name=0000:00:03.0", "none"));
	struct enforcer_result r;

	machine_file(&t, "proc/self/mountinfo", "1 0 0:40 / / rw - zfs rpool/ROOT/debian rw\n");
	machine_file(&t, "run/udev/data/b259:0", "E:ID_FS_TYPE=zfs_member\nE:ID_FS_LABEL=rpool\n");
	r = machine_check(&t);
	assert_line(&r, "error", "on it is: the root file system");
	machine_file(&t, "run/udev/data/b259:0", "E:ID_FS_TYPE=zfs_member\nE:ID_FS_LABEL=tank\n");
	r = machine_check(&t);
	ck_assert_int_eq(r.status, 0);
	mock_free(t.m);
}
END_TEST

START_TEST(the_only_interface_is_an_error_wherever_it_hangs)
{
	struct machine t = machine_new(RULE("Name=0000:00:04.0 0000:00:05.0", "none"));
	const char *usb;
	struct enforcer_result r = machine_check(&t);

	assert_line(&r, "error", "without a network card");
	assert_line(&r, "error", "it takes the only one");
	/* A second one, on USB behind a host controller that nobody takes; then somebody does. */
	usb = mock_pci_add(t.m, "0000:00:14.0", NULL, 0x8086, 0xa12f, 0x0c0330);
	mock_bind(t.m, usb, "xhci_hcd");
	usb = mock_printf(t.m, "%s/usb1/1-1/1-1:1.0", usb);
	mock_class_add(t.m, "net", usb, "usb0");
	mock_attr_link(t.m, mock_printf(t.m, "%s/net/usb0", usb), "device", "../..");
	r = machine_check(&t);
	ck_assert_int_eq(r.status, 0);
	mock_policy(t.m, MOCK_ETC, "20-b.conf", "[device usb]\nName=0000:00:14.0\nDriver=vfio-pci\n");
	r = machine_check(&t);
	assert_line(&r, "error", "[device usb] leaves the machine without a network card");
	mock_free(t.m);
}
END_TEST

START_TEST(the_blocker_of_a_group_is_named)
{
	struct machine t = machine_new(RULE("Name=0000:00:05.0", "vfio-pci"));
	struct enforcer_result r = machine_check(&t);

	assert_line(&r, "warning",
		    "IOMMU group 3 will not be viable: pci 0000:00:05.1 stays with snd_hda_intel");
	ck_assert_int_eq(r.status, 0);
	mock_policy(t.m, MOCK_ETC, "10-a.conf", RULE("Name=0000:00:05.0", "vfio-pci") "Group=vfio\n");
	r = machine_check(&t);
	ck_assert_msg(!strstr(r.out, "viable"), "%s", r.out);
	mock_free(t.m);
}
END_TEST

START_TEST(a_companion_with_an_interface_is_named)
{
	struct machine t = machine_new(RULE("Name=0000:00:05.0", "vfio-pci") "Group=vfio\n");
	struct enforcer_result r;

	mock_class_add(t.m, "net", t.sound, "eth7");
	mock_attr_link(t.m, mock_printf(t.m, "%s/net/eth7", t.sound), "device", "../..");
	r = machine_check(&t);
	assert_line(&r, "warning",
		    "takes pci 0000:00:05.1, another member of the IOMMU group, by Group= from "
		    "snd_hda_intel, and "
		    "with it network interface eth7");
	mock_free(t.m);
}
END_TEST

START_TEST(the_name_of_a_module_is_no_driver)
{
	struct machine t = machine_new("[device a]\nName=0000:00:05.0\nDriver=vfio_pci\n"
				       "[device b]\nName=0000:00:05.1\nDriver=snd_card\n");
	struct enforcer_result r;

	make_dirs(mock_printf(t.m, "%s/module/snd_card/drivers/pci:snd-card", t.m->sysfs));
	r = machine_check(&t);
	assert_line(&r, "warning",
		    "Driver=vfio_pci: that is the name of a module; its driver is called vfio-pci");
	assert_line(&r, "warning",
		    "Driver=snd_card: that is the name of a module; its driver is called snd-card");
	mock_free(t.m);
}
END_TEST

START_TEST(a_rule_for_nothing_is_named)
{
	struct machine t = machine_new(RULE("Id=1234:5678", "none"));
	struct enforcer_result r = machine_check(&t);

	assert_line(&r, "warning", "[device a] matches no device that is here now");
	mock_free(t.m);
	t = machine_new(RULE("Name=0000:00:05.0\nId=8086:*", "vfio-pci"));
	r = machine_check(&t);
	assert_line(&r, "warning", "here now: pci 0000:00:05.0 is where it says, but is another");
	mock_free(t.m);
}
END_TEST

START_TEST(a_bus_without_a_vfio_driver_is_an_error)
{
	struct machine t = machine_new("[device a]\nBus=vdpa\nDriver=vfio\n"
				       "[device b]\nName=vdpa1\nDriver=vfio\n");
	struct enforcer_result r;

	(void)mock_device_add(t.m, "vdpa", "/devices", "vdpa1", true);
	mock_policy(t.m, MOCK_ETC, "05-b.conf", "[device c]\nName=vdpa1\nDriver=vfio\n");
	r = machine_check(&t);
	assert_line(&r, "error", "[device a] says Driver=vfio, but there is no VFIO driver for bus vdpa");
	assert_line(&r, "error",
		    "[device c] gives vdpa vdpa1 to vfio, but there is no VFIO driver for bus vdpa");
	mock_free(t.m);
}
END_TEST

START_TEST(the_framebuffer_of_the_firmware_is_warned_of)
{
	struct machine t = machine_new(SOUND_LEFT);
	struct enforcer_result r;

	mock_attr(t.m, t.gpu, "boot_vga", "1\n");
	mock_attr(t.m, t.gpu, "resource",
		  "0x00000000f0000000 0x00000000f0ffffff 0x0000000000040200\n"
		  "0x00000000e0000000 0x00000000efffffff 0x000000000014220c\n");
	machine_file(&t, "proc/iomem", "e0000000-efffffff : 0000:00:05.0\n  e0000000-e02fffff : BOOTFB\n");
	r = machine_check(&t);
	assert_line(&r, "warning", "but BOOTFB, the firmware's framebuffer");
	/* Another card's. */
	machine_file(&t, "proc/iomem", "c0000000-c02fffff : BOOTFB\n");
	r = machine_check(&t);
	ck_assert_msg(!strstr(r.out, "BOOTFB"), "%s", r.out);
	mock_free(t.m);
}
END_TEST

START_TEST(names_reach_neither_terminal_nor_json_as_they_are)
{
	struct machine t = machine_new(RULE("Name=0000:00:05.0", "none"));
	const char *file = mock_printf(t.m, "%s/x\x1b[31m\xff.conf", t.m->root);
	struct enforcer_result r;

	make_file(file, "[device a]\nId=1:2\n", 18);
	r = enforcer_run(t.m, "check", file, NULL);
	ck_assert_int_eq(r.status, 1);
	ck_assert_ptr_nonnull(strstr(r.out, "x\\x1b[31m\\xff.conf:"));
	ck_assert_ptr_null(strchr(r.out, '\x1b'));
	r = enforcer_run(t.m, "--json", "check", file, NULL);
	ck_assert_int_eq(r.status, 1);
	ck_assert_ptr_null(strchr(r.out, '\x1b'));
	ck_assert_ptr_null(strchr(r.out, '\xff'));
	mock_free(t.m);
}
END_TEST

START_TEST(a_device_of_driverctl_is_named_with_both_policies)
{
	struct machine t = machine_new("[device a]\nName=0000:00:05.0 dash-ed\nDriver=none\n");
	struct enforcer_result r;

	(void)mock_device_add(t.m, "fsl-mc", "/devices", "dash-ed", true);
	machine_file(&t, "etc/driverctl.d/fsl-mc-dash-ed", "vfio-fsl-mc\n");
	machine_file(&t, "etc/driverctl.d/pci-0000:00:04.0", "vfio-pci\n");
	machine_file(&t, "etc/driverctl.d/pci-0000:00:05.0", "vfio-pci\n");
	r = machine_check(&t);
	assert_line(&r, "warning",
		    "[device a] decides about pci 0000:00:05.0 (none), and so does "
		    "/etc/driverctl.d/pci-0000:00:05.0 (vfio-pci)");
	assert_line(&r, "warning", "so does /etc/driverctl.d/fsl-mc-dash-ed (vfio-fsl-mc)");
	ck_assert_ptr_null(strstr(r.out, "00:04.0"));
	mock_free(t.m);
}
END_TEST

START_TEST(a_kernel_that_may_refuse_the_override_is_warned_of)
{
	static const char refuses[] =
		"Driver=pci-stub: the kernel's parameter core.allow_driver_override is off";
	struct machine t =
		machine_new("[device a]\nName=0000:00:05.0\nDriver=pci-stub\nGroup=uio_pci_generic\n"
			    "[device b]\nName=0000:00:04.0\nDriver=vfio-pci\n"
			    "[device c]\nName=0000:00:03.0\nDriver=none\n");
	const char *parameters = mock_printf(t.m, "%s/module/core/parameters", t.m->sysfs);
	struct enforcer_result r = machine_check(&t);

	ck_assert_msg(!strstr(r.out, "allow_driver_override"), "%s", r.out);
	make_dirs(parameters);
	make_file(mock_printf(t.m, "%s/allow_driver_override", parameters), "N\n", 2);
	r = machine_check(&t);
	assert_line(&r, "warning", refuses);
	assert_line(&r, "warning", "Group=uio_pci_generic: the kernel's parameter");
	ck_assert_msg(!strstr(r.out, "Driver=vfio-pci: the") && !strstr(r.out, "Driver=none: the"), "%s",
		      r.out);
	machine_file(&t, "proc/cmdline", "quiet core.allow_driver_override=1\n");
	r = machine_check(&t);
	ck_assert_msg(!strstr(r.out, "allow_driver_override"), "%s", r.out);
	mock_free(t.m);
}
END_TEST

START_TEST(a_kernel_whose_modules_are_gone_is_warned_of)
{
	static const char note[] =
		"which VFIO driver was made for it is not known: there is no modules.alias of "
		"kernel ";
	struct machine t = machine_new("[device a]\nName=0000:00:05.0\nDriver=vfio\n");
	struct enforcer_result r = machine_check(&t);
	const char *aliases;

	assert_line(&r, "warning",
		    mock_printf(t.m, "[device a] gives pci 0000:00:05.0 to vfio, and %s", note));
	assert_line(&r, "warning", "; it gets vfio-pci, the plain one");
	r = enforcer_run(t.m, "explain", "0000:00:05.0", NULL);
	ck_assert_msg(strstr(r.out, note) && strstr(r.out, "  Decision    vfio-pci\n"), "%s", r.out);
	aliases = mock_aliases(t.m, "/lib/modules", "# Aliases\n");
	r = machine_check(&t);
	ck_assert_msg(!strstr(r.out, note), "%s", r.out);
	/* What it has stays. */
	ck_assert_int_eq(unlink(aliases), 0);
	mock_bind(t.m, t.gpu, "nvgrace-gpu-vfio-pci");
	r = enforcer_run(t.m, "--json", "explain", "0000:00:05.0", NULL);
	ck_assert_msg(strstr(r.out, "it keeps nvgrace-gpu-vfio-pci\"") &&
			      strstr(r.out, "\"decision\":\"nvgrace-gpu-vfio-pci\""),
		      "%s", r.out);
	mock_free(t.m);
}
END_TEST

START_TEST(a_variant_is_warned_of_where_kubevirt_is)
{
	struct machine t = machine_new("[device a]\nName=0000:00:05.0\nDriver=vfio\n");
	struct enforcer_result r;
	char dir[PATH_MAX];

	ck_assert_int_ge(vfio_aliases_dir("", dir, sizeof(dir)), 0);
	mock_attr(t.m, t.gpu, "modalias", "pci:v000010DEd00001B80sv00000000sd00000000bc03sc00i00\n");
	machine_file(&t, mock_printf(t.m, "%s/modules.alias", dir + strlen("/../")),
		     "# Aliases\nalias vfio_pci:v000010DEd00001B80sv*sd*bc*sc*i* nvgrace_gpu_vfio_pci\n");
	r = machine_check(&t);
	ck_assert_ptr_null(strstr(r.out, "KubeVirt"));
	machine_file(&t, "var/lib/kubelet/device-plugins/kubevirt-gpu.sock", "");
	r = machine_check(&t);
	assert_line(&r, "warning", "KubeVirt's device plugin takes only devices at vfio-pci");
	mock_free(t.m);
}
END_TEST

START_TEST(an_override_that_is_the_text_null_is_noticed)
{
	struct machine t = machine_new(RULE("Name=0000:00:05.0", "none"));
	struct enforcer_result r;
	char dir[PATH_MAX];

	ck_assert_int_ge(vfio_aliases_dir("", dir, sizeof(dir)), 0);
	mock_unbind(t.m, t.sound);
	mock_attr(t.m, t.sound, "modalias", "pci:v000010DEd000010F0sv00000000sd00000000bc04sc03i00\n");
	machine_file(
		&t, mock_printf(t.m, "%s/modules.alias", dir + strlen("/../")),
		"# Aliases\nalias pci:v00008086d* e1000e\nalias pci:v*d*sv*sd*bc04sc03i00* snd_hda_intel\n");
	r = machine_check(&t);
	ck_assert_ptr_null(strstr(r.out, "(null)"));
	make_dirs(mock_printf(t.m, "%s/module/snd_hda_intel/drivers/pci:snd_hda_intel", t.m->sysfs));
	r = machine_check(&t);
	assert_line(&r, "warning", "pci 0000:00:05.1 has no driver, although snd_hda_intel");
	r = enforcer_run(t.m, "explain", "0000:00:05.1", NULL);
	ck_assert_msg(strstr(r.out, "  Note        pci 0000:00:05.1 has no driver") != NULL, "%s", r.out);
	mock_free(t.m);
}
END_TEST

START_TEST(accounts_that_get_no_node_are_warned_of)
{
	struct machine t = machine_new(
		RULE("Name=0000:00:05.0",
		     "vfio-pci") "Group=leave\nAccess=alice:nobody:0660\n"
				 "[device b]\nName=0000:00:05.1\nDriver=none\nAccess=vmuser:1000:\n"
				 "[device c]\nName=0000:00:05.2\nDriver=uio\nAccess=999:kvm:\n");
	struct enforcer_result r = machine_check(&t);

	/* Nobody knows who there is. */
	ck_assert_ptr_null(strstr(r.out, "gives its node to"));
	machine_file(&t, "etc/passwd", "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/:/bin/sh\n");
	machine_file(&t, "etc/group", "kvm:x:104:\n");
	r = machine_check(&t);
	assert_line(&r, "warning", "[device a] gives its node to user alice, which is none of the system's");
	assert_line(&r, "warning",
		    "[device a] gives its node to group nobody, which this machine does not have");
	assert_line(&r, "warning",
		    "[device b] gives its node to user vmuser, which this machine does not have");
	assert_line(&r, "warning", "[device b] gives its node to group 1000, which is none of the system's");
	assert_line(&r, "warning", "[device b] has Access=, which is for the nodes of VFIO and UIO drivers");
	ck_assert_ptr_null(strstr(r.out, "[device c] gives its node"));
	mock_free(t.m);
}
END_TEST

SUITE_MAIN("check", 60, the_root_disk_is_an_error, fstab_and_swap_are_warned_of,
	   disks_below_a_file_system_are_found, members_of_a_zfs_pool_are_known_from_udev,
	   the_only_interface_is_an_error_wherever_it_hangs, the_blocker_of_a_group_is_named,
	   a_companion_with_an_interface_is_named, the_name_of_a_module_is_no_driver,
	   a_rule_for_nothing_is_named, a_bus_without_a_vfio_driver_is_an_error,
	   the_framebuffer_of_the_firmware_is_warned_of, a_device_of_driverctl_is_named_with_both_policies,
	   a_variant_is_warned_of_where_kubevirt_is, an_override_that_is_the_text_null_is_noticed,
	   a_kernel_that_may_refuse_the_override_is_warned_of, a_kernel_whose_modules_are_gone_is_warned_of,
	   names_reach_neither_terminal_nor_json_as_they_are, accounts_that_get_no_node_are_warned_of)
