/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Asks systemd for a timer, and no longer for it; see trial-timer.h. */
#include "daemon/operation/trial-timer.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <systemd/sd-bus.h>

#define SYSTEMD "org.freedesktop.systemd1"
#define SYSTEMD_PATH "/org/freedesktop/systemd1"
#define SYSTEMD_MANAGER SYSTEMD ".Manager"
#define START_USEC (4U * UINT64_C(1000000))
/* How late systemd may be, to wake up less often. */
#define ACCURACY_USEC UINT64_C(100000)
/* Between two tries to go back. */
#define RESTART_USEC UINT64_C(5000000)
/* The enforcer's exit status where there is nothing to try again. */
#define UNDO_IS_POINTLESS 2

/* driver-overrides-try-BUS-NAME-ID, to be followed by .timer or .service. 0 or -ENAMETOOLONG. */
static int trial_unit(const struct trial_timer *t, const char *suffix, char *buf, size_t size)
{
	char bus[64], name[160];

	if (name_escape(t->bus, bus, sizeof(bus)) < 0 || name_escape(t->name, name, sizeof(name)) < 0)
		return -ENAMETOOLONG;
	return path_printf(buf, size, "driver-overrides-try-%s-%s-%s.%s", bus, name, t->id, suffix);
}

/*
 * BUS/NAME as an argument that systemd leaves as it is: it has variables in command lines. Its flag against
 * these (ExecStartEx=) is no way out: systemd 252 writes that into the unit's file as a key that it does not
 * know, so that after a daemon-reload the unit has nothing to start (findings/transient-command-flags.sh).
 */
static int trial_device_argument(const struct trial_timer *t, char *buf, size_t size)
{
	char bus[64], name[NAME_MAX];

	if (name_escape(t->bus, bus, sizeof(bus)) < 0 || name_escape(t->name, name, sizeof(name)) < 0)
		return -ENAMETOOLONG;
	return path_printf(buf, size, "%s/%s", bus, name);
}

/* sasb of ExecStart=: what goes back, without this service. */
static int trial_append_command(const struct trial_timer *t, sd_bus_message *m)
{
	const struct service *s = t->service;
	const char *argv[SETTINGS_ARGV_MAX + 8] = { s->enforcer };
	size_t n = settings_to_argv(s->settings, NULL, argv, 1);
	char device[2 * NAME_MAX];
	int r = trial_device_argument(t, device, sizeof(device));

	argv[n++] = "undo";
	argv[n++] = "--trial";
	argv[n++] = t->id;
	argv[n++] = device;
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'r', "sv");
	if (r >= 0)
		r = sd_bus_message_append(m, "s", "ExecStart");
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'v', "a(sasb)");
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'a', "(sasb)");
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'r', "sasb");
	if (r >= 0)
		r = sd_bus_message_append(m, "s", s->enforcer);
	if (r >= 0)
		r = sd_bus_message_append_strv(m, (char **)(uintptr_t)argv);
	if (r >= 0)
		r = sd_bus_message_append(m, "b", 0);
	for (unsigned i = 0; r >= 0 && i < 4; i++)
		r = sd_bus_message_close_container(m);
	return r;
}

static int trial_append_timer(sd_bus_message *m, const char *description, uint64_t usec)
{
	return sd_bus_message_append(m, "a(sv)", 5, "Description", "s", description, "TimersMonotonic",
				     "a(st)", 1, "OnActiveSec", usec, "AccuracyUSec", "t", ACCURACY_USEC,
				     "RemainAfterElapse", "b", 0, "IgnoreOnIsolate", "b", 1);
}

/*
 * Nobody may be there to see that going back has failed, so it is tried until it succeeds, in whatever
 * target. Another try does not help where the enforcer cannot read what it is to do.
 */
static int trial_append_conditions(sd_bus_message *m, const char *description)
{
	return sd_bus_message_append(m, "(sv)(sv)(sv)(sv)(sv)(sv)(sv)(sv)", "Description", "s", description,
				     "Type", "s", "oneshot", "CollectMode", "s", "inactive-or-failed",
				     "IgnoreOnIsolate", "b", 1, "Restart", "s", "on-failure", "RestartUSec",
				     "t", RESTART_USEC, "StartLimitIntervalUSec", "t", UINT64_C(0),
				     "RestartPreventExitStatus", "(aiai)", 1, UNDO_IS_POINTLESS, 0);
}

static int trial_append_service(const struct trial_timer *t, const char *description, const char *unit,
				sd_bus_message *m)
{
	int r = sd_bus_message_open_container(m, 'a', "(sa(sv))");

	if (r >= 0)
		r = sd_bus_message_open_container(m, 'r', "sa(sv)");
	if (r >= 0)
		r = sd_bus_message_append(m, "s", unit);
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'a', "(sv)");
	if (r >= 0)
		r = trial_append_conditions(m, description);
	if (r >= 0)
		r = trial_append_command(t, m);
	for (unsigned i = 0; r >= 0 && i < 3; i++)
		r = sd_bus_message_close_container(m);
	return r;
}

int trial_timer_start(const struct trial_timer *t, uint64_t usec, sd_bus_message_handler_t on_started,
		      void *userdata, sd_bus_slot **ret)
{
	_cleanup_(freep) char *description = NULL;
	char timer[NAME_MAX], unit[NAME_MAX];
	sd_bus_message *m = NULL;
	int r = trial_unit(t, "timer", timer, sizeof(timer));

	if (r >= 0)
		r = trial_unit(t, "service", unit, sizeof(unit));
	if (r >= 0 && asprintf(&description, "End of the Trial of %s/%s", t->bus, t->name) < 0) {
		description = NULL;
		r = -ENOMEM;
	}
	if (r >= 0)
		r = sd_bus_message_new_method_call(t->service->bus, &m, SYSTEMD, SYSTEMD_PATH,
						   SYSTEMD_MANAGER, "StartTransientUnit");
	if (r >= 0)
		r = sd_bus_message_append(m, "ss", timer, "fail");
	if (r >= 0)
		r = trial_append_timer(m, description, usec);
	if (r >= 0)
		r = trial_append_service(t, description, unit, m);
	if (r >= 0)
		r = sd_bus_call_async(t->service->bus, ret, m, on_started, userdata, START_USEC);
	(void)sd_bus_message_unref(m);
	return r;
}

void trial_timer_stop(const struct trial_timer *t)
{
	char timer[NAME_MAX];

	if (trial_unit(t, "timer", timer, sizeof(timer)) >= 0)
		(void)sd_bus_call_method_async(t->service->bus, NULL, SYSTEMD, SYSTEMD_PATH, SYSTEMD_MANAGER,
					       "StopUnit", NULL, NULL, "ss", timer, "replace");
}
