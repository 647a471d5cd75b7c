/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* For which devices the kernel does not wait: the policy's keys, and the programs that look them up. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "tests/unit/fixtures/filter-kernel.h"
#include "tests/unit/fixtures/parse-policy.h"
#include "tests/unit/fixtures/suite.h"

static bool policy_spares(const char *conditions, struct pci_dev___local *d)
{
	char text[512];

	(void)snprintf(text, sizeof(text), "[device d]\n%s\nDriver=none\n", conditions);
	set_filter(rules_of(text));
	return spares(&d->dev, true);
}

START_TEST(a_device_is_spared_that_has_no_value_of_any_rule)
{
	struct pci_dev___local gpu = card("0000:01:00.0", 0x10de, 0x1b80, 0x030000),
			       disk = card("0000:02:00.0", 0x144d, 0xa808, 0x010802);
	static const char *const conditions[] = { "Id=10de:1b80",
						  "Id=10DE:1B80",
						  "Id=10de:*",
						  "Id=10de:1b80:1043:8595",
						  "Id=10de:1b8?",
						  "Class=03",
						  "Class=0300",
						  "Class=030000",
						  "Class=03*",
						  "Class=0[0-4]00 0300",
						  "Name=0000:01:00.0",
						  "Name=0000:01:00.*",
						  "Bus=pci\nName=0000:01:*",
						  "Bus=p*\nId=10de:1b80",
						  "Id=10de:1b80\nAttr.x=y\nPath=pci*",
						  "Path=pci0000:00/01.0/00.0\nId=10de:1b80",
						  "Name=0000:01:* 0000:02:*\nId=10de:1b80",
						  "Id=1002:744c 10de:1b80\nClass=0*" };

	for (size_t i = 0; i < ELEMENTSOF(conditions); i++) {
		ck_assert_msg(!policy_spares(conditions[i], &gpu), "%s: the card is meant", conditions[i]);
		if (strchr(conditions[i], '[')) {
			ck_assert_msg(!policy_spares(conditions[i], &disk), "%s", conditions[i]);
			continue;
		}
		ck_assert_msg(policy_spares(conditions[i], &disk), "%s: the disk is not", conditions[i]);
		ck_assert_str_eq(filter_text, "on");
	}
}
END_TEST

START_TEST(names_and_classes_are_told_apart_by_all_that_is_literal)
{
	struct pci_dev___local d = card("0000:01:00.0", 0x10de, 0x1b80, 0x030200);
	struct pci_dev___local upper = card("LNXTHERM:0A", 0x10de, 0x1b80, 0x030200);
	struct pci_dev___local unread = card("0000:01:00.0", 0, 0, 0);

	ck_assert(policy_spares("Class=030000", &d));
	ck_assert(!policy_spares("Class=0302", &d));
	ck_assert(policy_spares("Name=0000:01:00.1", &d));
	ck_assert(policy_spares("Name=0000:02:*", &d));
	ck_assert(!policy_spares("Name=0000:01:0?.7", &d));
	ck_assert(policy_spares("Id=10de:1b81", &d));
	ck_assert(policy_spares("Id=10df:*", &d));
	/* Case is not told apart. */
	ck_assert(!policy_spares("Name=lnxtherm:0a", &upper));
	ck_assert(!policy_spares("Name=LNXTHERM:*", &upper));
	ck_assert_msg(!policy_spares("Id=8086:10d3", &unread), "what it is could not be read");
}
END_TEST

START_TEST(long_names_are_cut_off_on_both_sides)
{
	char name[80], conditions[128];
	struct pci_dev___local d;

	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	(void)snprintf(conditions, sizeof(conditions), "Bus=pci platform\nName=%s", name);
	d = card(name, 0x10de, 0x1b80, 0x030000);
	ck_assert(!policy_spares(conditions, &d));
	name[70] = 'm';
	ck_assert(!policy_spares(conditions, &d));
	name[62] = 'm';
	ck_assert(policy_spares(conditions, &d));
}
END_TEST

START_TEST(a_rule_without_a_literal_value_switches_the_filter_off_on_its_buses)
{
	struct pci_dev___local d = card("0000:01:00.0", 0x10de, 0x1b80, 0x030000);
	static const char *const open[] = { "Path=pci0000:00/01.0/00.0",
					    "Name=0000:*",
					    "Name=0000:01*",
					    "Id=*:1b80",
					    "Id=1?de:1b80",
					    "Class=0*",
					    "Attr.x=y",
					    "PhysFn=0000:01:00.0",
					    "Modalias=pci:*",
					    "Bus=pci",
					    "Ancestor=0000:00:01.0",
					    "Firmware=\\_SB_.PC00" };

	for (size_t i = 0; i < ELEMENTSOF(open); i++) {
		ck_assert_msg(!policy_spares(open[i], &d), "%s", open[i]);
		ck_assert_msg(strstr(filter_text, "off on pci (test.conf:1)") != NULL, "%s: %s", open[i],
			      filter_text);
	}
	set_filter(rules_of("[device a]\nId=8086:10d3\nDriver=none\n\n"
			    "[device b]\nBus=platform\nName=snd_dummy.0\nDriver=none\n\n"
			    "[device c]\nBus=platform\nName=snd*\nDriver=none\n\n"
			    "[device d]\nBus=platform\nModalias=*\nDriver=none\n"));
	ck_assert_str_eq(filter_text, "off on platform (test.conf:10)");
	ck_assert_msg(spares(&d.dev, true), "what switches it off elsewhere");
}
END_TEST

START_TEST(more_values_than_there_is_room_for_switch_it_off)
{
	static char text[64 * HOLD_FILTER_KEYS_MAX];
	struct pci_dev___local d = card("0000:01:00.0", 0x10de, 0x1b80, 0x030000);

	for (unsigned more = 0; more < 2; more++) {
		size_t n = 0;

		/* The last comes twice, and counts once. */
		for (unsigned i = 0; i < HOLD_FILTER_KEYS_MAX + 1; i++)
			n += (size_t)snprintf(text + n, sizeof(text) - n,
					      "[device d%u]\nId=8086:%04x\nDriver=none\n", i,
					      i < HOLD_FILTER_KEYS_MAX ? i : i - 1 + more);
		set_filter(rules_of(text));
		ck_assert_str_eq(filter_text, more ? "off on pci (more than 1024 values)" : "on");
		ck_assert_int_eq(spares(&d.dev, true), !more);
	}
}
END_TEST

START_TEST(a_device_waits_where_a_rule_may_match_a_member_of_its_group)
{
	struct pci_dev___local gpu = card("0000:01:00.0", 0x10de, 0x1b80, 0x030000),
			       audio = card("0000:01:00.1", 0x10de, 0x10f0, 0x040300),
			       port = card("0000:00:01.0", 0x8086, 0x1901, 0x060400);
	struct device___local *const all[] = { &port.dev, &gpu.dev, &audio.dev }, *const rest[] = {
		&port.dev, &audio.dev
	};
	struct group_device___local members[3];
	struct iommu_group___local group;
	struct policy *leaves = rules_of("[device d]\nId=10de:1b80\nDriver=none\n"),
		      *holds = rules_of("[device d]\nId=10de:1b80\nDriver=vfio-pci\n");

	set_filter(holds);
	ck_assert_msg(spares(&audio.dev, true), "it is in no group");
	make_group(&group, members, all, 3);
	ck_assert(!spares(&audio.dev, true));
	ck_assert(!spares(&port.dev, true));
	/* The card goes, and the group stays. */
	make_group(&group, members, rest, 2);
	ck_assert(spares(&audio.dev, true));
	ck_assert(spares(&port.dev, true));
	/* A rule that leaves the group alone decides about nobody else. */
	make_group(&group, members, all, 3);
	set_filter(leaves);
	ck_assert(spares(&audio.dev, true));
	ck_assert(!spares(&gpu.dev, true));
}
END_TEST

START_TEST(a_device_waits_where_its_group_cannot_be_read)
{
	static const struct bus_type___local platform_bus = { .name = "platform" };
	struct pci_dev___local many[FILTER_MEMBERS_MAX + 1];
	struct device___local *devices[FILTER_MEMBERS_MAX + 1];
	struct device___local other = { .kobj = { .name = "MSFT0101:00" }, .bus = &platform_bus };
	struct group_device___local members[FILTER_MEMBERS_MAX + 1];
	struct iommu_group___local group;

	set_filter(rules_of("[device d]\nBus=pci platform\nName=0000:01:00.0\nDriver=vfio-pci\n"));
	for (size_t i = 0; i < ELEMENTSOF(many); i++) {
		many[i] = card("0000:02:00.0", 0x144d, 0xa808, 0x010802);
		devices[i] = &many[i].dev;
	}
	make_group(&group, members, devices, FILTER_MEMBERS_MAX);
	ck_assert(spares(devices[3], true));
	make_group(&group, members, devices, FILTER_MEMBERS_MAX + 1);
	ck_assert_msg(!spares(devices[3], true), "more members than are looked at");
	make_group(&group, members, devices + 1, 2);
	many[0].dev.iommu_group = &group;
	ck_assert_msg(!spares(devices[0], true), "it is not in the list of its own group");
	make_group(&group, members, devices, 2);
	members[1].list.next = NULL;
	ck_assert_msg(!spares(devices[0], true), "the list has no end");
	make_group(&group, members, devices, 2);
	many[1].dev.kobj.name = NULL;
	ck_assert_msg(!spares(devices[0], true), "a member without a name");
	devices[1] = &other;
	make_group(&group, members, devices, 2);
	ck_assert_msg(!spares(devices[0], true), "a member on another bus");
	ck_assert_msg(!spares(&other, false), "on another bus, in a group with others");
	devices[0] = &other;
	make_group(&group, members, devices, 1);
	ck_assert(spares(&other, false));
}
END_TEST

START_TEST(a_spared_device_goes_on_at_once_and_its_ticket_tells_the_first_driver)
{
	struct device_driver___local driver = { .name = "nvme" };
	struct pci_dev___local d = card("0000:02:00.0", 0x144d, 0xa808, 0x010802);
	const struct hold_ticket *ticket;
	struct hold_key key;

	set_filter(rules_of("[device d]\nId=10de:1b80\nDriver=vfio-pci\n"));
	add_device(&d);
	hold_on_pci_add_1(&d);
	hold_on_pci_add_2(&d);
	note_on_really_probe_1(&d.dev, &driver);
	(void)key_of_device(&d.dev, &key);
	ticket = bpf_map_lookup_elem(&tickets, &key);
	ck_assert_uint_eq(counters.spared, 1);
	ck_assert_uint_eq(counters.holds + counters.expired + clock_ns / LIMIT_NS, 0);
	ck_assert_int_eq(tickets_held, 0);
	ck_assert_int_eq(ticket_mark(1), HOLD_SPARED);
	ck_assert(ticket && !ticket_is_held(ticket->number));
	ck_assert_str_eq(kernel_kept[1].driver, "nvme");
	/* A decision that was faster stays one. */
	add_device(&d);
	(void)ticket_change_mark(2, HOLD_WAITS, HOLD_DECIDED);
	hold_on_pci_add_1(&d);
	ck_assert_int_eq(ticket_mark(2), HOLD_PASSED);
	ck_assert_int_eq(tickets_held, 0);
}
END_TEST

START_TEST(a_filter_is_in_force_for_tickets_that_are_issued_after_it)
{
	struct pci_dev___local d = card("0000:02:00.0", 0x144d, 0xa808, 0x010802);

	add_device(&d);
	set_filter(rules_of("[device d]\nId=10de:1b80\nDriver=vfio-pci\n"));
	hold_on_pci_add_1(&d);
	ck_assert_msg(counters.spared == 0 && counters.expired == 1, "its ticket is older than the filter");
	add_device(&d);
	hold_on_pci_add_1(&d);
	ck_assert_uint_eq(counters.spared, 1);
	filter_from = 0;
	add_device(&d);
	hold_on_pci_add_1(&d);
	ck_assert_uint_eq(counters.spared, 1);
	/* The guard ends: no bus is wanted any more. */
	filter_from = 1;
	add_device(&d);
	kernel_flags[0] = NOT_WANTED;
	hold_on_pci_add_1(&d);
	ck_assert_uint_eq(counters.spared, 1);
}
END_TEST

/* The policy changes while the program looks at the device: before its n-th look at a map. */
static struct policy *next_policy;
static unsigned change_at, n_looks;
static bool only_half;

static void change_policy(void)
{
	if (++n_looks != change_at)
		return;
	set_filter(next_policy);
	if (only_half) { /* the old keys are gone, the new ones are not there yet */
		filter_from = 0;
		n_kernel_filter_keys = 0;
	}
}

START_TEST(a_policy_that_changes_meanwhile_spares_nobody)
{
	struct pci_dev___local d = card("0000:02:00.0", 0x144d, 0xa808, 0x010802);
	struct policy *const policies[] = {
		rules_of("[device d]\nId=144d:a808\nClass=01\nDriver=vfio-pci\n"),
		rules_of("[device d]\nName=0000:01:00.0\nId=10de:1b80\nDriver=vfio-pci\n\n"
			 "[device e]\nClass=03\nId=10de:1b8*\nDriver=none\n")
	};

	for (unsigned half = 0; half < 2; half++)
		for (unsigned from = 0; from < 2; from++)
			for (change_at = 1;; change_at++) {
				bool spared;

				looked_up = NULL;
				set_filter(policies[from]);
				next_policy = policies[!from];
				only_half = half;
				n_looks = 0;
				looked_up = change_policy;
				spared = spares(&d.dev, true);
				looked_up = NULL;
				if (n_looks < change_at) {
					ck_assert_int_eq(spared, from);
					break;
				}
				ck_assert_msg(!spared, "changed before look %u", change_at);
			}
	ck_assert_uint_gt(change_at, 3);
}
END_TEST

SUITE_MAIN("hold-filter", 60, a_device_is_spared_that_has_no_value_of_any_rule,
	   names_and_classes_are_told_apart_by_all_that_is_literal, long_names_are_cut_off_on_both_sides,
	   a_rule_without_a_literal_value_switches_the_filter_off_on_its_buses,
	   more_values_than_there_is_room_for_switch_it_off,
	   a_device_waits_where_a_rule_may_match_a_member_of_its_group,
	   a_device_waits_where_its_group_cannot_be_read,
	   a_spared_device_goes_on_at_once_and_its_ticket_tells_the_first_driver,
	   a_filter_is_in_force_for_tickets_that_are_issued_after_it,
	   a_policy_that_changes_meanwhile_spares_nobody)
