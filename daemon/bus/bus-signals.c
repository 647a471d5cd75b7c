/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Signals; see bus-signals.h. */
#include "daemon/bus/bus-signals.h"
#include "base/log.h"
#include "base/macro.h"
#include "base/text.h"
#include "daemon/metrics.h"
#include "daemon/table/group-table.h"
#include "daemon/task.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>
#include <time.h>

/* How long a process has to be left behind before it is told. */
#define LEFT_BEHIND_USEC 200000U

char *device_object_path(const struct device_entry *e)
{
	char *path;

	if (sd_bus_path_encode_many(&path, BUS_DEVICES "/%/%", e->field[FIELD_BUS], e->field[FIELD_NAME]) < 0)
		return NULL;
	return path;
}

char *group_object_path(const char *group)
{
	char *path;

	/* A number, which needs no encoding: sd_bus_path_encode() would make _39 of 9. */
	return asprintf(&path, BUS_GROUPS "/%s", group) < 0 ? NULL : path;
}

void signal_log_failure(int r)
{
	if (r < 0)
		log_errno(LOG_WARNING, r, "cannot signal a change");
}

static void signal_group(struct service *s, const char *id, bool existed, bool exists, bool members)
{
	_cleanup_(freep) char *path = s->announced ? group_object_path(id) : NULL;

	if (!path)
		return;
	if (existed && exists)
		signal_log_failure(members ? sd_bus_emit_properties_changed(s->bus, path, GROUP_INTERFACE,
									    "Members", "Viable", "Blockers",
									    NULL)
					   : sd_bus_emit_properties_changed(s->bus, path, GROUP_INTERFACE,
									    "Viable", "Blockers", NULL));
	else if (exists)
		signal_log_failure(sd_bus_emit_object_added(s->bus, path));
	else if (existed)
		signal_log_failure(sd_bus_emit_interfaces_removed(
			s->bus, path, GROUP_INTERFACE, "org.freedesktop.DBus.Properties",
			"org.freedesktop.DBus.Introspectable", "org.freedesktop.DBus.Peer", NULL));
}

static void signals_on_refresh_finished(struct service *s)
{
	groups_touched(s, signal_group);
}

const struct refresh_observer bus_signals_observer = {
	.refresh_finished = signals_on_refresh_finished,
};

void signal_policy_reloaded(struct service *s)
{
	if (!s->announced)
		return;
	signal_log_failure(sd_bus_emit_properties_changed(s->bus, BUS_PATH, MANAGER_INTERFACE, "Generation",
							  "Rules", "Errors", NULL));
	signal_log_failure(sd_bus_emit_signal(s->bus, BUS_PATH, MANAGER_INTERFACE, "PolicyReloaded", "tu",
					      s->generation, (uint32_t)s->policy->n_errors));
}

void signal_manager_changed(struct service *s, const char *property)
{
	if (s->announced)
		signal_log_failure(
			sd_bus_emit_properties_changed(s->bus, BUS_PATH, MANAGER_INTERFACE, property, NULL));
}

static int on_left_behind_soon(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct service *s = userdata;

	(void)source;
	(void)usec;
	if (s->left_behind_told != tasks_left_behind())
		signal_manager_changed(s, "LeftBehind");
	s->left_behind_told = tasks_left_behind();
	metrics_changed(s);
	return 0;
}

/* Most processes end as soon as nobody waits for them any more, and are not worth a signal. */
static void on_left_behind_changed(void *userdata)
{
	struct service *s = userdata;

	(void)sd_event_source_set_time_relative(s->left_behind_soon, LEFT_BEHIND_USEC);
	(void)sd_event_source_set_enabled(s->left_behind_soon, SD_EVENT_ONESHOT);
}

int signals_watch_left_behind(struct service *s)
{
	int r = sd_event_add_time_relative(s->event, &s->left_behind_soon, CLOCK_MONOTONIC, 0, 100000,
					   on_left_behind_soon, s);

	if (r < 0)
		return r;
	tasks_watch_left_behind(on_left_behind_changed, s);
	return sd_event_source_set_enabled(s->left_behind_soon, SD_EVENT_OFF);
}
