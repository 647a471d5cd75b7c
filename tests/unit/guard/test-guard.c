/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guard without a kernel: what a message says, which buses are waited for, what is claimed of a first
 * probe. */
#include "guard/buses.h"
#include "tests/unit/fixtures/fake-hold.h"
#include "guard/first-probe.h"
#include "tests/unit/fixtures/mock-sysfs.h"
#include "tests/unit/fixtures/parse-policy.h"
#include "state/store.h"
#include "tests/unit/fixtures/suite.h"
#include "guard/uevent.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MESSAGE(text)                                                                                        \
	char buf[] = text;                                                                                   \
	struct uevent e;                                                                                     \
	bool is_event = uevent_parse(buf, sizeof(buf), &e)

START_TEST(message_of_a_device)
{
	MESSAGE("add@/devices/pci0000:00/0000:00:03.0\0ACTION=add\0DEVPATH=/devices/pci0000:00/0000:00:03.0\0"
		"SUBSYSTEM=pci\0MODALIAS=pci:v00008086d000010D3\0SEQNUM=7");

	ck_assert(is_event);
	ck_assert_int_eq(e.action, UEVENT_ADD);
	ck_assert_str_eq(e.devpath, "/devices/pci0000:00/0000:00:03.0");
	ck_assert_str_eq(e.subsystem, "pci");
	ck_assert_ptr_null(e.driver);
	ck_assert(!e.synthetic);
}
END_TEST

START_TEST(message_that_somebody_asked_for)
{
	MESSAGE("add@/devices/x\0SUBSYSTEM=platform\0SYNTH_UUID=0\0DRIVER=d");

	ck_assert(is_event);
	ck_assert(e.synthetic);
	ck_assert_str_eq(e.driver, "d");
}
END_TEST

START_TEST(message_of_a_bus_but_not_of_its_drivers)
{
	char bus[] = "add@/bus/vdpa\0SUBSYSTEM=bus", driver[] = "add@/bus/pci/drivers/x\0SUBSYSTEM=drivers";
	char module[] = "add@/module/x\0SUBSYSTEM=module", udev[] = "libudev\0x";
	struct uevent e;

	ck_assert(uevent_parse(bus, sizeof(bus), &e));
	ck_assert(!uevent_parse(driver, sizeof(driver), &e));
	ck_assert(!uevent_parse(module, sizeof(module), &e));
	ck_assert(!uevent_parse(udev, sizeof(udev), &e));
}
END_TEST

START_TEST(message_without_an_end_is_none)
{
	char buf[] = { 'a', 'd', 'd', '@', '/', 'd', 'e', 'v', 'i', 'c', 'e', 's', '/', 'x' };
	struct uevent e;

	ck_assert(!uevent_parse(buf, sizeof(buf), &e));
	ck_assert(!uevent_parse(buf, 0, &e));
}
END_TEST

static bool may_match(const char *key_value, const char *bus)
{
	char text[256];

	(void)snprintf(text, sizeof(text), "[device d]\n%s\nDriver=none\n", key_value);
	return rule_may_match_bus(one_rule(text), bus);
}

START_TEST(only_buses_that_a_rule_can_match)
{
	ck_assert(may_match("Bus=pci", "pci"));
	ck_assert(!may_match("Bus=pci", "platform"));
	ck_assert(may_match("Bus=p*", "platform"));
	ck_assert(may_match("Id=8086:10d3", "pci"));
	ck_assert(!may_match("Id=8086:10d3", "platform"));
	ck_assert(!may_match("Class=02", "vmbus"));
	ck_assert(!may_match("PhysFn=0000:01:00.0", "platform"));
	ck_assert(may_match("Name=x", "platform"));
	ck_assert(may_match("Modalias=pci:v*", "pci"));
	ck_assert(may_match("Modalias=*", "pci"));
	ck_assert(!may_match("Modalias=vmbus:*", "pci"));
	ck_assert(may_match("Modalias=acpi:*", "platform"));
	ck_assert(may_match("Attr.removable=removable", "pci"));
}
END_TEST

/* What was seen of a device around its `add`, whose number is 10. */
struct device_observation {
	bool stands, other, bound_before;
	bool held, raced,
		passed_before; /* it had a ticket; and it went on before the override was seen to stand */
	bool twice;	       /* a second thread came to it after the first */
	const char *bind;      /* the first bind event; NULL: none was heard */
	uint64_t bind_seqnum;  /* 11 unless told */
	bool bind_heard_first;
	const char *driver; /* bound when it is settled, its event still to come */
};

/* What FirstProbe becomes of a device that was seen like that. */
static void judged(const struct device_observation *seen, const char *expected)
{
	const uint64_t bind_seqnum = seen->bind_seqnum ? seen->bind_seqnum : 11;
	struct mock *m = mock_new();
	const char *devpath = mock_pci_add(m, "0000:00:03.0", NULL, 0x8086, 0x10d3, 0x020000);
	struct sysfs_device *d;
	struct sysfs sysfs;
	struct hold *hold = hold_new(1000);
	struct first_probe_watches *f;
	struct record record;
	struct first_probe_observation s = { .bus = "pci",
					     .name = "0000:00:03.0",
					     .stands = seen->stands,
					     .had_other_driver = seen->other,
					     .had_driver = seen->bound_before,
					     .seqnum = 10 };
	uint64_t wait, ticket = seen->held ? fake_hold_issue(hold, "pci", "0000:00:03.0") : 0;

	sysfs_init(&sysfs, &m->settings);
	f = first_probe_watches_new(&sysfs, hold);
	ck_assert_int_eq(sysfs_device_new(&sysfs, devpath, "pci", &d), 0);
	s.devpath = d->devpath;
	s.inode = d->inode;
	(void)strcpy(s.record.decision, "vfio-pci");
	ck_assert_int_eq(record_write(m->settings.state_dir, sysfs_device_key(d), &s.record), 0);
	if (seen->passed_before)
		fake_hold_end(hold, ticket);
	s.ticket = ticket;
	s.stood_before_probe = hold_release(hold, ticket);
	if (seen->bind && seen->bind_heard_first)
		first_probe_watch_bind(f, d->devpath, seen->bind, bind_seqnum);
	ck_assert_int_eq(first_probe_watch_add(f, &s), 0);
	if (seen->raced)
		fake_hold_race(hold, ticket);
	if (ticket)
		fake_hold_end(hold, ticket);
	if (seen->twice) {
		struct first_probe_observation second = s;

		second.ticket = 0;
		second.stood_before_probe = false;
		second.had_driver = true;
		second.seqnum = 20;
		ck_assert_int_eq(first_probe_watch_add(f, &second), 0);
	}
	if (seen->bind && !seen->bind_heard_first)
		first_probe_watch_bind(f, d->devpath, seen->bind, bind_seqnum);
	if (seen->driver)
		mock_bind(m, devpath, seen->driver);
	/* A remove of its predecessor, read late: the device is there, so it is not meant. */
	first_probe_watch_remove(f, d->devpath);
	while ((wait = first_probe_watches_settle(f)) > 0)
		(void)usleep((useconds_t)wait);
	ck_assert_int_eq(record_read(m->settings.state_dir, "pci", "0000:00:03.0", d->inode, &record), 0);
	ck_assert_str_eq(record.first_probe, expected);
	first_probe_watches_free(f);
	hold_free(hold);
	sysfs_device_free(d);
	sysfs_done(&sysfs);
	mock_free(m);
}

START_TEST(first_probe_is_what_was_seen)
{
	judged(&(struct device_observation){ .stands = true }, "won");
	judged(&(struct device_observation){ .stands = true, .bind = "vfio-pci" }, "won");
	judged(&(struct device_observation){ .stands = true, .bind = "e1000e" }, "lost");
	judged(&(struct device_observation){ .stands = true, .other = true }, "lost");
	judged(&(struct device_observation){ .stands = true, .bound_before = true }, "unknown");
	judged(&(struct device_observation){}, "unknown");
}
END_TEST

START_TEST(only_what_stood_before_the_hold_ended_is_guaranteed)
{
	judged(&(struct device_observation){ .held = true, .stands = true }, "guaranteed");
	judged(&(struct device_observation){ .held = true, .stands = true, .bound_before = true },
	       "guaranteed");
	judged(
		&(struct device_observation){
			.held = true, .stands = true, .bind = "vfio-pci", .twice = true },
		"guaranteed");
	judged(&(struct device_observation){ .held = true, .stands = true, .bind = "e1000e" }, "lost");
	judged(&(struct device_observation){ .held = true, .stands = true, .bind = "e1000e", .twice = true },
	       "lost");
	judged(&(struct device_observation){ .held = true, .stands = true, .raced = true }, "unknown");
	judged(&(struct device_observation){ .held = true, .stands = true, .passed_before = true }, "won");
	judged(
		&(struct device_observation){
			.held = true, .stands = true, .passed_before = true, .bound_before = true },
		"unknown");
	judged(&(struct device_observation){ .held = true }, "unknown");
}
END_TEST

START_TEST(a_bind_that_another_thread_heard_before_the_add_was_dealt_with_counts)
{
	judged(&(struct device_observation){ .stands = true, .bind = "e1000e", .bind_heard_first = true },
	       "lost");
	judged(&(struct device_observation){ .stands = true, .bind = "vfio-pci", .bind_heard_first = true },
	       "won");
	/* The predecessor's, before this add. */
	judged(
		&(struct device_observation){
			.stands = true, .bind = "e1000e", .bind_heard_first = true, .bind_seqnum = 9 },
		"won");
	judged(&(struct device_observation){ .stands = true, .bind = "e1000e", .bind_seqnum = 9 }, "won");
}
END_TEST

START_TEST(a_driver_that_is_still_probing_was_first)
{
	judged(&(struct device_observation){ .stands = true, .driver = "e1000e" }, "lost");
	judged(&(struct device_observation){ .stands = true, .driver = "vfio-pci" }, "won");
}
END_TEST

SUITE_MAIN("guard", 30, message_of_a_device, message_that_somebody_asked_for,
	   message_of_a_bus_but_not_of_its_drivers, message_without_an_end_is_none,
	   only_buses_that_a_rule_can_match, first_probe_is_what_was_seen,
	   only_what_stood_before_the_hold_ended_is_guaranteed,
	   a_bind_that_another_thread_heard_before_the_add_was_dealt_with_counts,
	   a_driver_that_is_still_probing_was_first)
