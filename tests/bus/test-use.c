/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Devices that stay with their driver because they are in use, and are moved when the use ends. */
#include "base/time.h"
#include "tests/bus/harness.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#define RULE "[device card]\nName=" CARD "\nDriver=vfio-pci\n"
#define REASON "in use: /dev/i2c-4 is open in user (process 1)"

/* A card whose rule is to move it to vfio-pci, and which the enforcer finds in use. */
static struct harness *use_begin(void)
{
	struct harness *h = harness_new();

	three_devices(h);
	mock_bind(h->m, "/devices/pci0000:00/" CARD, "e1000e");
	mock_driver_add(h->m, "pci", "vfio-pci");
	make_dirs(mock_printf(h->m, "%s/dev", h->m->root));
	make_file(mock_printf(h->m, "%s/dev/i2c-4", h->m->root), "", 0);
	(void)mock_policy(h->m, MOCK_ETC, "50-a.conf", RULE);
	return h;
}

static void node_open_and_close(struct harness *h)
{
	int fd = open(mock_printf(h->m, "%s/dev/i2c-4", h->m->root), O_RDONLY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	(void)close(fd);
}

START_TEST(device_in_use_is_moved_when_its_node_is_closed)
{
	struct harness *h = use_begin();

	faults(h, "pci/" CARD " InUse " REASON "\npci/" CARD " use-ends /dev/i2c-4\n");
	service_start(h);
	wait_property(h, "pci", CARD, "State", "blocked");
	ck_assert_str_eq(property(h, "pci", CARD, "Reason"), REASON);
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "e1000e");
	/* Once at the beginning, and once again since the use may have ended meanwhile. */
	while (calls(h, "pci/" CARD) < 2)
		(void)usleep(1000);
	settle(h);
	ck_assert_uint_eq(calls(h, "pci/" CARD), 2);
	faults(h, "");
	settle(h);
	ck_assert_str_eq(property(h, "pci", CARD, "State"), "blocked");
	node_open_and_close(h);
	wait_property(h, "pci", CARD, "State", "enforced");
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "vfio-pci");
	harness_free(h);
}
END_TEST

START_TEST(device_still_in_use_after_a_close_is_tried_again_later)
{
	struct harness *h = use_begin();

	faults(h, "pci/" CARD " InUse " REASON "\npci/" CARD " use-ends /dev/i2c-4\n");
	service_start(h);
	wait_property(h, "pci", CARD, "State", "blocked");
	while (calls(h, "pci/" CARD) < 2)
		(void)usleep(1000);
	node_open_and_close(h);
	/* A driver lets go a moment after the close, so the first try comes too early. */
	while (calls(h, "pci/" CARD) < 3)
		(void)usleep(1000);
	faults(h, "");
	wait_property(h, "pci", CARD, "State", "enforced");
	harness_free(h);
}
END_TEST

/* Any user may open and close a node: that must not keep the enforcer busy. */
START_TEST(device_in_use_is_tried_once_a_second_at_most)
{
	struct harness *h = use_begin();
	uint64_t begun;
	unsigned before;

	faults(h, "pci/" CARD " InUse " REASON "\npci/" CARD " use-ends /dev/i2c-4\n");
	service_start(h);
	wait_property(h, "pci", CARD, "State", "blocked");
	while (calls(h, "pci/" CARD) < 2)
		(void)usleep(1000);
	before = calls(h, "pci/" CARD);
	begun = now_usec();
	for (int i = 0; i < 100; i++) {
		node_open_and_close(h);
		(void)usleep(20000);
	}
	/* One more for a second that had begun, and one for a call that was under way. */
	ck_assert_uint_le(calls(h, "pci/" CARD) - before, (unsigned)((now_usec() - begun) / 1000000U) + 2);
	ck_assert_uint_gt(calls(h, "pci/" CARD), before);
	harness_free(h);
}
END_TEST

START_TEST(rebind_no_is_not_waited_for)
{
	struct harness *h = use_begin();

	(void)mock_policy(h->m, MOCK_ETC, "50-a.conf", RULE "Rebind=no\n");
	service_start(h);
	wait_property(h, "pci", CARD, "State", "blocked");
	settle(h);
	node_open_and_close(h);
	settle(h);
	ck_assert_uint_eq(calls(h, "pci/" CARD), 1);
	harness_free(h);
}
END_TEST

SUITE_MAIN("bus-use", 60, device_in_use_is_moved_when_its_node_is_closed,
	   device_still_in_use_after_a_close_is_tried_again_later,
	   device_in_use_is_tried_once_a_second_at_most, rebind_no_is_not_waited_for)
