/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PCI addresses and topological paths, virtual functions, and the facts that a tree tells about PCI devices.
 */
#include "base/macro.h"
#include "tests/unit/fixtures/mock-sysfs.h"
#include "sysfs/pci.h"
#include "tests/unit/fixtures/suite.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

static const char *topology(const char *devpath)
{
	static char buf[256];
	int r = pci_topology(devpath, buf, sizeof(buf));

	return r == 0 ? buf : strerror(-r);
}

START_TEST(addresses)
{
	struct pci_address a;

	ck_assert(pci_address_parse("0000:03:00.0", 12, &a));
	ck_assert(pci_address_parse("10000:e1:1f.7", 13, &a));
	ck_assert_uint_eq(a.domain, 0x10000);
	ck_assert_uint_eq(a.bus, 0xe1);
	ck_assert_uint_eq(a.device, 0x1f);
	ck_assert_uint_eq(a.function, 7);
	ck_assert(pci_address_parse("0000:03:00.0/more", 12, &a));
}
END_TEST

START_TEST(no_addresses)
{
	static const char *const no[] = { "",
					  "0000:03:00.8",
					  "0000:03:20.0",
					  "03:00.0",
					  "000:03:00.0",
					  "0000:3:00.0",
					  "0000:03:0.0",
					  "0000:03:00",
					  "0000:03:00.",
					  "0000:03:00.00",
					  "0000:03:00.0 ",
					  "0000.03.00.0",
					  "g000:03:00.0",
					  "123456789:03:00.0",
					  "0000:03:00.0/",
					  "-000:03:00.0",
					  "0x00:03:00.0" };
	struct pci_address a;

	for (size_t i = 0; i < ELEMENTSOF(no); i++)
		ck_assert_msg(!pci_address_parse(no[i], strlen(no[i]), &a), "%s", no[i]);
	ck_assert(!pci_address_parse("0000:03:00.0", 11, &a));
}
END_TEST

START_TEST(path_leaves_bus_numbers_out)
{
	ck_assert_str_eq(topology("/devices/pci0000:00/0000:00:03.0"), "pci0000:00/03.0");
	ck_assert_str_eq(topology("/devices/pci0000:00/0000:00:1c.0/0000:03:00.0"), "pci0000:00/1c.0/00.0");
	ck_assert_str_eq(topology("/devices/pci0000:00/0000:00:1c.0/0000:07:00.0"), "pci0000:00/1c.0/00.0");
	ck_assert_str_eq(topology("/devices/pci0000:00/0000:00:01.1/0000:01:00.0/0000:02:02.0/0000:05:1f.7"),
			 "pci0000:00/01.1/00.0/02.0/1f.7");
}
END_TEST

START_TEST(path_keeps_host_bridges)
{
	/* VMD: a host bridge below a function. */
	ck_assert_str_eq(topology("/devices/pci0000:00/0000:00:0e.0/pci10000:e0/10000:e0:06.0/10000:e1:00.0"),
			 "pci0000:00/0e.0/pci*/06.0/00.0");
	ck_assert_str_eq(topology("/devices/platform/soc/40000000.pcie/pci0001:00/0001:00:00.0"),
			 "pci0001:00/00.0");
	ck_assert_str_eq(topology("/devices/LNXSYSTM:00/LNXSYBUS:00/ACPI0004:00/VMBUS:00/"
				  "47505500-0001-0000-3130-444531444234/pci4f2c:00/4f2c:00:00.0"),
			 "pci4f2c:00/00.0");
}
END_TEST

START_TEST(no_path)
{
	char buf[20];

	ck_assert_int_eq(pci_topology("/devices/platform/serial8250", buf, sizeof(buf)), -ENODATA);
	ck_assert_int_eq(pci_topology("/devices/0000:00:03.0", buf, sizeof(buf)), -ENODATA);
	ck_assert_int_eq(pci_topology("", buf, sizeof(buf)), -ENODATA);
	ck_assert_int_eq(pci_topology("/devices/pci0000:00/0000:00:1c.0/0000:03:00.0", buf, sizeof(buf)),
			 -ENAMETOOLONG);
	/* "pci0000:00/1c.0" and its NUL fit exactly, and not in a byte less. */
	ck_assert_int_eq(pci_topology("/devices/pci0000:00/0000:00:1c.0", buf, 16), 0);
	ck_assert_int_eq(pci_topology("/devices/pci0000:00/0000:00:1c.0", buf, 15), -ENAMETOOLONG);
}
END_TEST

struct card {
	struct mock *m;
	struct sysfs sysfs;
	const char *port, *pf, *other;
};

/* A network card with two physical functions, of which the first has virtual ones from 0000:03:10.0 on. */
static struct card make_card(void)
{
	struct card c = { .m = mock_new() };

	c.port = mock_pci_add(c.m, "0000:00:1c.0", NULL, 0x8086, 0x1901, 0x060400);
	c.pf = mock_pci_add(c.m, "0000:03:00.0", c.port, 0x8086, 0x10c9, 0x020000);
	c.other = mock_pci_add(c.m, "0000:03:00.1", c.port, 0x8086, 0x10c9, 0x020000);
	mock_sriov(c.m, c.pf, 8, 0x80, 2, 0x10ca);
	mock_sriov(c.m, c.other, 8, 0x80, 2, 0x10ca);
	sysfs_init(&c.sysfs, &c.m->settings);
	return c;
}

static const char *fact(struct card *c, const char *devpath, enum fact fact)
{
	struct sysfs_device *d = mock_device(&c->sysfs, devpath);
	const char *text = device_text(&d->device, fact);

	text = text ? mock_printf(c->m, "%s", text) : "";
	sysfs_device_free(d);
	return text;
}

START_TEST(virtual_function_by_its_links)
{
	struct card c = make_card();
	const char *vf = mock_pci_add(c.m, "0000:03:10.4", c.port, 0x8086, 0x10ca, 0x020000);

	mock_physfn(c.m, vf, c.pf, 2);
	c.sysfs.settled = true;
	ck_assert_str_eq(fact(&c, vf, FACT_PHYSFN), "0000:03:00.0");
	ck_assert_str_eq(fact(&c, vf, FACT_PATH), "pci0000:00/1c.0/00.0/vf2");
	mock_free(c.m);
}
END_TEST

START_TEST(virtual_function_on_a_kernel_that_shows_no_offset)
{
	struct card c = make_card();
	const char *vf = mock_pci_add(c.m, "0000:03:10.4", c.port, 0x8086, 0x10ca, 0x020000);

	mock_attr_remove(c.m, c.pf, "sriov_offset");
	mock_attr_remove(c.m, c.pf, "sriov_stride");
	mock_physfn(c.m, vf, c.pf, 2);
	ck_assert_str_eq(fact(&c, vf, FACT_PHYSFN), "0000:03:00.0");
	ck_assert_str_eq(fact(&c, vf, FACT_PATH), "pci0000:00/1c.0/00.0/vf2");
	mock_free(c.m);
}
END_TEST

START_TEST(virtual_function_before_its_links)
{
	struct card c = make_card();
	const char *vf0 = mock_pci_add(c.m, "0000:03:10.0", c.port, 0x8086, 0x10ca, 0x020000);
	const char *vf7 = mock_pci_add(c.m, "0000:03:11.6", c.port, 0x8086, 0x10ca, 0x020000);
	const char *of_other = mock_pci_add(c.m, "0000:03:10.3", c.port, 0x8086, 0x10ca, 0x020000);

	ck_assert_str_eq(fact(&c, vf0, FACT_PHYSFN), "0000:03:00.0");
	ck_assert_str_eq(fact(&c, vf0, FACT_PATH), "pci0000:00/1c.0/00.0/vf0");
	ck_assert_str_eq(fact(&c, vf7, FACT_PATH), "pci0000:00/1c.0/00.0/vf7");
	ck_assert_str_eq(fact(&c, of_other, FACT_PHYSFN), "0000:03:00.1");
	ck_assert_str_eq(fact(&c, of_other, FACT_PATH), "pci0000:00/1c.0/00.1/vf1");
	/* Kernels print the device id of virtual functions with and without 0x, in hexadecimal always. */
	mock_attr(c.m, c.pf, "sriov_vf_device", "0x10ca\n");
	ck_assert_str_eq(fact(&c, vf7, FACT_PATH), "pci0000:00/1c.0/00.0/vf7");
	mock_free(c.m);
}
END_TEST

START_TEST(virtual_function_on_the_next_bus)
{
	struct card c = make_card();
	const char *vf;

	/* Routing id 0300 + 0x80 + 2 * 0x3f = 03fe, then 0400: bus numbers overflow. */
	mock_sriov(c.m, c.pf, 256, 0x80, 2, 0x10ca);
	vf = mock_pci_add(c.m, "0000:04:00.0", c.port, 0x8086, 0x10ca, 0x020000);
	ck_assert_str_eq(fact(&c, vf, FACT_PATH), "pci0000:00/1c.0/00.0/vf64");
	mock_free(c.m);
}
END_TEST

START_TEST(no_virtual_functions)
{
	struct card c = make_card();
	const char *beyond = mock_pci_add(c.m, "0000:03:12.0", c.port, 0x8086, 0x10ca, 0x020000);
	const char *before = mock_pci_add(c.m, "0000:03:0f.0", c.port, 0x8086, 0x10ca, 0x020000);
	const char *stranger = mock_pci_add(c.m, "0000:03:10.2", c.port, 0x10ec, 0x10ca, 0x020000);
	const char *neighbour = mock_pci_add(c.m, "0000:03:10.6", c.port, 0x8086, 0x9999, 0x020000);
	const char *elsewhere = mock_pci_add(c.m, "0000:03:10.0", NULL, 0x8086, 0x10ca, 0x020000);
	const char *domain = mock_pci_add(c.m, "0001:03:10.0", c.port, 0x8086, 0x10ca, 0x020000);

	ck_assert_str_eq(fact(&c, beyond, FACT_PHYSFN), "");
	ck_assert_str_eq(fact(&c, beyond, FACT_PATH), "pci0000:00/1c.0/12.0");
	ck_assert_str_eq(fact(&c, before, FACT_PHYSFN), "");
	ck_assert_str_eq(fact(&c, stranger, FACT_PHYSFN), "");
	ck_assert_str_eq(fact(&c, neighbour, FACT_PHYSFN), "");
	ck_assert_str_eq(fact(&c, elsewhere, FACT_PHYSFN), "");
	ck_assert_str_eq(fact(&c, domain, FACT_PHYSFN), "");
	ck_assert_str_eq(fact(&c, c.other, FACT_PHYSFN), "");
	ck_assert_str_eq(fact(&c, c.pf, FACT_PATH), "pci0000:00/1c.0/00.0");
	mock_free(c.m);
}
END_TEST

START_TEST(settled_tree_is_not_computed)
{
	struct card c = make_card();
	const char *like_vf = mock_pci_add(c.m, "0000:03:10.0", c.port, 0x8086, 0x10ca, 0x020000);

	c.sysfs.settled = true;
	ck_assert_str_eq(fact(&c, like_vf, FACT_PHYSFN), "");
	ck_assert_str_eq(fact(&c, like_vf, FACT_PATH), "pci0000:00/1c.0/10.0");
	mock_free(c.m);
}
END_TEST

START_TEST(identity_and_class)
{
	struct card c = make_card();

	ck_assert_str_eq(fact(&c, c.pf, FACT_ID), "8086:10c9:1af4:1100");
	ck_assert_str_eq(fact(&c, c.port, FACT_CLASS), "060400");
	/* Without a modalias, or with one that is none, from the attributes. */
	mock_attr_remove(c.m, c.pf, "modalias");
	mock_attr(c.m, c.port, "modalias", "\n");
	ck_assert_str_eq(fact(&c, c.pf, FACT_ID), "8086:10c9:1af4:1100");
	ck_assert_str_eq(fact(&c, c.pf, FACT_CLASS), "020000");
	ck_assert_str_eq(fact(&c, c.port, FACT_ID), "8086:1901:1af4:1100");
	mock_free(c.m);
}
END_TEST

/* The identity, by which the kernel's event number 7 with that modalias is answered. */
static const char *announced(struct card *c, const char *devpath, const char *bus, const char *modalias,
			     enum fact fact)
{
	const char *text;
	struct sysfs_device d;

	sysfs_prepare(&c->sysfs);
	sysfs_device_init(&d, &c->sysfs, devpath, bus);
	sysfs_device_announced(&d, modalias, 7);
	text = device_text(&d.device, fact);
	text = text ? mock_printf(c->m, "%s", text) : "";
	sysfs_device_reset(&d);
	sysfs_done(&c->sysfs);
	return text;
}

START_TEST(modalias_of_the_latest_event_is_believed_and_no_other)
{
	static const char event[] = "pci:v00001234d00005678sv00009ABCsd0000DEF0bc03sc02i01";
	struct card c = make_card();
	const char *number = mock_printf(c.m, "%s/kernel/uevent_seqnum", c.m->sysfs);
	const char *serial = mock_platform_add(c.m, "serial8250", "platform:serial8250");

	make_dirs(mock_printf(c.m, "%s/kernel", c.m->sysfs));
	/* Without the file nobody knows which event is the latest. */
	ck_assert_str_eq(announced(&c, c.pf, "pci", event, FACT_ID), "8086:10c9:1af4:1100");
	make_file(number, "7\n", 2);
	ck_assert_str_eq(announced(&c, c.pf, "pci", event, FACT_ID), "1234:5678:9abc:def0");
	ck_assert_str_eq(announced(&c, c.pf, "pci", event, FACT_CLASS), "030201");
	ck_assert_str_eq(announced(&c, c.pf, "pci", event, FACT_MODALIAS), event);
	ck_assert_str_eq(announced(&c, c.pf, "pci", NULL, FACT_ID), "8086:10c9:1af4:1100");
	ck_assert_str_eq(announced(&c, serial, "platform", "of:Nserial", FACT_MODALIAS),
			 "platform:serial8250");
	/* There has been another since: the device may be another one by now. */
	make_file(number, "8\n", 2);
	ck_assert_str_eq(announced(&c, c.pf, "pci", event, FACT_ID), "8086:10c9:1af4:1100");
	ck_assert_str_eq(announced(&c, c.pf, "pci", event, FACT_CLASS), "020000");
	ck_assert_str_eq(announced(&c, c.pf, "pci", event, FACT_MODALIAS),
			 "pci:v00008086d000010C9sv00001AF4sd00001100bc02sc00i00");
	mock_free(c.m);
}
END_TEST

START_TEST(names_and_ancestors)
{
	struct card c = make_card();
	struct sysfs_device *d = mock_device(&c.sysfs, c.pf);
	struct values values;

	ck_assert_str_eq(device_text(&d->device, FACT_BUS), "pci");
	ck_assert_str_eq(device_text(&d->device, FACT_NAME), "0000:03:00.0");
	ck_assert_int_eq(device_fact(&d->device, FACT_ANCESTOR, NULL, &values), 0);
	ck_assert_uint_eq(values.n, 2);
	ck_assert_str_eq(values.v[0].text, "pci0000:00");
	ck_assert_str_eq(values.v[1].text, "0000:00:1c.0");
	sysfs_device_free(d);
	mock_free(c.m);
}
END_TEST

START_TEST(platform_devices_have_no_pci_facts)
{
	struct card c = make_card();
	const char *p = mock_platform_add(c.m, "fff51000.ethernet", "of:NethernetT(null)Ca,b");

	ck_assert_str_eq(fact(&c, p, FACT_PATH), "");
	ck_assert_str_eq(fact(&c, p, FACT_ID), "");
	ck_assert_str_eq(fact(&c, p, FACT_CLASS), "");
	ck_assert_str_eq(fact(&c, p, FACT_PHYSFN), "");
	ck_assert_str_eq(fact(&c, p, FACT_MODALIAS), "of:NethernetT(null)Ca,b");
	ck_assert_str_eq(fact(&c, p, FACT_ANCESTOR), "platform");
	mock_free(c.m);
}
END_TEST

START_TEST(firmware_and_compatible)
{
	struct card c = make_card();
	const char *p = mock_platform_add(c.m, "fff51000.ethernet", NULL);
	static const char compatible[] = "calxeda,hb-xgmac\0snps,xgmac";
	struct sysfs_device *d;
	struct values values;

	mock_attr(c.m, p, "firmware_node/path", "\\_SB_.ETH0\n");
	ck_assert_str_eq(fact(&c, p, FACT_FIRMWARE), "\\_SB_.ETH0");
	mock_attr_bytes(c.m, "/firmware/devicetree/base/soc/ethernet@fff51000", "compatible", compatible,
			sizeof(compatible));
	mock_attr_link(c.m, p, "of_node", "../../../firmware/devicetree/base/soc/ethernet@fff51000");

	d = mock_device(&c.sysfs, p);
	ck_assert_int_eq(device_fact(&d->device, FACT_FIRMWARE, NULL, &values), 0);
	ck_assert_uint_eq(values.n, 2);
	ck_assert_str_eq(values.v[1].text, "/soc/ethernet@fff51000");
	ck_assert_int_eq(device_fact(&d->device, FACT_COMPATIBLE, NULL, &values), 0);
	ck_assert_uint_eq(values.n, 2);
	ck_assert_str_eq(values.v[0].text, "calxeda,hb-xgmac");
	ck_assert_str_eq(values.v[1].text, "snps,xgmac");
	sysfs_device_free(d);
	mock_free(c.m);
}
END_TEST

START_TEST(first_line_of_an_attribute)
{
	struct card c = make_card();
	struct sysfs_device *d;
	struct values values;

	mock_attr(c.m, c.pf, "label", "one\ntwo\n");
	d = mock_device(&c.sysfs, c.pf);
	ck_assert_int_eq(device_fact(&d->device, FACT_ATTR, "label", &values), 0);
	ck_assert_str_eq(values.v[0].text, "one");
	ck_assert_int_eq(device_fact(&d->device, FACT_ATTR, "nothing", &values), 0);
	ck_assert_uint_eq(values.n, 0);
	sysfs_device_free(d);
	mock_free(c.m);
}
END_TEST

/* The attribute is there and cannot be read. */
static void mock_attr_loop(struct card *c, const char *devpath, const char *attr)
{
	const char *path = mock_path(c->m, devpath, attr);

	(void)unlink(path);
	ck_assert_int_eq(symlink(attr, path), 0);
}

static int is_bridge(struct card *c, const char *devpath)
{
	struct sysfs_device *d = mock_device(&c->sysfs, devpath);
	int r = d->device.ops->is_bridge(&d->device);

	sysfs_device_free(d);
	return r;
}

START_TEST(bridges_have_a_bus_below_them)
{
	struct card c = make_card();
	const char *host = mock_pci_add(c.m, "0000:00:00.0", NULL, 0x8086, 0x1237, 0x060000);
	const char *isa = mock_pci_add(c.m, "0000:00:1f.0", NULL, 0x8086, 0x2918, 0x060100);
	const char *nvswitch = mock_pci_add(c.m, "0000:00:04.0", NULL, 0x10de, 0x22a3, 0x068000);
	const char *platform = mock_platform_add(c.m, "serial8250", NULL);

	ck_assert_int_eq(is_bridge(&c, c.port), 1);
	ck_assert_int_eq(is_bridge(&c, host), 1);
	ck_assert_int_eq(is_bridge(&c, isa), 0);
	ck_assert_int_eq(is_bridge(&c, nvswitch), 0);
	ck_assert_int_eq(is_bridge(&c, c.pf), 0);
	ck_assert_int_eq(is_bridge(&c, platform), 0);
	/* Whatever its class is, and also if that cannot be read. */
	mock_attr(c.m, nvswitch, "secondary_bus_number", "3\n");
	ck_assert_int_eq(is_bridge(&c, nvswitch), 1);
	mock_attr_loop(&c, nvswitch, "modalias");
	ck_assert_int_eq(is_bridge(&c, nvswitch), 1);
	mock_attr_loop(&c, isa, "modalias");
	ck_assert_int_eq(is_bridge(&c, isa), -ELOOP);
	mock_attr_loop(&c, c.pf, "secondary_bus_number");
	ck_assert_int_eq(is_bridge(&c, c.pf), -ELOOP);
	mock_free(c.m);
}
END_TEST

SUITE_MAIN("pci", 20, bridges_have_a_bus_below_them, addresses, no_addresses, path_leaves_bus_numbers_out,
	   path_keeps_host_bridges, no_path, virtual_function_by_its_links,
	   virtual_function_on_a_kernel_that_shows_no_offset, virtual_function_before_its_links,
	   virtual_function_on_the_next_bus, no_virtual_functions, settled_tree_is_not_computed,
	   identity_and_class, modalias_of_the_latest_event_is_believed_and_no_other, names_and_ancestors,
	   platform_devices_have_no_pci_facts, firmware_and_compatible, first_line_of_an_attribute)
