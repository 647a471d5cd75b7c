/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What other programs do to a device that policy decides about: State, record and log tell of it once. */
#include "base/text.h"
#include "tests/bus/harness.h"

#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

static const char card_rule[] = "[device card]\nName=" CARD "\nDriver=vfio-pci\n";

/* How often this stands in a file that programs have written. */
static unsigned found_in(struct harness *h, const char *path, const char *text)
{
	unsigned n = 0;

	if (access(path, F_OK) < 0)
		return 0;
	for (const char *at = mock_read(h->m, path); (at = strstr(at, text)); at += strlen(text))
		n++;
	return n;
}

/* A process that has this name and lives on writes an override; kill it. */
static pid_t write_as(struct harness *h, const char *name, const char *override)
{
	const char *path = mock_path(h->m, PATH_OF(CARD), "driver_override");
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid > 0)
		return pid;
	/* The name comes first: a file that is opened to be truncated is written by that already. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || prctl(PR_SET_NAME, name) < 0)
		_exit(1);
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

	if (fd < 0 || write(fd, override, strlen(override)) < 0)
		_exit(1);
	for (;;)
		(void)pause();
}

static void writer_end(pid_t pid)
{
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

/* Without it nobody learns who wrote a file. */
static bool has_fanotify(void)
{
	int fd = fanotify_init(FAN_CLASS_NOTIF | FAN_UNLIMITED_MARKS, O_RDONLY);

	if (fd >= 0)
		(void)close(fd);
	return fd >= 0;
}

static const char *record_text(struct harness *h)
{
	return mock_read(h->m, mock_printf(h->m, "%s/devices/pci:" CARD, h->m->state));
}

static void service_start_with_log(struct harness *h)
{
	h->log = mock_printf(h->m, "%s/log", h->m->root);
	service_start(h);
}

START_TEST(what_another_program_writes_is_recorded_and_logged_once_with_its_name)
{
	struct harness *h = harness_new();
	pid_t writer;

	three_devices(h);
	(void)mock_policy(h->m, MOCK_ETC, "50-a.conf", card_rule);
	service_start_with_log(h);
	wait_property(h, "pci", CARD, "State", "enforced");
	settle(h);

	writer = write_as(h, "driverctl", "uio\n");
	wait_property(h, "pci", CARD, "State", "foreign");
	WAIT_UNTIL(strstr(record_text(h), "\nSTATE=foreign\n"));
	settle(h);
	if (has_fanotify()) {
		const char *who = mock_printf(h->m, "; written by driverctl (pid %d", (int)writer);

		WAIT_UNTIL(strstr(property(h, "pci", CARD, "Reason"), who));
		ck_assert_uint_eq(found_in(h, h->log, who), 1);
	}
	writer_end(writer);
	/* Looks at it, and events of it, are no change. */
	tell(h, "change", "pci", CARD);
	tell(h, "add", "pci", CARD);
	settle(h);
	ck_assert_uint_eq(found_in(h, h->log, "foreign: driver_override is uio"), 1);

	drift(h, PATH_OF(CARD), "\n", "e1000e");
	tell(h, "bind", "pci", CARD);
	wait_property(h, "pci", CARD, "State", "pending");
	WAIT_UNTIL(strstr(record_text(h), "\nREASON=drifted: driver_override is empty, driver is e1000e"));
	drift(h, PATH_OF(CARD), "vfio-pci\n", "vfio-pci");
	tell(h, "bind", "pci", CARD);
	wait_property(h, "pci", CARD, "State", "enforced");
	WAIT_UNTIL(strstr(record_text(h), "\nSTATE=enforced\n"));
	settle(h);
	ck_assert_uint_eq(found_in(h, h->log, "enforced: others have made it as decided again"), 1);
	/* Nothing of it was a task. */
	ck_assert_uint_eq(calls(h, "pci/" CARD), 1);
	harness_free(h);
}
END_TEST

START_TEST(what_was_changed_while_there_was_no_service_is_recorded_when_there_is_one)
{
	struct harness *h = harness_new();
	const char *notes = mock_printf(h->m, "%s/notes", h->m->root);

	three_devices(h);
	(void)mock_policy(h->m, MOCK_ETC, "50-a.conf", card_rule);
	service_start_with_log(h);
	wait_property(h, "pci", CARD, "State", "enforced");
	settle(h);
	service_stop(h);
	drift(h, PATH_OF(CARD), "uio\n", NULL);
	service_start(h);
	wait_property(h, "pci", CARD, "State", "foreign");
	WAIT_UNTIL(strstr(record_text(h), "\nSTATE=foreign\n"));
	settle(h);
	service_stop(h);
	service_start(h);
	settle(h);
	ck_assert_uint_eq(found_in(h, h->log, "foreign: driver_override is uio"), 1);
	ck_assert_uint_eq(found_in(h, notes, "pci/" CARD), 1);
	harness_free(h);
}
END_TEST

/* It must not be started again by the look that follows its failure. */
START_TEST(an_enforcer_that_cannot_record_a_change_is_started_once)
{
	struct harness *h = harness_new();
	const char *notes = mock_printf(h->m, "%s/notes", h->m->root);
	const char *real = getenv("DRIVER_OVERRIDE");

	three_devices(h);
	(void)mock_policy(h->m, MOCK_ETC, "50-a.conf", card_rule);
	ck_assert_int_eq(setenv("DRIVER_OVERRIDE", "/nonexistent", 1), 0);
	service_start(h);
	ck_assert_int_eq(setenv("DRIVER_OVERRIDE", real, 1), 0);
	wait_property(h, "pci", CARD, "State", "enforced");
	drift(h, PATH_OF(CARD), "uio\n", "vfio-pci");
	wait_property(h, "pci", CARD, "State", "foreign");
	WAIT_UNTIL(found_in(h, notes, "pci/" CARD) > 0);
	settle(h);
	tell(h, "change", "pci", CARD);
	settle(h);
	ck_assert_uint_eq(found_in(h, notes, "pci/" CARD), 1);
	/* Another change is tried again. */
	drift(h, PATH_OF(CARD), "third\n", "vfio-pci");
	WAIT_UNTIL(found_in(h, notes, "pci/" CARD) > 1);
	harness_free(h);
}
END_TEST

SUITE_MAIN("bus-others", 120, what_another_program_writes_is_recorded_and_logged_once_with_its_name,
	   what_was_changed_while_there_was_no_service_is_recorded_when_there_is_one,
	   an_enforcer_that_cannot_record_a_change_is_started_once)
