/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How the service begins and ends. */
#include "base/macro.h"
#include "tests/bus/harness.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

static const char rule[] = "[device card]\nName=" CARD "\nDriver=vfio-pci\nRebind=no\n";

START_TEST(it_leaves_when_idle_only_without_rules)
{
	struct harness *h = harness_new();
	int status;

	three_devices(h);
	h->idle_exit = "1";
	(void)mock_policy(h->m, MOCK_ETC, "50-a.conf", rule);
	service_start(h);
	(void)sleep(2);
	ck_assert_int_eq(waitpid(h->service, &status, WNOHANG), 0);
	ck_assert_int_eq(unlink(mock_printf(h->m, "%s/50-a.conf", h->m->conf[MOCK_ETC])), 0);
	ck_assert_int_eq(waitpid(h->service, &status, 0), h->service);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	h->service = 0;
	harness_free(h);
}
END_TEST

static void wait_until_left(struct harness *h)
{
	int status;

	for (uint64_t end = clock_usec() + PATIENCE_USEC; waitpid(h->service, &status, WNOHANG) == 0;
	     (void)usleep(1000))
		ck_assert_msg(clock_usec() < end, "the service does not leave");
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	h->service = 0;
}

START_TEST(it_does_not_leave_before_it_has_answered)
{
	struct harness *h = harness_new();

	three_devices(h);
	h->idle_exit = "1";
	h->read_timeout = "2000"; /* longer than it takes to be idle */
	service_start(h);
	mock_attr_hangs(h->m, "/devices/platform/foo.0", "driver_override");
	ck_assert_str_eq(outcome(h, call(h, "Explain", "ss", "platform", "foo.0")), "!Stuck");
	wait_until_left(h);
	harness_free(h);
}
END_TEST

/* Without a name it would be of no use to anybody, and in the way of the next one. */
START_TEST(a_rule_that_comes_while_it_leaves_does_not_keep_it)
{
	struct harness *h = harness_new();

	three_devices(h);
	h->idle_exit = "1";
	service_start(h);
	while (has_name(h))
		(void)usleep(500);
	(void)mock_policy(h->m, MOCK_ETC, "50-a.conf", rule);
	wait_until_left(h);
	service_start(h);
	ck_assert_str_eq(manager_property(h, "Rules", "u"), "1");
	harness_free(h);
}
END_TEST

START_TEST(what_a_killed_service_has_left_is_removed_at_the_start)
{
	struct harness *h = harness_new();
	const char *staged = mock_printf(h->m, "%s/staging/1-1", h->m->state);

	three_devices(h);
	make_dirs(staged);
	make_file(mock_printf(h->m, "%s/10-set-x.conf", staged), "", 0);
	make_file(mock_printf(h->m, "%s/.set-abcdef", h->m->conf[MOCK_ETC]), "half", 4);
	make_file(mock_printf(h->m, "%s/.mine", h->m->conf[MOCK_ETC]), "", 0);
	make_file(mock_printf(h->m, "%s/.set-notes", h->m->conf[MOCK_ETC]), "", 0);
	make_file(mock_printf(h->m, "%s/.set-a-note", h->m->conf[MOCK_ETC]), "", 0);
	service_start(h);
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 3);
	ck_assert_int_eq(access(staged, F_OK), -1);
	harness_free(h);
}
END_TEST

START_TEST(a_second_one_leaves_the_first_ones_files_alone)
{
	struct harness *h = harness_new();
	const char *staged = mock_printf(h->m, "%s/staging/1-1", h->m->state);
	const char *half = mock_printf(h->m, "%s/.set-abcdef", h->m->conf[MOCK_ETC]);
	pid_t first;
	int status;

	three_devices(h);
	service_start(h);
	ck_assert_str_eq(set(h, "pci", CARD, "none"), "enforced");
	first = h->service;
	make_dirs(staged);
	make_file(half, "half", 4);
	service_start(h); /* the name is there */
	ck_assert_int_eq(waitpid(h->service, &status, 0), h->service);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) != 0);
	ck_assert_int_eq(access(staged, F_OK), 0);
	ck_assert_int_eq(access(half, F_OK), 0);
	h->service = first;
	ck_assert_str_eq(clear(h, "pci", CARD), "unmanaged");
	harness_free(h);
}
END_TEST

/* More than it waits for one after the other: what was read is known, and the rest is looked at later. */
START_TEST(it_comes_up_however_many_devices_hang)
{
	struct harness *h = harness_new();
	const char *path[36], *aside[36];

	h->read_timeout = "400";
	three_devices(h);
	for (unsigned i = 0; i < ELEMENTSOF(path); i++) {
		path[i] = mock_platform_add(h->m, mock_printf(h->m, "dev.%u", i), NULL);
		mock_attr_hangs(h->m, path[i], "driver_override");
		path[i] = mock_path(h->m, path[i], "driver_override");
		aside[i] = mock_printf(h->m, "%s/aside.%u", h->m->root, i);
	}
	service_start(h);
	for (unsigned i = 0; i < ELEMENTSOF(path); i++)
		ck_assert_str_eq(property(h, "platform", mock_printf(h->m, "dev.%u", i), "State"), "stuck");
	ck_assert_str_ne(property(h, "platform", "foo.0", "State"), "!UnknownObject");
	ck_assert_str_ne(property(h, "pci", CARD, "State"), "!UnknownObject");
	/* The reads come back. */
	for (unsigned i = 0; i < ELEMENTSOF(path); i++) {
		int fd;

		ck_assert_int_eq(rename(path[i], aside[i]), 0);
		make_file(path[i], "(null)\n", 7);
		fd = open(aside[i], O_WRONLY | O_CLOEXEC | O_NONBLOCK);
		if (fd >= 0)
			(void)close(fd);
	}
	for (unsigned i = 0; i < ELEMENTSOF(path); i++)
		wait_property(h, "platform", mock_printf(h->m, "dev.%u", i), "State", "unmanaged");
	wait_property(h, "platform", "foo.0", "State", "unmanaged");
	wait_property(h, "pci", CARD, "State", "unmanaged");
	harness_free(h);
}
END_TEST

static const char *log_control(struct harness *h, const char *property)
{
	char *text = NULL;
	const char *copy;

	ck_assert_int_ge(sd_bus_get_property_string(h->bus, "org.driveroverrides1",
						    "/org/freedesktop/LogControl1",
						    "org.freedesktop.LogControl1", property, NULL, &text),
			 0);
	copy = mock_printf(h->m, "%s", text);
	free(text);
	return copy;
}

/* "": it was set; else the error's name. */
static const char *set_log_control(struct harness *h, sd_bus *bus, const char *property, const char *value)
{
	sd_bus_error_free(&h->error);
	if (sd_bus_set_property(bus, "org.driveroverrides1", "/org/freedesktop/LogControl1",
				"org.freedesktop.LogControl1", property, &h->error, "s", value) >= 0)
		return "";
	return mock_printf(h->m, "%s", h->error.name);
}

/* What systemctl service-log-level does. A move of a device is said with LOG_INFO. */
START_TEST(the_log_level_is_set_by_root_and_counts)
{
	struct harness *h = harness_new();
	const char *log = mock_printf(h->m, "%s/log", h->m->root);
	sd_bus *user;

	h->log = log;
	three_devices(h);
	service_start(h);
	user = connect_as(h, 65534);
	ck_assert_str_eq(log_control(h, "SyslogIdentifier"), "driver-overrided");
	ck_assert_str_eq(log_control(h, "LogLevel"), "info");
	ck_assert_str_eq(log_control(h, "LogTarget"), "console");
	ck_assert_str_eq(set_log_control(h, user, "LogLevel", "debug"), SD_BUS_ERROR_ACCESS_DENIED);
	ck_assert_str_eq(set_log_control(h, h->bus, "LogLevel", "loud"), SD_BUS_ERROR_INVALID_ARGS);
	ck_assert_str_eq(set_log_control(h, h->bus, "LogTarget", "null"), SD_BUS_ERROR_INVALID_ARGS);
	ck_assert_str_eq(log_control(h, "LogLevel"), "info");
	ck_assert_str_eq(set_log_control(h, h->bus, "LogTarget", "console"), "");
	ck_assert_str_eq(set_log_control(h, h->bus, "LogLevel", "warning"), "");
	ck_assert_str_eq(log_control(h, "LogLevel"), "warning");
	(void)mock_policy(h->m, MOCK_ETC, "50-a.conf", "[device card]\nName=" CARD "\nDriver=vfio-pci\n");
	wait_property(h, "pci", CARD, "State", "enforced");
	settle(h);
	ck_assert_ptr_null(strstr(mock_read(h->m, log), CARD));
	ck_assert_str_eq(set_log_control(h, h->bus, "LogLevel", "info"), "");
	ck_assert_int_eq(unlink(mock_printf(h->m, "%s/50-a.conf", h->m->conf[MOCK_ETC])), 0);
	wait_property(h, "pci", CARD, "State", "unmanaged");
	settle(h);
	ck_assert_ptr_nonnull(strstr(mock_read(h->m, log), CARD));
	(void)sd_bus_flush_close_unref(user);
	harness_free(h);
}
END_TEST

SUITE_MAIN("bus-life", 300, the_log_level_is_set_by_root_and_counts, it_comes_up_however_many_devices_hang,
	   it_leaves_when_idle_only_without_rules, it_does_not_leave_before_it_has_answered,
	   a_rule_that_comes_while_it_leaves_does_not_keep_it,
	   what_a_killed_service_has_left_is_removed_at_the_start,
	   a_second_one_leaves_the_first_ones_files_alone)
