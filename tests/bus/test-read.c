/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What everybody may ask the service: objects, properties, signals. */
#include "base/macro.h"
#include "base/text.h"
#include "tests/bus/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEVICE "org.driveroverrides1.Device"

static const char rule[] = "[device card]\nName=" CARD "\nDriver=vfio-pci\nRebind=no\n";

START_TEST(devices_are_listed_by_bus_and_name)
{
	struct harness *h = harness_new();
	const char *bus, *name, *driver, *override, *decision, *state, *path;
	sd_bus_message *m;

	three_devices(h);
	(void)mock_device_add(h->m, "platform", "/devices/platform", "plain.0", false);
	(void)mock_policy(h->m, MOCK_ETC, "50-a.conf", rule);
	service_start(h);
	m = call(h, "ListDevices", NULL);
	ck_assert_ptr_nonnull(m);
	ck_assert_int_gt(sd_bus_message_enter_container(m, 'a', "(sssssso)"), 0);
	ck_assert_int_gt(sd_bus_message_read(m, "(sssssso)", &bus, &name, &driver, &override, &decision,
					     &state, &path),
			 0);
	ck_assert_str_eq(bus, "pci");
	ck_assert_str_eq(name, CARD);
	ck_assert_str_eq(driver, "e1000e");
	ck_assert_str_eq(decision, "vfio-pci");
	ck_assert_str_eq(path, "/org/driveroverrides1/device/pci/_30000_3a00_3a03_2e0");
	ck_assert_int_gt(sd_bus_message_read(m, "(sssssso)", &bus, &name, &driver, &override, &decision,
					     &state, &path),
			 0);
	ck_assert_str_eq(name, DISK);
	ck_assert_str_eq(state, "unmanaged");
	ck_assert_int_gt(sd_bus_message_read(m, "(sssssso)", &bus, &name, &driver, &override, &decision,
					     &state, &path),
			 0);
	ck_assert_str_eq(bus, "platform");
	ck_assert_str_eq(name, "foo.0");
	ck_assert_int_eq(sd_bus_message_at_end(m, false), 1); /* plain.0 has no driver_override */
	(void)sd_bus_message_unref(m);
	harness_free(h);
}
END_TEST

START_TEST(a_device_tells_all_that_is_known)
{
	struct harness *h = harness_new();

	three_devices(h);
	(void)mock_policy(h->m, MOCK_ETC, "50-a.conf", rule);
	service_start(h);
	wait_property(h, "pci", CARD, "State", "blocked"); /* once the enforcer has been asked */
	ck_assert_str_eq(property(h, "pci", CARD, "Bus"), "pci");
	ck_assert_str_eq(property(h, "pci", CARD, "Name"), CARD);
	ck_assert_str_eq(property(h, "pci", CARD, "SysfsPath"), "/devices/pci0000:00/" CARD);
	ck_assert_str_eq(property(h, "pci", CARD, "Path"), "pci0000:00/03.0");
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "e1000e");
	ck_assert_str_eq(property(h, "pci", CARD, "Decision"), "vfio-pci");
	ck_assert_str_eq(property(h, "pci", CARD, "Rule"), "card");
	ck_assert_str_eq(property(h, "pci", CARD, "Source"),
			 mock_printf(h->m, "%s/50-a.conf:1", h->m->conf[MOCK_ETC]));
	ck_assert_str_eq(property(h, "pci", CARD, "Reason"), "Rebind=no");
	ck_assert_str_eq(property(h, "pci", CARD, "FirstProbe"), "unknown");
	ck_assert_str_eq(property(h, "pci", CARD, "Group"), "/org/driveroverrides1/group/5");
	ck_assert_str_eq(property(h, "platform", "foo.0", "Group"), "/");
	ck_assert_str_eq(property(h, "platform", "foo.0", "Path"), "");
	harness_free(h);
}
END_TEST

START_TEST(names_find_objects_and_nothing_else_does)
{
	static const char *const no[][2] = {
		{ "pci", "0000:00:09.0" },     { "", "" },	{ "pci", "" },	   { "pci", ".." },
		{ "pci", "../devices/" CARD }, { "..", "pci" }, { "nobus", CARD }, { "pci", "nåme" }
	};
	struct harness *h = harness_new();
	char *long_name = calloc(1, 4097);
	sd_bus_message *m;
	const char *path;

	ck_assert_ptr_nonnull(long_name);
	memset(long_name, 'x', 4096);
	three_devices(h);
	(void)mock_device_add(h->m, "platform", "/devices/platform", "plain.0", false);
	(void)mock_platform_add(h->m, "döt~ 1", NULL);
	service_start(h);
	m = call(h, "GetDevice", "ss", "pci", CARD);
	ck_assert_ptr_nonnull(m);
	ck_assert_int_ge(sd_bus_message_read(m, "o", &path), 0);
	ck_assert_str_eq(path, "/org/driveroverrides1/device/pci/_30000_3a00_3a03_2e0");
	(void)sd_bus_message_unref(m);
	m = call(h, "GetDevice", "ss", "platform", "döt~ 1");
	ck_assert_ptr_nonnull(m);
	(void)sd_bus_message_unref(m);
	ck_assert_str_eq(property(h, "platform", "döt~ 1", "Name"), "döt~ 1");
	for (size_t i = 0; i < ELEMENTSOF(no); i++) {
		ck_assert_str_eq(outcome(h, call(h, "GetDevice", "ss", no[i][0], no[i][1])), "!NoSuchDevice");
		ck_assert_str_eq(outcome(h, call(h, "Explain", "ss", no[i][0], no[i][1])), "!NoSuchDevice");
		ck_assert_str_eq(set(h, no[i][0], no[i][1], "none"), "!NoSuchDevice");
	}
	ck_assert_str_eq(set(h, "pci", long_name, "none"), "!NoSuchDevice");
	ck_assert_str_eq(outcome(h, call(h, "GetDevice", "ss", "platform", "plain.0")), "!NotSupported");
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 0);
	free(long_name);
	harness_free(h);
}
END_TEST

START_TEST(all_objects_come_in_one_call)
{
	struct harness *h = harness_new();
	unsigned devices = 0, groups = 0;
	const char *path;
	sd_bus_message *m;

	three_devices(h);
	service_start(h);
	m = call_on(h, h->bus, "/org/driveroverrides1", "org.freedesktop.DBus.ObjectManager",
		    "GetManagedObjects", NULL);
	ck_assert_ptr_nonnull(m);
	ck_assert_int_gt(sd_bus_message_enter_container(m, 'a', "{oa{sa{sv}}}"), 0);
	while (sd_bus_message_enter_container(m, 'e', "oa{sa{sv}}") > 0) {
		ck_assert_int_ge(sd_bus_message_read(m, "o", &path), 0);
		devices += startswith(path, "/org/driveroverrides1/device/") != NULL;
		groups += startswith(path, "/org/driveroverrides1/group/") != NULL;
		ck_assert_int_ge(sd_bus_message_skip(m, "a{sa{sv}}"), 0);
		ck_assert_int_ge(sd_bus_message_exit_container(m), 0);
	}
	(void)sd_bus_message_unref(m);
	ck_assert_uint_eq(devices, 3);
	ck_assert_uint_eq(groups, 2);
	harness_free(h);
}
END_TEST

START_TEST(the_manager_tells_of_policy_and_hold)
{
	struct harness *h = harness_new();
	const char *file, *text;
	sd_bus_message *m;
	uint32_t line;

	three_devices(h);
	(void)mock_policy(h->m, MOCK_ETC, "50-a.conf", rule);
	(void)mock_policy(h->m, MOCK_ETC, "60-bad.conf", "[device x]\nName=y\nDrivr=z\n");
	service_start(h);
	ck_assert_str_eq(manager_property(h, "Version", "s"), PROJECT_VERSION);
	ck_assert_str_eq(manager_property(h, "Rules", "u"), "1");
	ck_assert_str_eq(manager_property(h, "Generation", "t"), "1");
	ck_assert_str_eq(manager_property(h, "Hold", "s"), "no guard");
	m = call(h, "Reload", NULL);
	ck_assert_ptr_nonnull(m);
	ck_assert_int_gt(sd_bus_message_enter_container(m, 'a', "(sus)"), 0);
	ck_assert_int_gt(sd_bus_message_read(m, "(sus)", &file, &line, &text), 0);
	ck_assert_ptr_nonnull(strstr(file, "60-bad.conf"));
	ck_assert_uint_eq(line, 3);
	ck_assert_ptr_nonnull(strstr(text, "Drivr"));
	(void)sd_bus_message_unref(m);
	ck_assert_str_eq(manager_property(h, "Generation", "t"), "1"); /* nothing has changed */

	make_file(mock_printf(h->m, "%s/new", h->m->root), "VERSION=1\nHOLD=active\nX=y\n", 24);
	ck_assert_int_eq(
		rename(mock_printf(h->m, "%s/new", h->m->root), mock_printf(h->m, "%s/guard", h->m->state)),
		0);
	ck_assert_str_eq(manager_property(h, "Hold", "s"), "active");
	/* What was killed says nothing any more, nor does what ran before the last boot. */
	text = mock_printf(h->m, "VERSION=1\nPID=%d\nHOLD=active\n", (int)getpid());
	make_file(mock_printf(h->m, "%s/guard", h->m->state), text, strlen(text));
	ck_assert_str_eq(manager_property(h, "Hold", "s"), "active");
	text = mock_printf(h->m, "VERSION=1\nPID=%d\nHOLD=active\n", INT_MAX);
	make_file(mock_printf(h->m, "%s/guard", h->m->state), text, strlen(text));
	ck_assert_str_eq(manager_property(h, "Hold", "s"), "no guard");
	text = mock_printf(h->m, "VERSION=1\nBOOT_ID=x\nPID=%d\nHOLD=active\n", (int)getpid());
	make_file(mock_printf(h->m, "%s/guard", h->m->state), text, strlen(text));
	ck_assert_str_eq(manager_property(h, "Hold", "s"), "no guard");
	harness_free(h);
}
END_TEST

START_TEST(explain_is_the_command_lines_json)
{
	struct harness *h = harness_new();
	struct json_object *o, *v;
	const char *json;

	three_devices(h);
	(void)mock_policy(h->m, MOCK_ETC, "50-a.conf", rule);
	service_start(h);
	json = outcome(h, call(h, "Explain", "ss", "pci", CARD));
	o = json_tokener_parse(json);
	ck_assert_msg(o != NULL, "%s", json);
	ck_assert(json_object_object_get_ex(o, "decision", &v));
	ck_assert_str_eq(json_object_get_string(v), "vfio-pci");
	ck_assert(json_object_object_get_ex(o, "rules", &v));
	ck_assert_uint_eq(json_object_array_length(v), 1);
	ck_assert(json_object_object_get_ex(o, "group", &v));
	ck_assert_str_eq(json_object_get_string(v), "5");
	json_object_put(o);
	harness_free(h);
}
END_TEST

START_TEST(devices_that_come_and_go_are_signalled)
{
	struct harness *h = harness_new();
	struct signals added, removed, changed;
	const char *devpath;

	three_devices(h);
	service_start(h);
	listen_for(h, &added, "org.freedesktop.DBus.ObjectManager", "InterfacesAdded");
	listen_for(h, &removed, "org.freedesktop.DBus.ObjectManager", "InterfacesRemoved");
	listen_for(h, &changed, "org.freedesktop.DBus.Properties", "PropertiesChanged");
	devpath = mock_pci_add(h->m, "0000:00:05.0", NULL, 0x8086, 0x10d3, 0x020000);
	mock_group(h->m, 9, devpath, NULL);
	tell(h, "add", "pci", "0000:00:05.0");
	wait_signals(&added, 2); /* the device and its group */
	ck_assert_ptr_nonnull(strstr(added.log, "device/pci/_30000_3a00_3a05_2e0"));
	ck_assert_ptr_nonnull(strstr(added.log, "group/9"));
	ck_assert_str_eq(property(h, "pci", "0000:00:05.0", "State"), "unmanaged");

	mock_bind(h->m, devpath, "e1000e");
	tell(h, "bind", "pci", "0000:00:05.0");
	wait_signals(&changed, 2); /* Driver of the device; Viable and Blockers of the group */
	ck_assert_str_eq(property(h, "pci", "0000:00:05.0", "Driver"), "e1000e");

	mock_remove(h->m, devpath);
	tell(h, "remove", "pci", "0000:00:05.0");
	wait_signals(&removed, 2);
	ck_assert_str_eq(property(h, "pci", "0000:00:05.0", "State"), "!UnknownObject");
	harness_free(h);
}
END_TEST

/* Virtual functions, for example, that a script has just made. */
START_TEST(a_device_is_one_before_udev_has_told_of_it)
{
	struct harness *h = harness_new();
	const char *devpath, *path;
	sd_bus_message *m;

	three_devices(h);
	service_start(h);
	devpath = mock_pci_add(h->m, "0000:00:09.0", NULL, 0x8086, 0x10d3, 0x020000);
	mock_attr_remove(h->m, devpath, "driver_override");
	ck_assert_str_eq(outcome(h, call(h, "GetDevice", "ss", "pci", "0000:00:09.0")), "!NotSupported");
	for (unsigned i = 5; i < 8; i++) {
		devpath = mock_pci_add(h->m, mock_printf(h->m, "0000:00:%02x.0", i), NULL, 0x8086, 0x10d3,
				       0x020000);
		mock_group(h->m, 10 + i, devpath, NULL);
	}
	m = call(h, "GetDevice", "ss", "pci", "0000:00:05.0");
	ck_assert_ptr_nonnull(m);
	ck_assert_int_gt(sd_bus_message_read(m, "o", &path), 0);
	ck_assert_str_eq(path, "/org/driveroverrides1/device/pci/_30000_3a00_3a05_2e0");
	(void)sd_bus_message_unref(m);
	ck_assert_str_eq(property(h, "pci", "0000:00:05.0", "State"), "unmanaged");
	ck_assert_str_eq(set(h, "pci", "0000:00:06.0", "vfio-pci"), "enforced");
	ck_assert_str_eq(property(h, "pci", "0000:00:06.0", "Driver"), "vfio-pci");
	m = call(h, "Explain", "ss", "pci", "0000:00:07.0");
	ck_assert_ptr_nonnull(m);
	(void)sd_bus_message_unref(m);
	ck_assert_str_eq(outcome(h, call(h, "GetDevice", "ss", "pci", "0000:00:08.0")), "!NoSuchDevice");
	harness_free(h);
}
END_TEST

/* Its name is all that is known of it at first. */
START_TEST(a_new_device_that_hangs_is_signalled_as_a_new_one)
{
	struct harness *h = harness_new();
	struct signals added, removed;
	const char *devpath;

	h->read_timeout = "1000";
	three_devices(h);
	service_start(h);
	listen_for(h, &added, "org.freedesktop.DBus.ObjectManager", "InterfacesAdded");
	listen_for(h, &removed, "org.freedesktop.DBus.ObjectManager", "InterfacesRemoved");
	devpath = mock_pci_add(h->m, "0000:00:05.0", NULL, 0x8086, 0x10d3, 0x020000);
	mock_attr_hangs(h->m, devpath, "driver_override");
	tell(h, "add", "pci", "0000:00:05.0");
	wait_signals(&added, 1);
	ck_assert_ptr_nonnull(strstr(added.log, "device/pci/_30000_3a00_3a05_2e0"));
	ck_assert_str_eq(property(h, "pci", "0000:00:05.0", "State"), "stuck");
	mock_remove(h->m, devpath);
	tell(h, "remove", "pci", "0000:00:05.0");
	wait_signals(&removed, 1);
	harness_free(h);
}
END_TEST

START_TEST(a_bus_that_comes_and_goes_is_signalled)
{
	struct harness *h = harness_new();
	struct signals changed;
	const char *devpath;

	three_devices(h);
	service_start(h);
	listen_for(h, &changed, "org.freedesktop.DBus.Properties", "PropertiesChanged");
	devpath = mock_device_add(h->m, "amba", "/devices/platform", "9000000.uart", true);
	tell(h, "add", "amba", "9000000.uart");
	wait_signals(&changed, 1);
	ck_assert_str_eq(changed.last, "org.driveroverrides1.Manager");
	(void)mock_device_add(h->m, "amba", "/devices/platform", "9010000.rtc", true);
	tell(h, "add", "amba", "9010000.rtc");
	wait_property(h, "amba", "9010000.rtc", "State", "unmanaged");
	mock_remove(h->m, devpath);
	tell(h, "remove", "amba", "9000000.uart");
	wait_property(h, "amba", "9000000.uart", "State", "!UnknownObject");
	settle(h);
	ck_assert_uint_eq(changed.n, 1);
	mock_remove(h->m, "/devices/platform/9010000.rtc");
	tell(h, "remove", "amba", "9010000.rtc");
	wait_signals(&changed, 2);
	harness_free(h);
}
END_TEST

START_TEST(a_moved_device_is_found_under_its_new_name)
{
	struct harness *h = harness_new();
	const char *devpath;

	three_devices(h);
	service_start(h);
	mock_remove(h->m, "/devices/platform/foo.0");
	devpath = mock_platform_add(h->m, "foo.1", "platform:foo");
	(void)devpath;
	tell(h, "move", "platform", "foo.1");
	wait_property(h, "platform", "foo.1", "State", "unmanaged");
	wait_property(h, "platform", "foo.0", "State", "!UnknownObject");
	harness_free(h);
}
END_TEST

START_TEST(a_group_names_its_blockers)
{
	struct harness *h = harness_new();
	const char *path;
	sd_bus_message *m = NULL;
	const char *group;
	int viable;

	three_devices(h);
	mock_group(h->m, 11, "/devices/pci0000:00/" CARD, "/devices/pci0000:00/" DISK, NULL);
	mock_bind(h->m, "/devices/pci0000:00/" CARD, "vfio-pci");
	service_start(h);
	group = property(h, "pci", CARD, "Group");
	ck_assert_str_eq(group, property(h, "pci", DISK, "Group"));
	ck_assert_int_ge(sd_bus_get_property_trivial(h->bus, "org.driveroverrides1", group,
						     "org.driveroverrides1.Group", "Viable", NULL, 'b',
						     &viable),
			 0);
	ck_assert_int_eq(viable, 0);
	ck_assert_int_ge(sd_bus_get_property(h->bus, "org.driveroverrides1", group,
					     "org.driveroverrides1.Group", "Blockers", NULL, &m, "ao"),
			 0);
	ck_assert_int_gt(sd_bus_message_enter_container(m, 'a', "o"), 0);
	ck_assert_int_gt(sd_bus_message_read(m, "o", &path), 0);
	ck_assert_str_eq(path, "/org/driveroverrides1/device/pci/_30000_3a00_3a04_2e0");
	ck_assert_int_eq(sd_bus_message_at_end(m, false), 1);
	(void)sd_bus_message_unref(m);

	mock_unbind(h->m, "/devices/pci0000:00/" DISK);
	tell(h, "unbind", "pci", DISK);
	wait_property(h, "pci", DISK, "Driver", "");
	ck_assert_int_ge(sd_bus_get_property_trivial(h->bus, "org.driveroverrides1", group,
						     "org.driveroverrides1.Group", "Viable", NULL, 'b',
						     &viable),
			 0);
	ck_assert_int_eq(viable, 1);

	/* A virtual function of a graphics card whose own driver serves VFIO. */
	mock_bind(h->m, "/devices/pci0000:00/" DISK, "nvidia");
	make_dirs(mock_path(h->m, "/devices/pci0000:00/" DISK, "vfio-dev"));
	tell(h, "bind", "pci", DISK);
	wait_property(h, "pci", DISK, "Driver", "nvidia");
	ck_assert_int_ge(sd_bus_get_property_trivial(h->bus, "org.driveroverrides1", group,
						     "org.driveroverrides1.Group", "Viable", NULL, 'b',
						     &viable),
			 0);
	ck_assert_int_eq(viable, 1);
	harness_free(h);
}
END_TEST

START_TEST(policy_that_changes_on_disk_is_in_force_and_signalled)
{
	struct harness *h = harness_new();
	struct signals reloaded, decided;

	three_devices(h);
	service_start(h);
	listen_for(h, &reloaded, MANAGER, "PolicyReloaded");
	listen_for(h, &decided, MANAGER, "DeviceDecided");
	(void)mock_policy(h->m, MOCK_ETC, "50-a.conf", rule);
	wait_signals(&reloaded, 1);
	wait_signals(&decided, 1);
	ck_assert_ptr_nonnull(strstr(decided.last, "_30000_3a00_3a03_2e0"));
	ck_assert_str_eq(property(h, "pci", CARD, "Decision"), "vfio-pci");
	ck_assert_str_eq(manager_property(h, "Generation", "t"), "2");
	ck_assert_int_eq(unlink(mock_printf(h->m, "%s/50-a.conf", h->m->conf[MOCK_ETC])), 0);
	wait_signals(&reloaded, 2);
	wait_property(h, "pci", CARD, "Decision", "");
	harness_free(h);
}
END_TEST

/* On kernels before 7 the override cannot be read while a driver holds the device's lock. */
START_TEST(a_read_that_hangs_makes_one_device_stuck_and_no_call_wait)
{
	struct harness *h = harness_new();
	const char *fifo, *aside;
	int fd;

	h->read_timeout = "1000";
	three_devices(h);
	mock_attr_hangs(h->m, "/devices/pci0000:00/" CARD, "driver_override");
	service_start(h);
	ck_assert_str_eq(property(h, "pci", CARD, "State"), "stuck");
	wait_property(h, "pci", DISK, "State", "unmanaged");
	ck_assert_str_eq(outcome(h, call(h, "Explain", "ss", "pci", CARD)), "!Stuck");
	/* When the read comes back, nobody has to say so. */
	fifo = mock_path(h->m, "/devices/pci0000:00/" CARD, "driver_override");
	aside = mock_printf(h->m, "%s/aside", h->m->root);
	ck_assert_int_eq(rename(fifo, aside), 0);
	make_file(fifo, "(null)\n", 7);
	/* Without a reader nobody waits: one can have been ended, and the next not have begun. */
	fd = open(aside, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0)
		(void)close(fd);
	else
		ck_assert_int_eq(errno, ENXIO);
	wait_property(h, "pci", CARD, "State", "unmanaged");
	mock_attr_hangs(h->m, "/devices/pci0000:00/" CARD, "driver_override");
	ck_assert_str_eq(outcome(h, call(h, "Explain", "ss", "pci", CARD)), "!Stuck");
	/* It ends as well while somebody still waits for an answer. */
	ck_assert_int_ge(sd_bus_call_method_async(h->bus, NULL, "org.driveroverrides1",
						  "/org/driveroverrides1", MANAGER, "Explain", NULL, NULL,
						  "ss", "pci", CARD),
			 0);
	ck_assert_int_ge(sd_bus_flush(h->bus), 0);
	wait_property(h, "pci", DISK, "State", "unmanaged");
	harness_free(h);
}
END_TEST

START_TEST(bytes_that_are_no_text_reach_nobody)
{
	struct harness *h = harness_new();
	const char *json;
	sd_bus_message *m;

	three_devices(h);
	mock_attr(h->m, "/devices/pci0000:00/" CARD, "driver_override",
		  "b\xff\x01"
		  "d\n");
	(void)mock_policy(h->m, MOCK_ETC, "50-caf\xe9.conf",
			  "[device disk]\nName=" DISK "\nDriver=vfio-pci\nRebind=no\n");
	service_start(h);
	ck_assert_str_eq(property(h, "pci", CARD, "Override"), "b\\xff\\x01d");
	ck_assert_str_eq(property(h, "pci", CARD, "State"), "foreign");
	m = call_on(h, h->bus, "/org/driveroverrides1", "org.freedesktop.DBus.ObjectManager",
		    "GetManagedObjects", NULL);
	ck_assert_ptr_nonnull(m);
	(void)sd_bus_message_unref(m);
	/* In JSON with its own backslashes. */
	json = outcome(h, call(h, "Explain", "ss", "pci", CARD));
	ck_assert_msg(strstr(json, "b\\\\xff\\\\x01d") != NULL, "%s", json);
	json = outcome(h, call(h, "Explain", "ss", "pci", DISK));
	ck_assert_msg(strstr(json, "50-caf\\\\xe9.conf") != NULL, "%s", json);
	harness_free(h);
}
END_TEST

SUITE_MAIN("bus-read", 300, devices_are_listed_by_bus_and_name, a_device_tells_all_that_is_known,
	   names_find_objects_and_nothing_else_does, all_objects_come_in_one_call,
	   the_manager_tells_of_policy_and_hold, explain_is_the_command_lines_json,
	   devices_that_come_and_go_are_signalled, a_device_is_one_before_udev_has_told_of_it,
	   a_new_device_that_hangs_is_signalled_as_a_new_one, a_bus_that_comes_and_goes_is_signalled,
	   a_moved_device_is_found_under_its_new_name, a_group_names_its_blockers,
	   policy_that_changes_on_disk_is_in_force_and_signalled,
	   a_read_that_hangs_makes_one_device_stuck_and_no_call_wait, bytes_that_are_no_text_reach_nobody)
