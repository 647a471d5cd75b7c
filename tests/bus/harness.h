/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The service on a private bus and a mock tree, with a fake enforcer. The programs are found by environment
 * variables that meson sets: DRIVER_OVERRIDED, FAKE_ENFORCER, FAKE_POLKIT. Whatever cannot be had ends the
 * test.
 */
#pragma once

#include "tests/unit/fixtures/mock-sysfs.h"
#include "tests/unit/fixtures/suite.h"

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#define ROOT_PATH "/org/driveroverrides1"
#define MANAGER "org.driveroverrides1.Manager"

/* For anything that is waited for, on however slow a machine. */
#define PATIENCE_USEC (60U * UINT64_C(1000000))

struct harness {
	struct mock *m;
	const char *address; /* of the bus */
	const char *fifo;    /* events of devices go in here */
	pid_t daemon, service, polkit, systemd;
	sd_bus *bus;	    /* our own connection */
	sd_bus_error error; /* of the last call */
	const char *idle_exit;
	const char *log; /* a file that gets the service's log lines; NULL: the test's own stderr */
	/* In milliseconds; NULL: the service's own. Short where a device hangs, but then a slow machine may
	 * take others for stuck for a moment, so their state is to be waited for; long where none must be
	 * taken so. */
	const char *read_timeout;
	unsigned left_behind; /* processes of the service that wait for what the test has made hang */
	unsigned settled, sentinel_told; /* see settle() */
	const char *under;		 /* a program and its arguments, to run the service under; NULL */
};

/* The monotonic clock's time, in microseconds. */
uint64_t clock_usec(void);

/* A tree without devices and rules, a bus without the service. */
struct harness *harness_new(void);
void harness_free(struct harness *h);

/* Starts the service and waits for its name. */
void service_start(struct harness *h);
/* Whether it has its name now. */
bool has_name(struct harness *h);

/* Ends it by SIGTERM; it has to leave with status 0. */
void service_stop(struct harness *h);
/* Ends it by SIGKILL, at once. */
void service_kill(struct harness *h);

/*
 * A polkit that gives these answers (see fake-polkit.c); it is killed with the harness. It notes each
 * question.
 */
void polkit_start(struct harness *h, const char *answers);
/* three_devices() and a service; with a polkit, unless answers is NULL. */
struct harness *service_with_polkit(const char *answers);
/* Other answers from now on, and no questions yet. */
void polkit_answers(struct harness *h, const char *answers);
const char *polkit_questions(struct harness *h);

/* A systemd that has timers (see fake-systemd.c); it is killed with the harness. What was asked of it. */
void systemd_start(struct harness *h);
const char *systemd_log(struct harness *h);
/* From now on it refuses timers, or no longer. */
void systemd_refuses(struct harness *h, bool refuses);
/* While it does, the time of every timer is over, and what has failed is run again at once. */
void systemd_hurries(struct harness *h, bool hurries);

/* Another connection, as a user of one's own choice: 0 is oneself. Only root can be another. */
sd_bus *connect_as(struct harness *h, uid_t uid);

/*
 * Calls a method of the manager: its reply, to be freed by the harness, or NULL with h->error set. types and
 * what follows: as sd_bus_message_append().
 */
sd_bus_message *call(struct harness *h, const char *member, const char *types, ...);
sd_bus_message *call_on(struct harness *h, sd_bus *bus, const char *path, const char *interface,
			const char *member, const char *types, ...);

/* Sends the manager a call on a connection and does not wait for its reply. */
void send_call(sd_bus *bus, const char *member, const char *types, ...);

/* What the call returns as its only string; on an error, its name behind the last dot, with a "!". */
const char *set(struct harness *h, const char *bus, const char *name, const char *driver);
/* options: as sd_bus_message_append() takes a{sv}: "runtime", "b", 1, … ends with NULL. */
const char *set_with(struct harness *h, const char *bus, const char *name, const char *driver, ...);
const char *clear(struct harness *h, const char *bus, const char *name);
const char *clear_with(struct harness *h, const char *bus, const char *name, ...);
const char *apply_with(struct harness *h, const char *bus, const char *name, ...);
/* The outcome that a reply tells, or its error. */
const char *outcome(struct harness *h, sd_bus_message *reply);

/* Waits until it is so; a test that waits for longer than anything takes has failed. */
#define WAIT_UNTIL(condition)                                                                                \
	do {                                                                                                 \
		uint64_t wait_end = clock_usec() + PATIENCE_USEC;                                            \
                                                                                                             \
		while (!(condition)) {                                                                       \
			ck_assert_msg(clock_usec() < wait_end, "never: %s", #condition);                     \
			(void)usleep(1000);                                                                  \
		}                                                                                            \
	} while (0)

/* A property of a device, by its names; "!Error" when there is none. */
const char *property(struct harness *h, const char *bus, const char *name, const char *which);
const char *manager_property(struct harness *h, const char *which, const char *type);
/* Waits until it is so. */
void wait_property(struct harness *h, const char *bus, const char *name, const char *which, const char *what);

/* As the kernel and udev would tell of it. */
void tell(struct harness *h, const char *action, const char *bus, const char *name);

/* Counts signals of a member since the last call of this with the same match; processes what there is. */
struct signals {
	unsigned n;
	const char *last; /* its first string or object path */
	struct harness *h;
	const char *log; /* of all: "path first-string; …" */
};
void listen_for(struct harness *h, struct signals *s, const char *interface, const char *member);
void wait_signals(struct signals *s, unsigned n);
/*
 * Waits until the service has done whatever follows from all that has happened so far: it has looked at all
 * devices since, and none of its processes is at work but those that the test left behind. Signals that have
 * come are counted then. It does so by a device of its own, of which no signal is counted.
 */
void settle(struct harness *h);
#define SENTINEL "sentinel"

/* A file of the first directory of policy (MOCK_ETC) by its name, or NULL; the number of files there. */
const char *policy_text(struct harness *h, enum mock_dir dir, const char *name);
unsigned policy_files(struct harness *h, enum mock_dir dir);
/* The number of staging directories. */
unsigned staging_dirs(struct harness *h);

/* What the fake enforcer is to find; replaces all that was said before. */
void faults(struct harness *h, const char *text);
/* How often it was called, in all, with this in its line. */
unsigned calls(struct harness *h, const char *text);

/* The user nobody: any user other than root whom the bus knows. */
#define SOMEBODY 65534U

/* Three devices and their drivers: pci 0000:00:03.0 (e1000e), 0000:00:04.0 (nvme), platform foo.0. */
void three_devices(struct harness *h);
/* Somebody who is none of our programs writes an override and has a driver bound; NULL: unbinds it. */
void drift(struct harness *h, const char *devpath, const char *override, const char *driver);
#define PATH_OF(name) "/devices/pci0000:00/" name
#define CARD "0000:00:03.0"
#define DISK "0000:00:04.0"
