/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a message of the kernel says. */
#include "guard/uevent.h"
#include "tests/unit/fixtures/suite.h"

#include <stdbool.h>

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

START_TEST(message_that_a_program_asked_for)
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

SUITE_MAIN("uevent", 30, message_of_a_device, message_that_a_program_asked_for,
	   message_of_a_bus_but_not_of_its_drivers, message_without_an_end_is_none)
