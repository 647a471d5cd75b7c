/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SetOverrides: several devices in one call, all of them or those that can be. */
#include "base/macro.h"
#include "base/text.h"
#include "tests/bus/harness.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#define CARD_FILE "10-set-pci-" CARD ".conf"
#define DISK_FILE "10-set-pci-" DISK ".conf"
#define FOO_FILE "10-set-platform-foo.0.conf"
#define CHANGES "a(sssa{sv})a{sv}"
/* The card and the disk to vfio-pci, foo.0 to none. */
#define THREE 3, "pci", CARD, "vfio-pci", 0, "pci", DISK, "vfio-pci", 0, "platform", "foo.0", "none", 0
#define ERROR "org.driveroverrides1.Error."

static struct harness *begin(void)
{
	struct harness *h = harness_new();

	three_devices(h);
	service_start(h);
	return h;
}

/* What a reply says, as a line for each change: "BUS NAME STATE ERROR"; a call's error: its name and text. */
static const char *told(struct harness *h, sd_bus_message *reply)
{
	const char *bus, *name, *state, *error, *all = "";

	if (!reply)
		return mock_printf(h->m, "!%s: %s", strrchr(h->error.name, '.') + 1, h->error.message);
	ck_assert_int_ge(sd_bus_message_enter_container(reply, 'a', "(ssss)"), 0);
	while (sd_bus_message_read(reply, "(ssss)", &bus, &name, &state, &error) > 0)
		all = mock_printf(h->m, "%s%s %s %s %s\n", all, bus, name, state, error);
	(void)sd_bus_message_unref(reply);
	return all;
}

static const char *file(struct harness *h, const char *name)
{
	const char *text = policy_text(h, MOCK_ETC, name);

	return text ? text : "";
}

START_TEST(all_devices_of_a_call_are_moved)
{
	struct harness *h = begin();

	ck_assert_str_eq(told(h, call(h, "SetOverrides", CHANGES, THREE, 0)),
			 "pci " CARD " enforced \npci " DISK " enforced \nplatform foo.0 enforced \n");
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 3);
	ck_assert_ptr_nonnull(
		strstr(file(h, CARD_FILE), "\nName=" CARD "\nId=8086:10d3:1af4:1100\nDriver=vfio-pci\n"));
	ck_assert_ptr_nonnull(
		strstr(file(h, DISK_FILE), "\nName=" DISK "\nId=1b36:0010:1af4:1100\nDriver=vfio-pci\n"));
	ck_assert_ptr_nonnull(
		strstr(file(h, FOO_FILE), "\nName=foo.0\nModalias=platform:foo\nDriver=none\n"));
	/* Properties are up to date when the call is answered, and the policy was read once. */
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "vfio-pci");
	ck_assert_str_eq(property(h, "pci", DISK, "State"), "enforced");
	ck_assert_str_eq(property(h, "platform", "foo.0", "Driver"), "");
	ck_assert_str_eq(manager_property(h, "Rules", "u"), "3");
	ck_assert_str_eq(manager_property(h, "Generation", "t"), "2");
	ck_assert_uint_eq(calls(h, "dry-run"), 3);
	WAIT_UNTIL(staging_dirs(h) == 0);
	/* It is so already. */
	ck_assert_str_eq(told(h, call(h, "SetOverrides", CHANGES, THREE, 0)),
			 "pci " CARD " enforced \npci " DISK " enforced \nplatform foo.0 enforced \n");
	ck_assert_str_eq(manager_property(h, "Generation", "t"), "2");
	ck_assert_str_eq(told(h, call(h, "SetOverrides", CHANGES, 0, 0)), "");
	harness_free(h);
}
END_TEST

START_TEST(each_change_has_options_of_its_own)
{
	struct harness *h = begin();

	ck_assert_str_eq(
		told(h, call(h, "SetOverrides", CHANGES, 2, "pci", CARD, "none", 2, "runtime", "b", 1,
			     "group", "s", "leave", "pci", DISK, "none", 1, "by", "s", "path", 0)),
		"pci " CARD " enforced \npci " DISK " enforced \n");
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 1);
	ck_assert_ptr_nonnull(
		strstr(policy_text(h, MOCK_RUN, "05-run-pci-" CARD ".conf"), "\nGroup=leave\n"));
	ck_assert_ptr_nonnull(strstr(file(h, "10-set-pci-path-pci0000:00\\x2f04.0.conf"), "\nDriver=none\n"));
	harness_free(h);
}
END_TEST

START_TEST(force_is_for_the_change_that_has_it)
{
	struct harness *h = begin();

	ck_assert_str_eq(told(h, call(h, "SetOverrides", CHANGES, 2, "pci", CARD, "vfio-pci", 1, "force", "b",
				      1, "pci", DISK, "vfio-pci", 0, 0)),
			 "pci " CARD " enforced \npci " DISK " enforced \n");
	ck_assert_uint_eq(calls(h, CARD " dry-run overwrite force"), 1);
	ck_assert_uint_eq(calls(h, CARD " overwrite force"), 1);
	ck_assert_uint_eq(calls(h, DISK), 2);
	ck_assert_uint_eq(calls(h, "overwrite"), 2);
	harness_free(h);
}
END_TEST

/* The directory of one of the files cannot be made. */
START_TEST(a_write_that_fails_leaves_nothing_behind)
{
	struct harness *h = begin();

	(void)rmdir(h->m->conf[MOCK_RUN]);
	ck_assert_int_eq(symlink("nowhere", h->m->conf[MOCK_RUN]), 0);
	ck_assert_ptr_null(call(h, "SetOverrides", CHANGES, 2, "pci", CARD, "vfio-pci", 0, "pci", DISK,
				"vfio-pci", 1, "runtime", "b", 1, 0));
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 0);
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "e1000e");
	harness_free(h);
}
END_TEST

START_TEST(a_call_is_refused_as_a_whole_and_nothing_is_written)
{
	struct harness *h = begin();
	const char *said;

	faults(h, "pci/" DISK " InUse sda1 is mounted\n");
	/* The name of the first change that is refused, and the words that SetOverride has for each. */
	said = told(h, call(h, "SetOverrides", CHANGES, THREE, 0));
	ck_assert_str_eq(said, "!InUse: pci " DISK ": sda1 is mounted; nothing was changed");
	said = told(h, call(h, "SetOverrides", CHANGES, 3, "pci", CARD, "vfio-pci", 0, "pci", DISK,
			    "nodriver", 0, "pci", "0000:00:0f.0", "none", 0, 0));
	ck_assert_str_eq(said,
			 "!NoSuchDevice: pci 0000:00:0f.0: bus pci has no device 0000:00:0f.0; nothing was "
			 "changed");
	said = told(h, call(h, "SetOverrides", CHANGES, 2, "pci", CARD, "nodriver", 0, "pci", DISK, "none", 0,
			    0));
	ck_assert_str_eq(said, "!NoSuchDriver: pci " CARD ": no such driver; pci " DISK
			       ": sda1 is mounted; nothing was changed");
	(void)mock_policy(h->m, MOCK_ETC, "01-mine.conf", "[device mine]\nName=foo.0\nDriver=default\n");
	said = told(h, call(h, "SetOverrides", CHANGES, THREE, 0));
	ck_assert_ptr_nonnull(startswith(said, "!Shadowed: platform foo.0: "));
	ck_assert_ptr_nonnull(strstr(said, "/01-mine.conf:1 [device mine] comes first; nothing was changed"));
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 1);
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "e1000e");
	ck_assert_uint_eq(calls(h, ""), calls(h, "dry-run"));
	WAIT_UNTIL(staging_dirs(h) == 0);
	harness_free(h);
}
END_TEST

START_TEST(a_partial_call_does_what_can_be_done)
{
	struct harness *h = begin();
	const char *words;

	(void)mock_policy(h->m, MOCK_ETC, "01-mine.conf", "[device mine]\nName=foo.0\nDriver=default\n");
	wait_property(h, "platform", "foo.0", "Decision", "default");
	ck_assert_str_eq(set(h, "platform", "foo.0", "none"), "!Shadowed");
	words = mock_printf(h->m, "%s", h->error.message);
	faults(h, "pci/" DISK " InUse sda1 is mounted\n");
	ck_assert_str_eq(told(h, call(h, "SetOverrides", CHANGES, 4, "pci", CARD, "vfio-pci", 0, "pci", DISK,
				      "vfio-pci", 0, "platform", "foo.0", "none", 0, "pci", "0000:00:0f.0",
				      "none", 0, 1, "partial", "b", 1)),
			 mock_printf(h->m,
				     "pci " CARD " enforced \npci " DISK " unmanaged " ERROR
				     "InUse: sda1 is mounted\n"
				     "platform foo.0 enforced " ERROR "Shadowed: %s\npci 0000:00:0f.0  " ERROR
				     "NoSuchDevice: bus pci has no device 0000:00:0f.0\n",
				     words));
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 2);
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "vfio-pci");
	ck_assert_str_eq(property(h, "pci", DISK, "Driver"), "nvme");
	/* Of those that are refused, nothing is tried once that is known. */
	ck_assert_uint_eq(calls(h, "foo.0 dry-run"), 0);
	/* None can be done. */
	ck_assert_str_eq(
		told(h, call(h, "SetOverrides", CHANGES, 1, "pci", DISK, "none", 0, 1, "partial", "b", 1)),
		"pci " DISK " unmanaged " ERROR "InUse: sda1 is mounted\n");
	harness_free(h);
}
END_TEST

START_TEST(a_device_that_cannot_be_moved_at_last_keeps_its_policy_alone)
{
	struct harness *h = begin();

	ck_assert_str_eq(set(h, "pci", DISK, "none"), "enforced");
	faults(h, "pci/" DISK " Failed the probe failed\n");
	ck_assert_str_eq(
		told(h, call(h, "SetOverrides", CHANGES, THREE, 0)),
		"pci " CARD " enforced \npci " DISK
		" enforced org.freedesktop.DBus.Error.Failed: the probe failed\nplatform foo.0 enforced \n");
	ck_assert_ptr_nonnull(strstr(file(h, DISK_FILE), "\nDriver=none\n"));
	ck_assert_ptr_nonnull(strstr(file(h, CARD_FILE), "\nDriver=vfio-pci\n"));
	ck_assert_ptr_nonnull(strstr(file(h, FOO_FILE), "\nDriver=none\n"));
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "vfio-pci");
	harness_free(h);
}
END_TEST

/* The enforcer was at work on the others until its time was over. */
START_TEST(a_device_that_was_not_begun_is_pending_and_moved_when_the_call_is_answered)
{
	struct harness *h = begin();
	const char *said;

	faults(h, "pci/" DISK " NotBegun others took all the time\npci/" CARD " Failed the probe failed\n");
	said = told(h, call(h, "SetOverrides", CHANGES, 3, "pci", CARD, "vfio-pci", 1, "force", "b", 1, "pci",
			    DISK, "vfio-pci", 1, "force", "b", 1, "platform", "foo.0", "none", 0, 0));
	ck_assert_str_eq(said, "pci " CARD " unmanaged org.freedesktop.DBus.Error.Failed: the probe failed\n"
			       "pci " DISK " pending \nplatform foo.0 enforced \n");
	/* Its rule is not taken back with that of the one that failed, and it is moved as the call has asked.
	 */
	ck_assert_str_eq(file(h, CARD_FILE), "");
	wait_property(h, "pci", DISK, "State", "enforced");
	ck_assert_str_eq(property(h, "pci", DISK, "Driver"), "vfio-pci");
	ck_assert_ptr_nonnull(strstr(file(h, DISK_FILE), "\nDriver=vfio-pci\n"));
	ck_assert_uint_eq(calls(h, DISK " dry-run overwrite force"), 1);
	ck_assert_uint_eq(calls(h, DISK " overwrite force"), 2);
	/* Where nothing was written, the call is refused. */
	faults(h, "pci/" DISK " NotBegun others took all the time of the dry run\n");
	ck_assert_str_eq(told(h, call(h, "SetOverrides", CHANGES, 2, "pci", CARD, "none", 0, "pci", DISK,
				      "none", 0, 0)),
			 "!Stuck: pci " DISK
			 ": others took all the time of the dry run; nothing was changed");
	ck_assert_str_eq(file(h, CARD_FILE), "");
	harness_free(h);
}
END_TEST

START_TEST(a_dry_run_of_several_changes_writes_nothing)
{
	struct harness *h = begin();

	faults(h, "pci/" DISK " InUse sda1 is mounted\n");
	ck_assert_str_eq(
		told(h, call(h, "SetOverrides", CHANGES, THREE, 2, "dry-run", "b", 1, "partial", "b", 1)),
		"pci " CARD " enforced \npci " DISK " unmanaged " ERROR "InUse: sda1 is mounted\n"
		"platform foo.0 enforced \n");
	ck_assert_str_eq(told(h, call(h, "SetOverrides", CHANGES, THREE, 1, "dry-run", "b", 1)),
			 "!InUse: pci " DISK ": sda1 is mounted; nothing was changed");
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 0);
	ck_assert_uint_eq(calls(h, ""), calls(h, "dry-run"));
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "e1000e");
	harness_free(h);
}
END_TEST

START_TEST(a_call_that_makes_no_sense_changes_nothing)
{
	struct harness *h = begin();
	sd_bus_message *m = NULL;
	const char *twin;

	ck_assert_str_eq(told(h, call(h, "SetOverrides", CHANGES, 2, "pci", CARD, "none", 0, "pci", CARD,
				      "vfio-pci", 0, 1, "partial", "b", 1)),
			 "!Invalid: pci " CARD " is named twice");
	ck_assert_str_eq(
		told(h, call(h, "SetOverrides", CHANGES, 1, "pci", CARD, "none", 1, "dry-run", "b", 1, 0)),
		"!Invalid: this method has no option dry-run");
	ck_assert_str_eq(
		told(h, call(h, "SetOverrides", CHANGES, 1, "pci", CARD, "none", 0, 1, "by", "s", "id")),
		"!Invalid: this method has no option by");
	ck_assert_str_eq(told(h, call(h, "SetOverrides", CHANGES, 1, "pci", CARD, "a b ", 0, 0)),
			 "!Invalid: pci " CARD ": a b  is no driver's name, and not none, default or vfio; "
			 "nothing was changed");
	ck_assert_int_ge(sd_bus_message_new_method_call(h->bus, &m, "org.driveroverrides1", ROOT_PATH,
							MANAGER, "SetOverrides"),
			 0);
	ck_assert_int_ge(sd_bus_message_open_container(m, 'a', "(sssa{sv})"), 0);
	for (int i = 0; i < 257; i++)
		ck_assert_int_ge(
			sd_bus_message_append(m, "(sssa{sv})", "pci", mock_printf(h->m, "d%d", i), "none", 0),
			0);
	ck_assert_int_ge(sd_bus_message_close_container(m), 0);
	ck_assert_int_ge(sd_bus_message_append(m, "a{sv}", 0), 0);
	sd_bus_error_free(&h->error);
	ck_assert_int_lt(sd_bus_call(h->bus, m, PATIENCE_USEC, &h->error, NULL), 0);
	(void)sd_bus_message_unref(m);
	ck_assert_str_eq(h->error.message, "there are more than 256 changes");
	/* A rule by id for each of two twins is one file. */
	twin = mock_pci_add(h->m, "0000:00:05.0", NULL, 0x8086, 0x10d3, 0x020000);
	tell(h, "add", "pci", "0000:00:05.0");
	mock_group(h->m, 8, twin, NULL);
	ck_assert_str_eq(told(h, call(h, "SetOverrides", CHANGES, 2, "pci", CARD, "none", 2, "by", "s", "id",
				      "force", "b", 1, "pci", "0000:00:05.0", "vfio-pci", 2, "by", "s", "id",
				      "force", "b", 1, 0)),
			 "!Invalid: pci 0000:00:05.0: the change of pci " CARD
			 " writes the same policy file; nothing was changed");
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 0);
	ck_assert_uint_eq(calls(h, ""), 0);
	harness_free(h);
}
END_TEST

START_TEST(polkit_is_asked_once_about_all_changes)
{
	struct harness *h = harness_new();
	sd_bus *user;
	const char *questions;

	ck_assert_msg(geteuid() == 0, "only root can call as another user");
	three_devices(h);
	polkit_start(h, "org.driveroverrides1.set yes\n");
	service_start(h);
	user = connect_as(h, SOMEBODY);
	ck_assert_str_eq(
		told(h, call_on(h, user, ROOT_PATH, MANAGER, "SetOverrides", CHANGES, 2, "pci", CARD,
				"vfio-pci", 1, "runtime", "b", 1, "platform", "foo.0", "none", 0, 0)),
		"pci " CARD " enforced \nplatform foo.0 enforced \n");
	/* Each detail is a list, in the order of the changes. */
	questions = polkit_questions(h);
	ck_assert_ptr_nonnull(startswith(questions, "org.driveroverrides1.set bus=pci\nplatform name=" CARD
						    "\nfoo.0 modalias=pci:v00008086d"));
	ck_assert_ptr_nonnull(strstr(
		questions,
		"\nplatform:foo driver=vfio-pci\nnone group=\n module=\n by=name\nname "
		"rebind=\n runtime=true\nfalse any-device=\n absent=\n polkit.message=Authentication is "
		"required to choose the drivers of 2 devices. interactive=0\n"));
	ck_assert_ptr_null(strstr(questions + 1, "org.driveroverrides1"));

	/* One that is forced is enough. */
	polkit_answers(h, "org.driveroverrides1.set yes\norg.driveroverrides1.force no\n");
	ck_assert_ptr_nonnull(
		startswith(told(h, call_on(h, user, ROOT_PATH, MANAGER, "SetOverrides", CHANGES, 2, "pci",
					   CARD, "none", 0, "pci", DISK, "none", 1, "force", "b", 1, 0)),
			   "!AccessDenied: "));
	ck_assert_ptr_nonnull(strstr(polkit_questions(h), "org.driveroverrides1.force bus=pci\npci "));
	/* Nobody is asked about a call that would be refused anyway. */
	polkit_answers(h, "org.driveroverrides1.set yes\n");
	ck_assert_ptr_nonnull(
		startswith(told(h, call_on(h, user, ROOT_PATH, MANAGER, "SetOverrides", CHANGES, 2, "pci",
					   CARD, "none", 0, "pci", "0000:00:0f.0", "none", 0, 0)),
			   "!NoSuchDevice: "));
	ck_assert_str_eq(polkit_questions(h), "");
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 1);
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "vfio-pci");
	(void)sd_bus_flush_close_unref(user);
	harness_free(h);
}
END_TEST

/* The later call is about one of the devices of the earlier. */
START_TEST(calls_about_the_same_device_follow_one_another)
{
	struct harness *h = begin();
	sd_bus *other = connect_as(h, 0);

	faults(h, "pci/" DISK " wait\n");
	send_call(other, "SetOverrides", CHANGES, THREE, 0);
	WAIT_UNTIL(policy_text(h, MOCK_ETC, DISK_FILE));
	send_call(other, "SetOverride", "sssa{sv}", "pci", CARD, "none", 0);
	ck_assert_str_eq(set(h, "pci", "0000:00:0f.0", "none"),
			 "!NoSuchDevice"); /* the service has seen it */
	wait_property(h, "pci", CARD, "Decision", "vfio-pci");
	ck_assert_ptr_nonnull(strstr(file(h, CARD_FILE), "\nDriver=vfio-pci\n"));
	faults(h, "");
	wait_property(h, "pci", CARD, "Decision", "none");
	wait_property(h, "pci", DISK, "Driver", "vfio-pci");
	(void)sd_bus_flush_close_unref(other);
	harness_free(h);
}
END_TEST

SUITE_MAIN("bus-many", 570, all_devices_of_a_call_are_moved, each_change_has_options_of_its_own,
	   force_is_for_the_change_that_has_it, a_write_that_fails_leaves_nothing_behind,
	   a_call_is_refused_as_a_whole_and_nothing_is_written, a_partial_call_does_what_can_be_done,
	   a_device_that_cannot_be_moved_at_last_keeps_its_policy_alone,
	   a_device_that_was_not_begun_is_pending_and_moved_when_the_call_is_answered,
	   a_dry_run_of_several_changes_writes_nothing, a_call_that_makes_no_sense_changes_nothing,
	   polkit_is_asked_once_about_all_changes, calls_about_the_same_device_follow_one_another)
