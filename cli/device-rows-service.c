/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Devices as rows, as the service knows them; see device-rows.h. */
#include "base/array.h"
#include "base/text.h"
#include "cli/device-rows.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

int device_rows_list(struct device_rows *rows, struct service_client *c)
{
	static const enum row_field fields[] = { ROW_BUS,      ROW_NAME,     ROW_DRIVER,
						 ROW_OVERRIDE, ROW_DECISION, ROW_STATE };
	_cleanup_(message_unrefp) sd_bus_message *reply = NULL;
	const char *text[ELEMENTSOF(fields)], *path;
	int r = service_call(c, &reply, SERVICE_ROOT, SERVICE_MANAGER, "ListDevices", NULL);

	if (r >= 0)
		r = sd_bus_message_enter_container(reply, 'a', "(sssssso)");
	while (r >= 0 && (r = sd_bus_message_read(reply, "(sssssso)", &text[0], &text[1], &text[2], &text[3],
						  &text[4], &text[5], &path)) > 0) {
		struct device_row *row = device_rows_add(rows);

		r = row ? 0 : -ENOMEM;
		for (size_t i = 0; r >= 0 && i < ELEMENTSOF(fields); i++)
			r = device_row_set(rows, row, fields[i], text[i]);
	}
	device_rows_sort(rows);
	return r;
}

int device_rows_read_failed_policy(struct device_rows *rows, struct service_client *c)
{
	_cleanup_(freep) char *text = NULL;
	int r = sd_bus_get_property_string(c->bus, SERVICE_NAME, SERVICE_ROOT, SERVICE_MANAGER,
					   "FailedPolicy", NULL, &text);

	rows->failed_policy = arena_strdup(&rows->arena, r < 0 ? "" : text);
	return rows->failed_policy ? 0 : -ENOMEM;
}

/* A value that is a text or an object; others are passed over. */
static int row_read_property(struct device_rows *rows, struct device_row *row, sd_bus_message *m)
{
	const char *property, *type, *text;
	char kind;
	int r = sd_bus_message_read(m, "s", &property);

	if (r >= 0)
		r = sd_bus_message_peek_type(m, &kind, &type);
	if (r < 0)
		return r;
	if (!streq(type, "s") && !streq(type, "o"))
		return sd_bus_message_skip(m, "v");
	r = sd_bus_message_read(m, "v", type, &text);
	if (r >= 0 && streq(property, "Group"))
		text = strrchr(text, '/') + 1;
	for (unsigned i = 0; r >= 0 && i < ROW_FIELDS; i++)
		if (streq(row_field_property(i), property))
			return device_row_set(rows, row, i, text);
	return r;
}

static int row_read_properties(struct device_rows *rows, struct device_row *row, sd_bus_message *m)
{
	int r = sd_bus_message_enter_container(m, 'a', "{sv}");

	while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
		r = row_read_property(rows, row, m);
		if (r >= 0)
			r = sd_bus_message_exit_container(m);
	}
	return r < 0 ? r : sd_bus_message_exit_container(m);
}

/* Reads the list of objects that a variant holds. */
static int paths_read(struct device_rows *rows, struct strings *paths, sd_bus_message *m)
{
	const char *path;
	int r = sd_bus_message_enter_container(m, 'v', "ao");

	if (r >= 0)
		r = sd_bus_message_enter_container(m, 'a', "o");
	while (r >= 0 && (r = sd_bus_message_read(m, "o", &path)) > 0) {
		path = arena_strdup(&rows->arena, path);
		r = path ? strings_add(paths, path) : -ENOMEM;
	}
	if (r >= 0)
		r = sd_bus_message_exit_container(m);
	return r < 0 ? r : sd_bus_message_exit_container(m);
}

/* Of a group: which members keep it from a guest. */
static int blockers_read(struct device_rows *rows, struct strings *blockers, sd_bus_message *m)
{
	const char *property;
	int r = sd_bus_message_enter_container(m, 'a', "{sv}");

	while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
		r = sd_bus_message_read(m, "s", &property);
		if (r >= 0)
			r = streq(property, "Blockers") ? paths_read(rows, blockers, m)
							: sd_bus_message_skip(m, "v");
		if (r >= 0)
			r = sd_bus_message_exit_container(m);
	}
	return r < 0 ? r : sd_bus_message_exit_container(m);
}

/* One interface of one object, with its properties. */
static int interface_read(struct device_rows *rows, struct strings *blockers, sd_bus_message *m)
{
	struct device_row *row;
	const char *interface;
	int r = sd_bus_message_read(m, "s", &interface);

	if (r < 0)
		return r;
	if (streq(interface, SERVICE_GROUP))
		return blockers_read(rows, blockers, m);
	if (!streq(interface, SERVICE_DEVICE))
		return sd_bus_message_skip(m, "a{sv}");
	row = device_rows_add(rows);
	return row ? row_read_properties(rows, row, m) : -ENOMEM;
}

static int object_read(struct device_rows *rows, struct strings *blockers, sd_bus_message *m)
{
	int r = sd_bus_message_skip(m, "o");

	if (r >= 0)
		r = sd_bus_message_enter_container(m, 'a', "{sa{sv}}");
	while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', "sa{sv}")) > 0) {
		r = interface_read(rows, blockers, m);
		if (r >= 0)
			r = sd_bus_message_exit_container(m);
	}
	return r < 0 ? r : sd_bus_message_exit_container(m);
}

static void blockers_mark(struct device_rows *rows, const struct strings *blockers)
{
	for (size_t i = 0; i < blockers->n; i++) {
		_cleanup_(freep) char *bus = NULL, *name = NULL;
		struct device_row *row = NULL;

		if (sd_bus_path_decode_many(blockers->v[i], SERVICE_ROOT "/device/%/%", &bus, &name) > 0)
			row = device_rows_find(rows, bus, name);
		if (row)
			row->blocks = true;
	}
}

int device_rows_read_service(struct device_rows *rows, struct service_client *c)
{
	_cleanup_(message_unrefp) sd_bus_message *reply = NULL;
	_cleanup_(strings_done) struct strings blockers = {};
	int r = service_call(c, &reply, SERVICE_ROOT, "org.freedesktop.DBus.ObjectManager",
			     "GetManagedObjects", NULL);

	if (r >= 0)
		r = sd_bus_message_enter_container(reply, 'a', "{oa{sa{sv}}}");
	while (r >= 0 && (r = sd_bus_message_enter_container(reply, 'e', "oa{sa{sv}}")) > 0) {
		r = object_read(rows, &blockers, reply);
		if (r >= 0)
			r = sd_bus_message_exit_container(reply);
	}
	device_rows_sort(rows);
	blockers_mark(rows, &blockers);
	return r;
}

int device_rows_read_one(struct device_rows *rows, struct service_client *c, const char *bus,
			 const char *name)
{
	_cleanup_(message_unrefp) sd_bus_message *found = NULL, *reply = NULL;
	struct device_row *row = device_rows_add(rows);
	const char *path;
	int r = service_call(c, &found, SERVICE_ROOT, SERVICE_MANAGER, "GetDevice", "ss", bus, name);

	if (r >= 0)
		r = sd_bus_message_read(found, "o", &path);
	if (r >= 0)
		r = service_call(c, &reply, path, "org.freedesktop.DBus.Properties", "GetAll", "s",
				 SERVICE_DEVICE);
	if (r < 0)
		return r;
	return row ? row_read_properties(rows, row, reply) : -ENOMEM;
}
