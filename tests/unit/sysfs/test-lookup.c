/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The device that a person means, and the device at a path: what is found, and what must not be. */
#include "base/macro.h"
#include "base/text.h"
#include "tests/unit/fixtures/mock-sysfs.h"
#include "tests/unit/fixtures/suite.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

struct tree {
	struct mock *m;
	struct sysfs sysfs;
	const char *nvme, *nic, *serial;
};

static struct tree make_tree(void)
{
	struct tree t = { .m = mock_new() };
	const char *port = mock_pci_add(t.m, "0000:00:1c.0", NULL, 0x8086, 0x1901, 0x060400);

	t.nvme = mock_pci_add(t.m, "0000:03:00.0", port, 0x1b36, 0x0010, 0x010802);
	t.nic = mock_pci_add(t.m, "0000:00:04.0", NULL, 0x1af4, 0x1041, 0x020000);
	t.serial = mock_platform_add(t.m, "serial8250", NULL);
	/* The way to them leads over devices that have no override: the nearest one that has is meant. */
	mock_class_add(t.m, "net", mock_device_add(t.m, "virtio", t.nic, "virtio0", false), "eth0");
	mock_class_add(t.m, "block", mock_printf(t.m, "%s/nvme/nvme0", t.nvme), "nvme0n1");
	mock_class_add(t.m, "net", "/devices/virtual", "lo");
	sysfs_init(&t.sysfs, &t.m->settings);
	return t;
}

/* The devpath of what a name finds, or the error. */
static const char *find(struct tree *t, const char *name)
{
	struct sysfs_device *d;
	const char *text;
	int r = sysfs_device_lookup(&t->sysfs, name, &d);

	if (r < 0)
		return r == -ENODEV ? "none" : r == -ENOTUNIQ ? "many" : strerror(-r);
	text = mock_printf(t->m, "%s", d->devpath);
	sysfs_device_free(d);
	return text;
}

START_TEST(by_name)
{
	struct tree t = make_tree();

	ck_assert_str_eq(find(&t, "0000:03:00.0"), t.nvme);
	ck_assert_str_eq(find(&t, "03:00.0"), t.nvme);
	ck_assert_str_eq(find(&t, "serial8250"), t.serial);
	ck_assert_str_eq(find(&t, "pci/0000:03:00.0"), t.nvme);
	ck_assert_str_eq(find(&t, "platform/serial8250"), t.serial);
	mock_free(t.m);
}
END_TEST

START_TEST(a_pci_name_is_found_in_any_case)
{
	struct tree t = make_tree();
	const char *card = mock_pci_add(t.m, "0000:0a:1b.0", NULL, 0x8086, 0x10d3, 0x020000);

	ck_assert_str_eq(find(&t, "0000:0A:1B.0"), card);
	ck_assert_str_eq(find(&t, "0A:1b.0"), card);
	ck_assert_str_eq(find(&t, "pci/0000:0A:1B.0"), card);
	ck_assert_str_eq(find(&t, "PCI/0000:0a:1b.0"), card);
	/* Another bus's names are as they are. */
	ck_assert_str_eq(find(&t, "Serial8250"), "none");
	mock_free(t.m);
}
END_TEST

START_TEST(a_path_of_an_interface_or_disk_is_as_good_as_its_name)
{
	struct tree t = make_tree();

	ck_assert_str_eq(find(&t, mock_printf(t.m, "%s/class/net/eth0", t.m->sysfs)), t.nic);
	ck_assert_str_eq(find(&t, mock_printf(t.m, "%s/class/block/nvme0n1", t.m->sysfs)), t.nvme);
	ck_assert_str_eq(find(&t, mock_printf(t.m, "%s/virtio0/net/eth0", t.nic)), t.nic);
	ck_assert_str_eq(find(&t, mock_printf(t.m, "%s/class/net/lo", t.m->sysfs)), "none");
	mock_free(t.m);
}
END_TEST

/* Its disk is in its subsystem's folder, not below the controller. */
START_TEST(by_the_head_of_an_nvme_namespace)
{
	static const char subsystem[] = "/devices/virtual/nvme-subsystem/nvme-subsys7";
	struct tree t = make_tree();
	const char *second = mock_pci_add(t.m, "0000:00:05.0", NULL, 0x1b36, 0x0010, 0x010802);

	make_dirs(mock_printf(t.m, "%s%s/nvme7n1/nvme7n1p1", t.m->sysfs, subsystem));
	for (unsigned i = 0; i < 2; i++) {
		const char *link = mock_printf(t.m, "%s/class/block/nvme7n1%s", t.m->sysfs, i ? "p1" : "");

		ck_assert_int_eq(
			symlink(mock_printf(t.m, "../..%s/nvme7n1%s", subsystem, i ? "/nvme7n1p1" : ""),
				link),
			0);
	}
	ck_assert_str_eq(find(&t, "nvme7n1"), "none");
	mock_attr_link(t.m, subsystem, "nvme0", mock_printf(t.m, "../../../..%s/nvme/nvme0", t.nvme));
	ck_assert_str_eq(find(&t, "nvme7n1"), t.nvme);
	ck_assert_str_eq(find(&t, "/dev/nvme7n1p1"), t.nvme);

	/* Two ways to it, and each might be meant; over a network as well. */
	make_dirs(mock_printf(t.m, "%s%s/nvme/nvme1", t.m->sysfs, second));
	mock_attr_link(t.m, subsystem, "nvme1", mock_printf(t.m, "../../../..%s/nvme/nvme1", second));
	ck_assert_str_eq(find(&t, "nvme7n1"), "many");
	ck_assert_int_eq(unlink(mock_path(t.m, subsystem, "nvme1")), 0);
	make_dirs(mock_printf(t.m, "%s/devices/virtual/nvme-fabrics/ctl/nvme2", t.m->sysfs));
	mock_attr_link(t.m, subsystem, "nvme2", "../../nvme-fabrics/ctl/nvme2");
	ck_assert_str_eq(find(&t, "nvme7n1"), "many");
	mock_free(t.m);
}
END_TEST

START_TEST(by_path)
{
	struct tree t = make_tree();

	ck_assert_str_eq(find(&t, t.nvme), t.nvme);
	ck_assert_str_eq(find(&t, mock_printf(t.m, "%s%s", t.m->sysfs, t.nvme)), t.nvme);
	ck_assert_str_eq(find(&t, mock_printf(t.m, "%s/bus/pci/devices/0000:03:00.0", t.m->sysfs)), t.nvme);
	ck_assert_str_eq(find(&t, mock_printf(t.m, "%s%s/", t.m->sysfs, t.nvme)), t.nvme);
	mock_free(t.m);
}
END_TEST

START_TEST(by_interface_and_block_device)
{
	struct tree t = make_tree();

	ck_assert_str_eq(find(&t, "eth0"), t.nic);
	ck_assert_str_eq(find(&t, "nvme0n1"), t.nvme);
	ck_assert_str_eq(find(&t, "/dev/nvme0n1"), t.nvme);
	ck_assert_str_eq(find(&t, "lo"), "none");
	ck_assert_str_eq(find(&t, "/dev/eth0"), "none");
	mock_free(t.m);
}
END_TEST

START_TEST(name_that_two_buses_have)
{
	struct tree t = make_tree();
	const char *spi = mock_device_add(t.m, "spi", "/devices/platform/spi0", "twin", true);

	mock_device_add(t.m, "usb", "/devices/platform/usb1", "twin", false); /* none of ours */
	ck_assert_str_eq(find(&t, "twin"), spi);
	mock_platform_add(t.m, "twin", NULL);
	ck_assert_str_eq(find(&t, "twin"), "many");
	ck_assert_str_eq(find(&t, "spi/twin"), spi);
	mock_free(t.m);
}
END_TEST

START_TEST(names_of_nothing)
{
	static const char *const no[] = { "",
					  ".",
					  "..",
					  "/",
					  "//",
					  "x",
					  "pci/",
					  "/pci",
					  "pci/x",
					  "pci/..",
					  "pci/.",
					  "../devices",
					  "pci/../pci/devices",
					  "x/0000:03:00.0",
					  "0000:03:00.1",
					  "03:00.1",
					  "3:00.0",
					  "/dev/",
					  "/dev/..",
					  "/dev/../x",
					  "/devices",
					  "/devices/",
					  "/devices/..",
					  "/devices/../bus/pci",
					  "pci0000:00" };
	struct tree t = make_tree();
	char longest[6000];

	for (size_t i = 0; i < ELEMENTSOF(no); i++)
		ck_assert_msg(streq(find(&t, no[i]), "none"), "%s: %s", no[i], find(&t, no[i]));
	ck_assert_str_eq(find(&t, t.m->root), "none");
	ck_assert_str_eq(find(&t, mock_printf(t.m, "%s/devices", t.m->sysfs)), "none");

	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	ck_assert_ptr_null(strchr(find(&t, longest), '/'));
	longest[300] = '/';
	ck_assert_ptr_null(strchr(find(&t, longest), '/'));
	mock_free(t.m);
}
END_TEST

START_TEST(tree_beside_another_of_like_name)
{
	struct tree t = make_tree();

	make_dirs(mock_printf(t.m, "%s-too/devices/x", t.m->sysfs));
	ck_assert_str_eq(find(&t, mock_printf(t.m, "%s-too/devices/x", t.m->sysfs)), "none");
	mock_free(t.m);
}
END_TEST

START_TEST(device_at_a_path)
{
	static const struct {
		const char *devpath;
		int r;
	} v[] = { { "", -EINVAL },
		  { "/devices", -EINVAL },
		  { "/devices/", -EINVAL },
		  { "devices/x", -EINVAL },
		  { "/bus/pci", -EINVAL },
		  { "/devices/..", -EINVAL },
		  { "/devices/.", -EINVAL },
		  { "/devices/../bus/pci", -EINVAL },
		  { "/devices/pci0000:00/../..", -EINVAL },
		  { "/devices/pci0000:00/", -EINVAL },
		  { "/devices/gone", -ENODEV },
		  { "/devices/pci0000:00", -ENODEV } };
	struct tree t = make_tree();
	struct sysfs_device *d;

	for (size_t i = 0; i < ELEMENTSOF(v); i++)
		ck_assert_msg(sysfs_device_new(&t.sysfs, v[i].devpath, NULL, &d) == v[i].r, "%s",
			      v[i].devpath);
	d = mock_device(&t.sysfs, t.nvme);
	ck_assert_str_eq(d->bus, "pci");
	ck_assert_str_eq(d->name, "0000:03:00.0");
	ck_assert(sysfs_device_is_supported(d));
	sysfs_device_free(d);
	mock_free(t.m);
}
END_TEST

START_TEST(all_devices)
{
	struct tree t = make_tree();
	struct sysfs_device **v;
	size_t n, seen = 0;

	/* A link to nowhere, and one that leads out of the tree. */
	ck_assert_int_eq(
		symlink("../../../devices/gone", mock_printf(t.m, "%s/bus/pci/devices/x", t.m->sysfs)), 0);
	ck_assert_int_eq(
		symlink("../../../../../../../tmp", mock_printf(t.m, "%s/bus/pci/devices/y", t.m->sysfs)), 0);
	ck_assert_int_eq(sysfs_enumerate(&t.sysfs, &v, &n), 0);
	ck_assert_uint_eq(n, 4); /* and not virtio0, which has no override */
	for (size_t i = 0; i < n; i++)
		seen += streq(v[i]->devpath, t.nvme) || streq(v[i]->devpath, t.nic) ||
			streq(v[i]->devpath, t.serial);
	ck_assert_uint_eq(seen, 3);
	sysfs_devices_free(v, n);
	mock_free(t.m);
}
END_TEST

SUITE_MAIN("lookup", 20, by_the_head_of_an_nvme_namespace, a_pci_name_is_found_in_any_case,
	   a_path_of_an_interface_or_disk_is_as_good_as_its_name, by_name, by_path,
	   by_interface_and_block_device, name_that_two_buses_have, names_of_nothing,
	   tree_beside_another_of_like_name, device_at_a_path, all_devices)
