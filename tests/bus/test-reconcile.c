/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the service does by itself: what is not yet as decided is moved, what has drifted away is shown. */
#include "base/text.h"
#include "tests/bus/harness.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char card_rule[] = "[device card]\nName=" CARD "\nDriver=vfio-pci\n";

START_TEST(what_was_there_before_the_service_is_moved)
{
	struct harness *h = harness_new();

	three_devices(h);
	(void)mock_policy(h->m, MOCK_ETC, "50-a.conf", card_rule);
	service_start(h);
	wait_property(h, "pci", CARD, "State", "enforced");
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "vfio-pci");
	ck_assert_str_eq(property(h, "pci", DISK, "Driver"), "nvme");
	ck_assert_uint_eq(calls(h, "pci/" DISK), 0);
	harness_free(h);
}
END_TEST

START_TEST(a_rule_that_comes_is_enforced_and_one_that_goes_gives_back)
{
	struct harness *h = harness_new();

	three_devices(h);
	service_start(h);
	(void)mock_policy(h->m, MOCK_ETC, "50-a.conf", card_rule);
	wait_property(h, "pci", CARD, "State", "enforced");
	ck_assert_int_eq(unlink(mock_printf(h->m, "%s/50-a.conf", h->m->conf[MOCK_ETC])), 0);
	wait_property(h, "pci", CARD, "State", "unmanaged");
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "e1000e");
	ck_assert_str_eq(property(h, "pci", CARD, "Override"), "");
	harness_free(h);
}
END_TEST

/* A rule that was tried once may come again, and go again. */
START_TEST(what_is_given_back_once_is_given_back_again)
{
	struct harness *h = harness_new();
	const char *file = mock_printf(h->m, "%s/10-set-pci-" CARD ".conf", h->m->conf[MOCK_ETC]);

	three_devices(h);
	service_start(h);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "enforced");
		ck_assert_int_eq(unlink(file), 0);
		wait_property(h, "pci", CARD, "State", "unmanaged");
		wait_property(h, "pci", CARD, "Driver", "e1000e");
	}
	/* The same for a rule of a person's behind it. */
	(void)mock_policy(h->m, MOCK_ETC, "50-a.conf", "[device card]\nName=" CARD "\nDriver=none\n");
	for (unsigned i = 0; i < 2; i++) {
		wait_property(h, "pci", CARD, "Decision", "none");
		wait_property(h, "pci", CARD, "State", "enforced");
		ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "enforced");
		ck_assert_int_eq(unlink(file), 0);
	}
	wait_property(h, "pci", CARD, "Decision", "none");
	wait_property(h, "pci", CARD, "State", "enforced");
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "");
	harness_free(h);
}
END_TEST

static uint64_t record_inode(struct harness *h)
{
	struct stat st;

	return stat(mock_printf(h->m, "%s/devices/pci:" CARD, h->m->state), &st) == 0 ? st.st_ino : 0;
}

/* It is there again when the enforcer has the device's lock, and has gone again before the service sees it.
 */
START_TEST(rule_that_was_back_for_a_moment_leaves_nothing_behind)
{
	struct harness *h = harness_new();
	const char *file = mock_printf(h->m, "%s/50-a.conf", h->m->conf[MOCK_ETC]);
	unsigned n;
	uint64_t record;
	int lock;

	three_devices(h);
	(void)mock_policy(h->m, MOCK_ETC, "50-a.conf", card_rule);
	service_start(h);
	wait_property(h, "pci", CARD, "State", "enforced");
	settle(h);
	record = record_inode(h);
	lock = open(mock_printf(h->m, "%s/rebind/pci:" CARD, h->m->state), O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(lock, 0);
	ck_assert_int_eq(flock(lock, LOCK_EX), 0);
	n = calls(h, "pci/" CARD);
	ck_assert_int_eq(unlink(file), 0);
	WAIT_UNTIL(calls(h, "pci/" CARD) > n);
	(void)mock_policy(h->m, MOCK_ETC, "50-a.conf", card_rule);
	(void)close(lock);
	WAIT_UNTIL(record_inode(h) != record);
	ck_assert_int_eq(unlink(file), 0);
	wait_property(h, "pci", CARD, "Driver", "e1000e");
	settle(h);
	ck_assert_str_eq(property(h, "pci", CARD, "State"), "unmanaged");
	harness_free(h);
}
END_TEST

START_TEST(a_hot_plugged_device_that_lost_its_first_probe_is_moved)
{
	struct harness *h = harness_new();
	const char *devpath;

	three_devices(h);
	(void)mock_policy(h->m, MOCK_ETC, "50-a.conf", "[device new]\nName=0000:00:05.0\nDriver=vfio-pci\n");
	service_start(h);
	devpath = mock_pci_add(h->m, "0000:00:05.0", NULL, 0x8086, 0x10d3, 0x020000);
	mock_bind(h->m, devpath, "e1000e");
	tell(h, "add", "pci", "0000:00:05.0");
	wait_property(h, "pci", "0000:00:05.0", "State", "enforced");
	ck_assert_str_eq(property(h, "pci", "0000:00:05.0", "Driver"), "vfio-pci");
	harness_free(h);
}
END_TEST

START_TEST(drift_is_shown_and_signalled_and_not_fought)
{
	struct harness *h = harness_new();
	struct signals changed;
	unsigned before;

	three_devices(h);
	(void)mock_policy(h->m, MOCK_ETC, "50-a.conf", card_rule);
	service_start(h);
	wait_property(h, "pci", CARD, "State", "enforced");
	settle(h);
	before = calls(h, "");
	listen_for(h, &changed, "org.freedesktop.DBus.Properties", "PropertiesChanged");
	/* What libvirt does when its guest is gone. */
	drift(h, PATH_OF(CARD), "(null)\n", "e1000e");
	tell(h, "unbind", "pci", CARD);
	tell(h, "bind", "pci", CARD);
	wait_signals(&changed, 1);
	wait_property(h, "pci", CARD, "State", "pending");
	ck_assert_ptr_nonnull(strstr(property(h, "pci", CARD, "Reason"), "drifted"));
	/* Not by a look at it, by policy that changes elsewhere, nor by a restart. */
	(void)mock_policy(h->m, MOCK_ETC, "60-b.conf", "[device b]\nName=nobody\nDriver=none\n");
	while (!streq(manager_property(h, "Rules", "u"), "2"))
		(void)usleep(1000);
	settle(h);
	service_stop(h);
	service_start(h);
	settle(h);
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "e1000e");
	ck_assert_uint_eq(calls(h, ""), before);
	ck_assert_str_eq(apply_with(h, "pci", CARD, NULL), "enforced");
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "vfio-pci");
	harness_free(h);
}
END_TEST

/* Somebody's udevadm trigger: the enforcer writes the override again and notes what it found. */
START_TEST(an_event_for_what_has_drifted_does_not_make_it_a_task)
{
	struct harness *h = harness_new();
	const char *path, *text, *state;
	unsigned before;

	three_devices(h);
	(void)mock_policy(h->m, MOCK_ETC, "50-a.conf", card_rule);
	service_start(h);
	wait_property(h, "pci", CARD, "State", "enforced");
	service_stop(h);
	before = calls(h, "");
	drift(h, PATH_OF(CARD), "vfio-pci\n", "e1000e");
	path = mock_printf(h->m, "%s/devices/pci:" CARD, h->m->state);
	text = mock_read(h->m, path);
	state = strstr(text, "STATE=enforced");
	ck_assert_ptr_nonnull(state);
	text = mock_printf(h->m, "%.*sSTATE=pending%s", (int)(state - text), text,
			   state + strlen("STATE=enforced"));
	make_file(path, text, strlen(text));
	service_start(h);
	tell(h, "add", "pci", CARD);
	settle(h);
	wait_property(h, "pci", CARD, "State", "pending");
	ck_assert_ptr_nonnull(strstr(property(h, "pci", CARD, "Reason"), "drifted"));
	ck_assert_uint_eq(calls(h, ""), before);
	harness_free(h);
}
END_TEST

/* One that comes under its name meanwhile is another device, and may not have been probed yet. */
START_TEST(move_that_nobody_asked_for_is_of_one_device)
{
	struct harness *h = harness_new();
	struct stat st;

	three_devices(h);
	ck_assert_int_eq(stat(mock_path(h->m, PATH_OF(CARD), ""), &st), 0);
	(void)mock_policy(h->m, MOCK_ETC, "50-a.conf", card_rule);
	service_start(h);
	wait_property(h, "pci", CARD, "State", "enforced");
	ck_assert_uint_eq(calls(h, "pci/" CARD), 1);
	ck_assert_uint_eq(calls(h, mock_printf(h->m, "pci/" CARD " inode %ju\n", (uintmax_t)st.st_ino)), 1);
	harness_free(h);
}
END_TEST

START_TEST(what_is_in_use_is_tried_once_and_again_when_asked)
{
	struct harness *h = harness_new();
	sd_bus_message *m;

	three_devices(h);
	faults(h, "pci/" CARD " InUse eth0 has an address\n");
	(void)mock_policy(h->m, MOCK_ETC, "50-a.conf", card_rule);
	service_start(h);
	wait_property(h, "pci", CARD, "State", "blocked");
	ck_assert_str_eq(property(h, "pci", CARD, "Reason"), "eth0 has an address");
	ck_assert_uint_eq(calls(h, "pci/" CARD), 1);
	tell(h, "unbind", "pci", CARD);
	tell(h, "bind", "pci", CARD);
	tell(h, "change", "pci", CARD);
	(void)mock_policy(h->m, MOCK_ETC, "60-b.conf", "[device b]\nName=nobody\nDriver=none\n");
	while (!streq(manager_property(h, "Rules", "u"), "2"))
		(void)usleep(1000);
	settle(h);
	ck_assert_uint_eq(calls(h, "pci/" CARD), 1);
	faults(h, "");
	m = call(h, "Reload", NULL);
	ck_assert_ptr_nonnull(m);
	(void)sd_bus_message_unref(m);
	wait_property(h, "pci", CARD, "State", "enforced");
	harness_free(h);
}
END_TEST

/* A call for the device is under way while a new policy is looked at; what it is for depends on how it ends.
 */
static void policy_during_a_call(const char *driver, bool dry_run)
{
	struct harness *h = harness_new();
	sd_bus *other;
	sd_bus_message *reply = NULL;

	three_devices(h);
	service_start(h);
	other = connect_as(h, 0);
	faults(h, "pci/" CARD " slow\n");
	send_call(other, "SetOverride", "sssa{sv}", "pci", CARD, driver, 1, "dry-run", "b", (int)dry_run);
	while (calls(h, "pci/" CARD " dry-run") < 1)
		(void)usleep(1000);
	(void)mock_policy(h->m, MOCK_ETC, "50-a.conf", card_rule);
	wait_property(h, "pci", CARD, "Decision", "vfio-pci");
	if (dry_run) /* nothing waits for it */
		while (calls(h, "pci/" CARD) < 2)
			(void)usleep(1000);
	else /* no look at the new policy is still to come */
		(void)usleep(1000000);
	faults(h, "");
	wait_property(h, "pci", CARD, "State", "enforced");
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "vfio-pci");
	while (!reply) {
		ck_assert_int_ge(sd_bus_process(other, &reply), 0);
		if (reply && sd_bus_message_is_signal(reply, NULL, NULL))
			reply = sd_bus_message_unref(reply);
		if (!reply)
			ck_assert_int_ge(sd_bus_wait(other, PATIENCE_USEC), 0);
	}
	/* On a slow machine what was tried was given up by then, which is as good. */
	if (!dry_run)
		ck_assert(sd_bus_message_is_method_error(reply, NULL));
	(void)sd_bus_message_unref(reply);
	(void)sd_bus_flush_close_unref(other);
	harness_free(h);
}

START_TEST(a_dry_run_keeps_no_device_from_being_moved)
{
	policy_during_a_call("none", true);
}
END_TEST

START_TEST(what_a_refused_call_had_held_up_is_done_after_it)
{
	policy_during_a_call("no-such-driver", false);
}
END_TEST

/* Nobody waits for them, and somebody waits for the call. */
START_TEST(moves_that_hang_take_no_calls_place)
{
	struct harness *h = harness_new();
	const char *text = "";

	three_devices(h);
	for (unsigned i = 0; i < 20; i++) {
		const char *devpath = mock_platform_add(h->m, mock_printf(h->m, "dev.%u", i), "platform:dev");

		mock_bind(h->m, devpath, "foo");
		mock_attr(h->m, devpath, "own_driver", "foo\n");
		text = mock_printf(h->m, "%splatform/dev.%u slow\n", text, i);
	}
	faults(h, text);
	(void)mock_policy(h->m, MOCK_ETC, "50-a.conf", "[device all]\nName=dev.*\nDriver=none\n");
	service_start(h);
	while (calls(h, "platform/dev.") < 8)
		(void)usleep(1000);
	ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "enforced");
	faults(h, "");
	for (unsigned i = 0; i < 20; i++)
		wait_property(h, "platform", mock_printf(h->m, "dev.%u", i), "State", "enforced");
	harness_free(h);
}
END_TEST

START_TEST(rebind_no_is_reported_and_left)
{
	struct harness *h = harness_new();

	three_devices(h);
	(void)mock_policy(h->m, MOCK_ETC, "50-a.conf",
			  "[device card]\nName=" CARD "\nDriver=vfio-pci\nRebind=no\n");
	service_start(h);
	wait_property(h, "pci", CARD, "State", "blocked");
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "e1000e");
	harness_free(h);
}
END_TEST

START_TEST(an_override_of_somebody_else_is_foreign_and_left)
{
	struct harness *h = harness_new();

	three_devices(h);
	mock_attr(h->m, PATH_OF(CARD), "driver_override", "pci-stub\n");
	mock_attr(h->m, PATH_OF(DISK), "driver_override", "pci-stub\n");
	(void)mock_policy(h->m, MOCK_ETC, "50-a.conf", card_rule);
	service_start(h);
	settle(h);
	ck_assert_str_eq(property(h, "pci", CARD, "State"), "foreign");
	ck_assert_str_eq(property(h, "pci", DISK, "State"), "foreign");
	ck_assert_uint_eq(calls(h, ""), 0);
	ck_assert_str_eq(mock_override(h->m, PATH_OF(CARD)), "pci-stub\n");
	harness_free(h);
}
END_TEST

/* A call is under way for the device while a look finds that it is not as decided yet: the call sees to that.
 */
START_TEST(what_a_call_is_about_is_not_moved_beside_it)
{
	struct harness *h = harness_new();
	sd_bus *other;

	three_devices(h);
	service_start(h);
	other = connect_as(h, 0);
	faults(h, "pci/" CARD " wait\n");
	send_call(other, "SetOverride", "sssa{sv}", "pci", CARD, "vfio-pci", 0);
	while (calls(h, "pci/" CARD) < 2) /* a dry run, and the one that waits */
		(void)usleep(1000);
	wait_property(h, "pci", CARD, "Decision",
		      "vfio-pci"); /* by the look at all devices after the new policy */
	faults(h, "");
	wait_property(h, "pci", CARD, "State", "enforced");
	settle(h);
	ck_assert_uint_eq(calls(h, "pci/" CARD), 2);
	(void)sd_bus_flush_close_unref(other);
	harness_free(h);
}
END_TEST

/* A device that is as decided, and not recorded yet, is moved away before the enforcer has recorded it: that
 * the rule's device was recorded does not mean that the rule was tried. */
START_TEST(what_was_only_to_be_recorded_is_moved_when_it_has_to_be)
{
	struct harness *h = harness_new();

	three_devices(h);
	mock_bind(h->m, PATH_OF(CARD), "vfio-pci");
	mock_attr(h->m, PATH_OF(CARD), "driver_override", "vfio-pci\n");
	(void)mock_policy(h->m, MOCK_ETC, "50-a.conf", card_rule);
	faults(h, "pci/" CARD " wait\n");
	service_start(h);
	while (calls(h, "pci/" CARD " no") < 1)
		(void)usleep(1000);
	drift(h, PATH_OF(CARD), "vfio-pci\n", "e1000e");
	tell(h, "bind", "pci", CARD);
	wait_property(h, "pci", CARD, "Driver", "e1000e");
	faults(h, "");
	wait_property(h, "pci", CARD, "Driver", "vfio-pci");
	wait_property(h, "pci", CARD, "State", "enforced");
	harness_free(h);
}
END_TEST

SUITE_MAIN("bus-reconcile", 300, what_was_there_before_the_service_is_moved,
	   a_rule_that_comes_is_enforced_and_one_that_goes_gives_back,
	   what_is_given_back_once_is_given_back_again, rule_that_was_back_for_a_moment_leaves_nothing_behind,
	   a_hot_plugged_device_that_lost_its_first_probe_is_moved,
	   drift_is_shown_and_signalled_and_not_fought, an_event_for_what_has_drifted_does_not_make_it_a_task,
	   move_that_nobody_asked_for_is_of_one_device, what_is_in_use_is_tried_once_and_again_when_asked,
	   a_dry_run_keeps_no_device_from_being_moved, what_a_refused_call_had_held_up_is_done_after_it,
	   moves_that_hang_take_no_calls_place, rebind_no_is_reported_and_left,
	   an_override_of_somebody_else_is_foreign_and_left, what_a_call_is_about_is_not_moved_beside_it,
	   what_was_only_to_be_recorded_is_moved_when_it_has_to_be)
