/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* org.driveroverrides1.Group: one object for each IOMMU group that has a device of ours. */
#include "daemon/bus/bus-call.h"
#include "base/macro.h"
#include "base/text.h"
#include "daemon/bus/bus-signals.h"
#include "daemon/bus/bus.h"
#include "daemon/table/group-table.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <systemd/sd-bus.h>

static const struct group *group_from_path(struct service *s, const char *path)
{
	const char *id = startswith(path, BUS_GROUPS "/");

	return id ? groups_find(s, id) : NULL;
}

static int group_object_find(sd_bus *bus, const char *path, const char *interface, void *userdata, void **ret,
			     sd_bus_error *error)
{
	(void)bus;
	(void)interface;
	(void)error;
	if (!group_from_path(userdata, path))
		return 0;
	/* The object that is found is the service: a property looks its group up again. */
	*ret = userdata;
	return 1;
}

static int group_objects_enumerate(sd_bus *bus, const char *prefix, void *userdata, char ***ret,
				   sd_bus_error *error)
{
	size_t n = groups_count(userdata), k = 0;
	char **v = calloc(n + 1, sizeof(char *));

	(void)bus;
	(void)prefix;
	(void)error;
	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		v[k] = group_object_path(group_id(groups_at(userdata, i)));
		if (v[k])
			k++;
	}
	*ret = v;
	return 0;
}

static int group_append_members(sd_bus_message *reply, const struct group *g, bool blockers)
{
	int r = sd_bus_message_open_container(reply, 'a', "o");

	for (size_t i = 0; r >= 0 && i < g->n; i++) {
		_cleanup_(freep) char *path = NULL;

		if (blockers && !group_is_blocked_by(g->members[i]))
			continue;
		path = device_object_path(g->members[i]);
		r = path ? sd_bus_message_append(reply, "o", path) : -ENOMEM;
	}
	return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int group_get_property(sd_bus *bus, const char *path, const char *interface, const char *property,
			      sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	const struct group *g = group_from_path(userdata, path);

	(void)bus;
	(void)interface;
	(void)error;
	if (!g)
		return -ENOENT;
	if (streq(property, "Id"))
		return sd_bus_message_append(reply, "s", group_id(g));
	if (streq(property, "Viable"))
		return sd_bus_message_append(reply, "b", (int)group_is_viable(g));
	return group_append_members(reply, g, streq(property, "Blockers"));
}

static int group_append_member_property(sd_bus_message *m, const struct group *g, bool blockers)
{
	int r = sd_bus_message_open_container(m, 'e', "sv");

	if (r >= 0)
		r = sd_bus_message_append(m, "s", blockers ? "Blockers" : "Members");
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'v', "ao");
	if (r >= 0)
		r = group_append_members(m, g, blockers);
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

int group_append_properties(sd_bus_message *m, const void *group)
{
	const struct group *g = group;
	int r = sd_bus_message_append(m, "{sv}", "Id", "s", group_id(g));

	if (r >= 0)
		r = group_append_member_property(m, g, false);
	if (r >= 0)
		r = sd_bus_message_append(m, "{sv}", "Viable", "b", (int)group_is_viable(g));
	return r < 0 ? r : group_append_member_property(m, g, true);
}

static const sd_bus_vtable group_vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_PROPERTY("Id", "s", group_get_property, 0, BUS_PROPERTY_CONSTANT),
	SD_BUS_PROPERTY("Members", "ao", group_get_property, 0, BUS_PROPERTY_CHANGES),
	SD_BUS_PROPERTY("Viable", "b", group_get_property, 0, BUS_PROPERTY_CHANGES),
	SD_BUS_PROPERTY("Blockers", "ao", group_get_property, 0, BUS_PROPERTY_CHANGES),
	SD_BUS_VTABLE_END
};

int group_bus_add(struct service *s)
{
	int r = sd_bus_add_fallback_vtable(s->bus, NULL, BUS_GROUPS, GROUP_INTERFACE, group_vtable,
					   group_object_find, s);

	return r < 0 ? r : sd_bus_add_node_enumerator(s->bus, NULL, BUS_GROUPS, group_objects_enumerate, s);
}
