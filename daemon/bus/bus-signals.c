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

const char *const device_property_names[FIELD_COUNT] = {
	[FIELD_BUS] = "Bus",	       [FIELD_NAME] = "Name",	  [FIELD_SYSFS_PATH] = "SysfsPath",
	[FIELD_PATH] = "Path",	       [FIELD_DRIVER] = "Driver", [FIELD_OVERRIDE] = "Override",
	[FIELD_DECISION] = "Decision", [FIELD_RULE] = "Rule",	  [FIELD_SOURCE] = "Source",
	[FIELD_STATE] = "State",       [FIELD_REASON] = "Reason", [FIELD_FIRST_PROBE] = "FirstProbe",
	[FIELD_GROUP] = "Group",
};

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

static void signal_log_failure(int r)
{
	if (r < 0)
		log_errno(LOG_WARNING, r, "cannot signal a change");
}

/* What depends on the decision, and on who won the first probe, is worth a signal of its own. */
static void signal_device_decided(struct service *s, const struct device_entry *e, const char *path)
{
	signal_log_failure(sd_bus_emit_signal(s->bus, BUS_PATH, MANAGER_INTERFACE, "DeviceDecided", "oss",
					      path, e->field[FIELD_DECISION], e->field[FIELD_FIRST_PROBE]));
}

/* Buses has changed if the table has no device of this bus but so many. */
static void signal_buses_changed(struct service *s, const char *bus, unsigned others)
{
	for (struct device_entry *e = NULL; (e = devices_next(&s->devices, e));)
		if (streq(e->field[FIELD_BUS], bus) && others-- == 0)
			return;
	signal_manager_changed(s, "Buses");
}

static void signal_device_added(struct service *s, const struct device_entry *e)
{
	_cleanup_(freep) char *path = device_object_path(e);

	if (!path)
		return;
	signal_log_failure(sd_bus_emit_object_added(s->bus, path));
	signal_buses_changed(s, e->field[FIELD_BUS], 1);
	if (e->field[FIELD_DECISION][0])
		signal_device_decided(s, e, path);
}

static void signal_device_changed(struct service *s, const struct device_entry *e, uint32_t changed)
{
	_cleanup_(freep) char *path = NULL;
	const char *names[FIELD_COUNT + 1] = {};
	size_t n = 0;

	for (size_t i = 0; i < FIELD_COUNT; i++)
		if ((changed & (UINT32_C(1) << i)) && device_property_names[i])
			names[n++] = device_property_names[i];
	if (n > 0)
		path = device_object_path(e);
	if (!path)
		return;
	signal_log_failure(sd_bus_emit_properties_changed_strv(s->bus, path, DEVICE_INTERFACE,
							       (char **)(uintptr_t)names));
	if ((changed & (UINT32_C(1) << FIELD_DECISION)) ||
	    ((changed & (UINT32_C(1) << FIELD_FIRST_PROBE)) && e->field[FIELD_DECISION][0]))
		signal_device_decided(s, e, path);
}

static void signals_on_device_found(struct service *s, const struct refresh_finding *found)
{
	if (s->announced && found->added)
		signal_device_added(s, found->entry);
	else if (s->announced)
		signal_device_changed(s, found->entry, found->changed);
}

/* While the device can still be found: sd-bus looks up what it is to say the end of. */
static void signals_on_device_leaving(struct service *s, struct device_entry *e)
{
	_cleanup_(freep) char *path = NULL;

	/* If nothing but its name was ever known, it was not signalled when it came either. */
	if (s->announced && e->seq > 0)
		path = device_object_path(e);
	if (path)
		signal_log_failure(sd_bus_emit_object_removed(s->bus, path));
}

static void signals_on_device_left(struct service *s, const char *bus, const char *group)
{
	(void)group;
	if (s->announced)
		signal_buses_changed(s, bus, 0);
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
	.device_found = signals_on_device_found,
	.device_leaving = signals_on_device_leaving,
	.device_left = signals_on_device_left,
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
