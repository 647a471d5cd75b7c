/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* When the service looks at a device, and what it makes of looks that overtake one another, hang or come
 * half-way. */
#include "base/text.h"
#include "tests/bus/harness.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static const char card_rule[] = "[device card]\nName=" CARD "\nDriver=vfio-pci\n";

/* No event tells of it: not of the override of a device that is decided, nor of one that was set by hand. */
START_TEST(an_override_that_is_written_is_noticed)
{
	struct harness *h = harness_new();
	struct signals changed;
	unsigned before;

	three_devices(h);
	mock_attr(h->m, PATH_OF(DISK), "driver_override", "pci-stub\n");
	(void)mock_policy(h->m, MOCK_ETC, "50-a.conf", card_rule);
	service_start(h);
	wait_property(h, "pci", CARD, "State", "enforced");
	ck_assert_str_eq(property(h, "pci", DISK, "State"), "foreign");
	settle(h);
	before = calls(h, "");
	listen_for(h, &changed, "org.freedesktop.DBus.Properties", "PropertiesChanged");
	for (unsigned i = 0; i < 2; i++) {
		mock_attr(h->m, PATH_OF(CARD), "driver_override", "(null)\n");
		wait_signals(&changed, 1);
		wait_property(h, "pci", CARD, "State", "pending");
		ck_assert_str_eq(property(h, "pci", CARD, "Override"), "");
		mock_attr(h->m, PATH_OF(CARD), "driver_override", "vfio-pci\n");
		wait_property(h, "pci", CARD, "State", "enforced");
		/* Another file in its place, as for a device that was replaced. */
		mock_attr_remove(h->m, PATH_OF(CARD), "driver_override");
		mock_attr(h->m, PATH_OF(CARD), "driver_override", "vfio-pci\n");
		tell(h, "change", "pci", CARD);
		settle(h);
	}
	mock_attr(h->m, PATH_OF(DISK), "driver_override", "(null)\n");
	wait_property(h, "pci", DISK, "State", "unmanaged");
	ck_assert_uint_eq(calls(h, ""), before);
	harness_free(h);
}
END_TEST

/* All looks that the new policy asks for have ended; one that begins later has another reason. */
static void policy_is_read(struct harness *h)
{
	sd_bus_message *m = call(h, "Reload", NULL);

	ck_assert_ptr_nonnull(m);
	(void)sd_bus_message_unref(m);
	wait_property(h, "pci", CARD, "State", "enforced");
	settle(h);
}

/* The enforcer stops in the middle of its work on CARD. */
static void apply_half_way(struct harness *h, sd_bus *other)
{
	faults(h, "pci/" CARD " half-way\n");
	send_call(other, "Apply", "ssa{sv}", "pci", CARD, 0);
	while (!streq(mock_override(h->m, PATH_OF(CARD)), "(null)\n"))
		(void)usleep(1000);
}

/* Devices are looked at in the order in which that was asked for. */
static void disk_is_looked_at(struct harness *h, const char *override, const char *state)
{
	mock_attr(h->m, PATH_OF(DISK), "driver_override", mock_printf(h->m, "%s\n", override));
	tell(h, "change", "pci", DISK);
	wait_property(h, "pci", DISK, "State", state);
}

/* Its every write is heard, and what stands there between two of them is no state of the device. */

START_TEST(what_the_enforcer_is_half_way_through_is_not_looked_at)
{
	struct harness *h = harness_new();
	sd_bus *other = connect_as(h, 0);

	three_devices(h);
	(void)mock_policy(h->m, MOCK_ETC, "50-a.conf", card_rule);
	service_start(h);
	policy_is_read(h);
	apply_half_way(h, other);
	disk_is_looked_at(h, "pci-stub", "foreign"); /* CARD's look would be over by then */
	ck_assert_str_eq(property(h, "pci", CARD, "State"), "enforced");
	ck_assert_str_eq(property(h, "pci", CARD, "Override"), "vfio-pci");
	faults(h, "");
	ck_assert_str_eq(apply_with(h, "pci", CARD, NULL), "enforced");
	(void)sd_bus_flush_close_unref(other);
	harness_free(h);
}
END_TEST

/* Each unbind and each bind has an event, which a look after the move answers. */
START_TEST(events_of_a_move_are_followed_by_a_look_when_it_has_ended)
{
	struct harness *h = harness_new();
	sd_bus *other = connect_as(h, 0);
	const char *identity;

	three_devices(h);
	(void)mock_policy(h->m, MOCK_ETC, "50-a.conf", card_rule);
	service_start(h);
	policy_is_read(h);
	identity = mock_printf(h->m, "%s", property(h, "pci", CARD, "Identity"));
	apply_half_way(h, other);
	/* A look that was asked for before, as by what the enforcer has recorded, is over, too. */
	h->left_behind++;
	settle(h);
	h->left_behind--;
	/* What a look tells at once, also during a move. */
	mock_attr(h->m, PATH_OF(CARD), "modalias", "pci:v00001234d00001234sv00001234sd00001234bc03sc00i00\n");
	tell(h, "unbind", "pci", CARD);
	tell(h, "bind", "pci", CARD);
	disk_is_looked_at(h, "pci-stub", "foreign");
	ck_assert_str_eq(property(h, "pci", CARD, "Identity"), identity);
	faults(h, "");
	while (streq(property(h, "pci", CARD, "Identity"), identity))
		(void)usleep(1000);
	(void)sd_bus_flush_close_unref(other);
	harness_free(h);
}
END_TEST

/* A look at all devices is due when policy changes, whatever is being moved: it tells what is decided. */
START_TEST(a_look_that_begins_during_a_move_shows_nothing_half_way)
{
	struct harness *h = harness_new();
	sd_bus *other = connect_as(h, 0);

	three_devices(h);
	(void)mock_policy(h->m, MOCK_ETC, "50-a.conf", card_rule);
	service_start(h);
	policy_is_read(h);
	apply_half_way(h, other);
	(void)mock_policy(h->m, MOCK_ETC, "40-b.conf",
			  "[device other]\nName=" CARD "\nDriver=none\n"
			  "[device disk]\nName=" DISK "\nDriver=vfio-pci\nRebind=no\n");
	wait_property(h, "pci", DISK, "Decision", "vfio-pci");
	ck_assert_str_eq(property(h, "pci", CARD, "Decision"), "none");
	ck_assert_str_eq(property(h, "pci", CARD, "State"), "enforced");
	ck_assert_str_eq(property(h, "pci", CARD, "Override"), "vfio-pci");
	faults(h, "");
	wait_property(h, "pci", CARD, "Driver", "");
	wait_property(h, "pci", CARD, "State", "enforced");
	(void)sd_bus_flush_close_unref(other);
	harness_free(h);
}
END_TEST

/* On a slow machine a look can begin before the enforcer does, and read when it is half-way. */
START_TEST(a_look_that_began_before_the_enforcer_did_shows_nothing_half_way)
{
	struct harness *h = harness_new();
	sd_bus *other = connect_as(h, 0);
	const char *early, *fifo;
	int fd;

	h->read_timeout = "60000"; /* the look must not go on without what hangs */
	three_devices(h);
	early = mock_pci_add(h->m, "0000:00:02.0", NULL, 0x8086, 0x10d3, 0x020000);
	(void)mock_policy(h->m, MOCK_ETC, "50-a.conf", card_rule);
	service_start(h);
	policy_is_read(h);
	/* A look at all devices, which stops before it comes to CARD. */
	mock_attr_hangs(h->m, early, "driver_override");
	fifo = mock_path(h->m, early, "driver_override");
	(void)mock_policy(h->m, MOCK_ETC, "60-b.conf",
			  "[device disk]\nName=" DISK "\nDriver=vfio-pci\nRebind=no\n");
	while ((fd = open(fifo, O_WRONLY | O_NONBLOCK | O_CLOEXEC)) < 0)
		(void)usleep(1000);
	apply_half_way(h, other);
	/* The reader may have been another look, at this device alone; the one at all reads the file then. */
	mock_attr_remove(h->m, early, "driver_override");
	mock_attr(h->m, early, "driver_override", "(null)\n");
	ck_assert_int_gt(write(fd, "(null)\n", 7), 0);
	(void)close(fd);
	wait_property(h, "pci", DISK, "Decision", "vfio-pci");
	ck_assert_str_eq(property(h, "pci", CARD, "State"), "enforced");
	ck_assert_str_eq(property(h, "pci", CARD, "Override"), "vfio-pci");
	faults(h, "");
	ck_assert_str_eq(apply_with(h, "pci", CARD, NULL), "enforced");
	(void)sd_bus_flush_close_unref(other);
	harness_free(h);
}
END_TEST

/* All devices are looked at for a new policy, which takes its time; one of them is looked at again meanwhile.
 */
START_TEST(what_a_new_policy_asks_for_is_done_though_a_later_look_was_quicker)
{
	struct harness *h = harness_new();
	const char *fifo;
	int fd;

	h->read_timeout = "60000"; /* the look must not go on without what hangs */
	three_devices(h);
	service_start(h);
	settle(h);
	mock_attr_hangs(h->m, PATH_OF(DISK), "driver_override");
	fifo = mock_path(h->m, PATH_OF(DISK), "driver_override");
	(void)mock_policy(h->m, MOCK_ETC, "50-a.conf", card_rule);
	/* Its reader is there: the look at all devices is under way. */
	while ((fd = open(fifo, O_WRONLY | O_NONBLOCK | O_CLOEXEC)) < 0)
		(void)usleep(1000);
	/* Again and again: the reader may have been a look at that device alone, before the policy was read.
	 */
	WAIT_UNTIL(({
		tell(h, "change", "pci", CARD);
		streq(property(h, "pci", CARD, "Decision"), "vfio-pci");
	}));
	ck_assert_uint_eq(calls(h, ""), 0);
	mock_attr_remove(h->m, PATH_OF(DISK), "driver_override");
	mock_attr(h->m, PATH_OF(DISK), "driver_override", "(null)\n");
	ck_assert_int_gt(write(fd, "(null)\n", 7), 0);
	(void)close(fd);
	wait_property(h, "pci", CARD, "State", "enforced");
	harness_free(h);
}
END_TEST

/* Suspend and resume, a coldplug: events without a change. */
START_TEST(events_without_a_change_write_nothing)
{
	struct harness *h = harness_new();
	struct signals changed;

	three_devices(h);
	(void)mock_policy(h->m, MOCK_ETC, "50-a.conf", card_rule);
	service_start(h);
	wait_property(h, "pci", CARD, "State", "enforced");
	settle(h);
	listen_for(h, &changed, "org.freedesktop.DBus.Properties", "PropertiesChanged");
	for (unsigned i = 0; i < 50; i++) {
		tell(h, "change", "pci", CARD);
		tell(h, "add", "pci", DISK);
		tell(h, "add", "pci", CARD);
	}
	settle(h);
	ck_assert_uint_eq(changed.n, 0);
	ck_assert_uint_eq(calls(h, ""), 1);
	harness_free(h);
}
END_TEST

START_TEST(a_stuck_device_recovers_when_it_has_let_go)
{
	struct harness *h = harness_new();

	three_devices(h);
	service_start(h);
	ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "enforced");
	faults(h, "pci/" CARD " Stuck unbinding did not come back\n");
	ck_assert_str_eq(apply_with(h, "pci", CARD, NULL), "!Stuck");
	faults(h, "");
	ck_assert_str_eq(set(h, "platform", "foo.0", "none"), "enforced");
	ck_assert_str_eq(apply_with(h, "pci", CARD, NULL), "enforced");
	harness_free(h);
}
END_TEST

/* The lock is held by what was left behind, and no event tells of its end. */
START_TEST(a_stuck_device_that_comes_back_is_put_right_unasked)
{
	struct harness *h = harness_new();
	int lock;

	three_devices(h);
	service_start(h);
	ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "enforced");
	make_dirs(mock_printf(h->m, "%s/rebind", h->m->state));
	lock = open(mock_printf(h->m, "%s/rebind/pci:" CARD, h->m->state), O_RDWR | O_CREAT | O_CLOEXEC,
		    0600);
	ck_assert_int_ge(lock, 0);
	ck_assert_int_eq(flock(lock, LOCK_EX | LOCK_NB), 0);
	drift(h, PATH_OF(CARD), "vfio-pci\n", NULL);
	faults(h, "pci/" CARD " Stuck unbinding did not come back\n");
	ck_assert_str_eq(apply_with(h, "pci", CARD, NULL), "!Stuck");
	wait_property(h, "pci", CARD, "State", "stuck");
	tell(h, "unbind", "pci", CARD);
	h->left_behind = 1; /* it waits for the lock */
	settle(h);
	ck_assert_str_eq(property(h, "pci", CARD, "State"), "stuck");
	faults(h, "");
	(void)close(lock);
	wait_property(h, "pci", CARD, "State", "enforced");
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "vfio-pci");
	harness_free(h);
}
END_TEST

START_TEST(a_device_that_comes_again_under_its_name_is_a_new_one)
{
	struct harness *h = harness_new();
	const char *devpath;

	three_devices(h);
	(void)mock_policy(h->m, MOCK_ETC, "50-a.conf", card_rule);
	service_start(h);
	wait_property(h, "pci", CARD, "State", "enforced");
	mock_remove(h->m, PATH_OF(CARD));
	devpath = mock_pci_add(h->m, CARD, NULL, 0x8086, 0x10d3, 0x020000);
	mock_bind(h->m, devpath, "e1000e");
	tell(h, "remove", "pci", CARD);
	tell(h, "add", "pci", CARD);
	wait_property(h, "pci", CARD, "Driver", "vfio-pci");
	harness_free(h);
}
END_TEST

SUITE_MAIN("bus-refresh", 300, an_override_that_is_written_is_noticed,
	   what_the_enforcer_is_half_way_through_is_not_looked_at,
	   events_of_a_move_are_followed_by_a_look_when_it_has_ended,
	   a_look_that_begins_during_a_move_shows_nothing_half_way,
	   a_look_that_began_before_the_enforcer_did_shows_nothing_half_way,
	   what_a_new_policy_asks_for_is_done_though_a_later_look_was_quicker,
	   events_without_a_change_write_nothing, a_stuck_device_recovers_when_it_has_let_go,
	   a_stuck_device_that_comes_back_is_put_right_unasked,
	   a_device_that_comes_again_under_its_name_is_a_new_one)
