/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Signals; see bus-signals.h. */
#include "daemon/bus/bus-signals.h"
#include "base/macro.h"
#include "base/text.h"
#include "daemon/table/group-table.h"
#include "daemon/watch/watch-override.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <syslog.h>

/* NULL: not for the bus. */
static const char *const properties[FIELD_COUNT] = {
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

static void failed(int r)
{
	if (r < 0)
		log_service(LOG_WARNING, "cannot signal a change: %s", strerror(-r));
}

/* What depends on the decision, and on who won the first probe, is worth a signal of its own. */
static void announce_decided(struct service *s, const struct device_entry *e, const char *path)
{
	failed(sd_bus_emit_signal(s->bus, BUS_PATH, MANAGER_INTERFACE, "DeviceDecided", "oss", path,
				  e->field[FIELD_DECISION], e->field[FIELD_FIRST_PROBE]));
}

/* The first device of a bus, or the last. */
static void announce_bus(struct service *s, const char *bus, unsigned others)
{
	for (struct device_entry *e = NULL; (e = devices_next(&s->devices, e));)
		if (streq(e->field[FIELD_BUS], bus) && others-- == 0)
			return;
	signal_manager_changed(s, "Buses");
}

void signal_device_added(struct service *s, const struct device_entry *e)
{
	_cleanup_(freep) char *path = NULL;

	groups_touch(s, e->field[FIELD_GROUP], true);
	if (!s->announced)
		return;
	path = device_object_path(e);
	if (!path)
		return;
	failed(sd_bus_emit_object_added(s->bus, path));
	announce_bus(s, e->field[FIELD_BUS], 1);
	if (e->field[FIELD_DECISION][0])
		announce_decided(s, e, path);
}

void signal_device_changed(struct service *s, const struct device_entry *e, uint32_t changed,
			   const char *group)
{
	_cleanup_(freep) char *path = NULL;
	const char *names[FIELD_COUNT + 1] = {};
	size_t n = 0;

	if (changed & (UINT32_C(1) << FIELD_GROUP)) {
		groups_touch(s, group, true);
		groups_touch(s, e->field[FIELD_GROUP], true);
	} else if (changed & (UINT32_C(1) << FIELD_DRIVER))
		groups_touch(s, group, false);

	for (size_t i = 0; i < FIELD_COUNT; i++)
		if ((changed & (UINT32_C(1) << i)) && properties[i])
			names[n++] = properties[i];
	if (!s->announced || n == 0)
		return;
	path = device_object_path(e);
	if (!path)
		return;
	failed(sd_bus_emit_properties_changed_strv(s->bus, path, DEVICE_INTERFACE,
						   (char **)(uintptr_t)names));
	if ((changed & (UINT32_C(1) << FIELD_DECISION)) ||
	    ((changed & (UINT32_C(1) << FIELD_FIRST_PROBE)) && e->field[FIELD_DECISION][0]))
		announce_decided(s, e, path);
}

void signal_device_removed(struct service *s, struct device_entry *e)
{
	/* Not of one that nobody was told of, since nothing but its name was ever known. */
	_cleanup_(freep) char *path = s->announced && e->seq > 0 ? device_object_path(e) : NULL;
	char group[32], bus[64];

	/* While it can still be found: what is removed is looked up. */
	if (path)
		failed(sd_bus_emit_object_removed(s->bus, path));
	text_copy(group, sizeof(group), e->field[FIELD_GROUP]);
	text_copy(bus, sizeof(bus), e->field[FIELD_BUS]);
	watch_override_remove(s, e);
	devices_remove(&s->devices, e);
	groups_touch(s, group, true);
	if (s->announced)
		announce_bus(s, bus, 0);
}

static void announce_group(struct service *s, const char *id, bool existed, bool exists, bool members)
{
	_cleanup_(freep) char *path = s->announced ? group_object_path(id) : NULL;

	if (!path)
		return;
	if (existed && exists)
		failed(members ? sd_bus_emit_properties_changed(s->bus, path, GROUP_INTERFACE, "Members",
								"Viable", "Blockers", NULL)
			       : sd_bus_emit_properties_changed(s->bus, path, GROUP_INTERFACE, "Viable",
								"Blockers", NULL));
	else if (exists)
		failed(sd_bus_emit_object_added(s->bus, path));
	else if (existed)
		failed(sd_bus_emit_interfaces_removed(
			s->bus, path, GROUP_INTERFACE, "org.freedesktop.DBus.Properties",
			"org.freedesktop.DBus.Introspectable", "org.freedesktop.DBus.Peer", NULL));
}

void signal_groups_changed(struct service *s)
{
	groups_touched(s, announce_group);
}

void signal_policy_reloaded(struct service *s)
{
	if (!s->announced)
		return;
	failed(sd_bus_emit_properties_changed(s->bus, BUS_PATH, MANAGER_INTERFACE, "Generation", "Rules",
					      "Errors", NULL));
	failed(sd_bus_emit_signal(s->bus, BUS_PATH, MANAGER_INTERFACE, "PolicyReloaded", "tu", s->generation,
				  (uint32_t)s->policy->n_errors));
}

void signal_manager_changed(struct service *s, const char *property)
{
	if (s->announced)
		failed(sd_bus_emit_properties_changed(s->bus, BUS_PATH, MANAGER_INTERFACE, property, NULL));
}
