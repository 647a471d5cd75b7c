/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What can only be a mistake in a policy file is an error that says what was meant. */
#include "base/macro.h"
#include "tests/unit/fixtures/parse-policy.h"
#include "tests/unit/fixtures/suite.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The text is refused in that line, and the error has these words. */
static void assert_says(const char *text, unsigned line, const char *words)
{
	_cleanup_(policy_freep) struct policy *policy = calloc(1, sizeof(*policy));

	ck_assert_int_eq(policy_parse(policy, "x.conf", text, strlen(text)), -EINVAL);
	ck_assert_uint_eq(policy->n_errors, 1);
	ck_assert_uint_eq(policy->errors[0].line, line);
	ck_assert_msg(strstr(policy->errors[0].text, words) != NULL, "%s: \"%s\" has no \"%s\"", text,
		      policy->errors[0].text, words);
}

#define DRIVER "Driver=b\n"
#define MATCH "[device x]\nName=a\n"

START_TEST(quotation_marks)
{
	assert_says(MATCH "Driver=\"vfio-pci\"\n", 3, "Driver= takes values without quotation marks");
	assert_says(MATCH "Driver='vfio'\n", 3, "quotation");
	assert_says(MATCH DRIVER "Group=\"hold\"\n", 4, "Group= takes values without quotation marks");
	assert_says(MATCH DRIVER "Module=\"m\"\n", 4, "quotation");
	assert_says("[device x]\n" DRIVER "Id=\"10de:1b80\"\n", 3,
		    "Id= takes values without quotation marks");
	assert_says("[device x]\n" DRIVER "Name=\"a b\"\n", 3, "quotation");
	assert_says("[device x]\n" DRIVER "Attr.a='1'\n", 3, "Attr.a takes values without quotation marks");
	assert_accepted("[device x]\n" DRIVER "Attr.a=1'2\n", 1);
}
END_TEST

START_TEST(commas)
{
	assert_says("[device x]\n" DRIVER "Id=10de:1b80,10de:10f0\n", 3, "blanks between them, not commas");
	assert_says("[device x]\n" DRIVER "Id=10de:1b80, 10de:10f0\n", 3, "not commas");
	assert_says("[device x]\n" DRIVER "Bus=pci,platform\n", 3, "not commas");
	assert_says("[device x]\n" DRIVER "Name=a, b\n", 3, "not commas");
	assert_says("[device x]\n" DRIVER "Name=a ,b\n", 3, "not commas");
	assert_says("[device x]\n" DRIVER "Name=0000:01:00.0,0000:01:00.1\n", 3, "not commas");
	assert_says(MATCH "Driver=vfio-pci,nouveau\n", 3, "one value, not a list");
	assert_says(MATCH "Driver=a, b\n", 3, "one value, not a list");
	assert_says(MATCH DRIVER "Group=hold,none\n", 4, "one value, not a list");
	/* There are such strings and names. */
	assert_accepted("[device x]\n" DRIVER "Compatible=brcm,bcm2835-sdhci\n", 1);
	assert_accepted("[device x]\n" DRIVER "Name=soc:acme,thing\nFirmware=/soc/cpu@0,1\n", 1);
	assert_accepted("[device x]\nDriver=acme,thing\nModalias=of:N*Cbrcm,*\nAttr.a=1,2\n", 1);
}
END_TEST

START_TEST(words_in_another_case)
{
	assert_says(MATCH "Driver=VFIO\n", 3, "case-sensitive: vfio, not \"VFIO\"");
	assert_says(MATCH "Driver=None\n", 3, "none, not");
	assert_says(MATCH "Driver=Default\n", 3, "default, not");
	assert_says(MATCH "Driver=VFIO-PCI\n", 3, "vfio-pci, not");
	assert_says(MATCH DRIVER "Group=Hold\n", 4, "hold, not");
	assert_says(MATCH DRIVER "Group=LEAVE\n", 4, "leave, not");
	assert_says(MATCH DRIVER "Group=None\n", 4, "none, not");
	assert_says(MATCH DRIVER "Rebind=Safe\n", 4, "Rebind= takes no, safe or force");
	assert_says("[device x]\n" DRIVER "Bus=PCI\n", 3, "pci, not \"PCI\"");
}
END_TEST

START_TEST(words_of_another_key)
{
	assert_says(MATCH "Driver=hold\n", 3, "\"hold\" is a word of Group=");
	assert_says(MATCH DRIVER "Group=safe\n", 4, "\"safe\" is a word of Rebind=");
	assert_says(MATCH "Driver=force\n", 3, "\"force\" is a word of Rebind=");
}
END_TEST

START_TEST(switches)
{
	static const char *const words[] = { "yes", "no", "true", "false", "No", "YES" };

	for (size_t i = 0; i < ELEMENTSOF(words); i++) {
		assert_refused_value("Driver", words[i]);
		assert_refused_value("Group", words[i]);
	}
	assert_says(MATCH DRIVER "Group=no\n", 4, "leave lets the group alone");
	assert_says(MATCH "Driver=no\n", 3, "none keeps all drivers away");
	assert_accepted(MATCH DRIVER "Rebind=no\n", 1);
}
END_TEST

START_TEST(pci_names)
{
	assert_says("[device x]\nBus=pci\nName=01:00.0\n" DRIVER, 3, "0000:01:00.0, not \"01:00.0\"");
	assert_says("[device x]\nName=01:00.0\n" DRIVER, 2, "with the domain: 0000:01:00.0");
	assert_says("[device x]\nId=10de:1b80\nName=01:00.0\n" DRIVER, 3, "0000:01:00.0");
	assert_says("[device x]\nName=eth0\nId=10de:1b80\n" DRIVER, 2, "0000:01:00.0, not \"eth0\"");
	assert_says("[device x]\nBus=pci\nName=0000:01:00.0 0000:01:00\n" DRIVER, 3, "\"0000:01:00\"");
	assert_says("[device x]\nBus=pci\nName=0000:01:00.8\n" DRIVER, 3, "0000:01:00.8");
	assert_says("[device x]\nBus=pci\nName=01:*\n" DRIVER, 3, "01:*");
	assert_says("[device x]\nBus=pci\nName=*:0[g-z]:00.0\n" DRIVER, 3, "[g-z]");
	assert_says("[device x]\nPhysFn=03:00.0\n" DRIVER, 2, "PhysFn= takes a name of sysfs");
	assert_says("[device x]\nBus=pci\nAncestor=00:1c.0\n" DRIVER, 3, "0000:00:1c.0");
	assert_says("[device x]\nClass=03\nAncestor=0000:00:1c\n" DRIVER, 3, "Ancestor= takes");
}
END_TEST

START_TEST(pci_names_that_are_right)
{
	static const char *const names[] = {
		"0000:01:00.0", "10000:e1:00.0", "0000:0A:00.0",   "*",	    "0000:01:00.*", "*:01:00.0",
		"000?:*",	"*.[0-3]",	 "0000:*:[01]*.?", "[!1]*", "*1*",	    "[[:xdigit:]]*.0",
		"0000:[0-9]*",	"*:*:*.*"
	};

	for (size_t i = 0; i < ELEMENTSOF(names); i++) {
		char text[128];

		(void)snprintf(text, sizeof(text), "[device x]\nBus=pci\nName=%s\nPhysFn=%s\n" DRIVER,
			       names[i], names[i]);
		assert_accepted(text, 1);
	}
}
END_TEST

START_TEST(names_of_other_buses)
{
	assert_accepted(
		"[device x]\nName=fff51000.ethernet a 00.0005 cdx-00:01 ACPI0003:00 spi0.0 0.0.1234\n" DRIVER,
		1);
	assert_accepted("[device x]\nBus=platform\nName=01:00.0\n" DRIVER, 1);
	assert_accepted("[device x]\nBus=pci platform\nName=eth0\n" DRIVER, 1);
	assert_accepted("[device x]\nBus=p*\nName=eth0\n" DRIVER, 1);
	assert_accepted(
		"[device x]\nBus=pci\nAncestor=pci0000:00 40000000.pcie PNP0A08:00 10000:e0:01.0\n" DRIVER,
		1);
}
END_TEST

START_TEST(sysfs_paths)
{
	assert_says("[device x]\nPath=/sys/devices/pci0000:00/0000:00:1c.0/0000:03:00.0\n" DRIVER, 2,
		    "pci0000:00/1c.0/00.0, not");
	assert_says("[device x]\nPath=devices/pci0000:00/0000:00:1c.0\n" DRIVER, 2, "pci0000:00/1c.0, not");
	assert_says("[device x]\nPath=pci0000:00/0000:00:1c.0/00.0\n" DRIVER, 2, "pci0000:00/1c.0/00.0, not");
	assert_says("[device x]\nPath=/sys/bus/pci/devices/0000:03:00.0\n" DRIVER, 2, "topological path");
	assert_says("[device x]\nPath=0000:03:00.0\n" DRIVER, 2, "topological path");
	assert_accepted(
		"[device x]\nPath=pci0000:00/1c.0/00.0 pci*/01.? pci0000:00/06.2/pci10000:e0/vf3\n" DRIVER,
		1);
}
END_TEST

START_TEST(links)
{
	assert_refused_value("Attr.driver", "e1000e");
	assert_refused_value("Attr.virtfn0", "a");
	assert_refused_value("Attr.iommu_group", "5");
	assert_says("[device x]\nAttr.physfn=0000:01:00.0\n" DRIVER, 2, "PhysFn= compares");
	assert_says("[device x]\nAttr.subsystem=pci\n" DRIVER, 2, "Bus= compares");
	assert_says("[device x]\nAttr.of_node=a\n" DRIVER, 2, "Firmware= or Compatible= compares");
	/* A PCI device has a file of that name. */
	assert_accepted("[device x]\nAttr.device=0x1b80\n" DRIVER, 1);
}
END_TEST

SUITE_MAIN("mistake", 20, quotation_marks, commas, words_in_another_case, words_of_another_key, switches,
	   pci_names, pci_names_that_are_right, names_of_other_buses, sysfs_paths, links)
