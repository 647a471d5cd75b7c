/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* org.driveroverrides1.Device: one object for each device that has a driver_override file. */
#include "daemon/bus/bus-call.h"
#include "base/macro.h"
#include "daemon/bus/bus-signals.h"
#include "daemon/bus/bus.h"
#include "daemon/bus/caller.h"
#include "daemon/bus/device-signals.h"
#include "daemon/operation/operation.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <systemd/sd-bus.h>

/* An object is looked up by its path for each call: nobody keeps a pointer to it between two calls. */
static int device_object_find(sd_bus *bus, const char *path, const char *interface, void *userdata,
			      void **ret, sd_bus_error *error)
{
	_cleanup_(freep) char *name_of_bus = NULL, *name = NULL;
	struct service *s = userdata;
	struct device_entry *e;

	(void)bus;
	(void)interface;
	(void)error;
	if (sd_bus_path_decode_many(path, BUS_DEVICES "/%/%", &name_of_bus, &name) <= 0)
		return 0;
	e = devices_find(&s->devices, name_of_bus, name);
	if (!e)
		return 0;
	*ret = e;
	return 1;
}

static int device_objects_enumerate(sd_bus *bus, const char *prefix, void *userdata, char ***ret,
				    sd_bus_error *error)
{
	const struct service *s = userdata;
	char **v = calloc(s->devices.n + 1, sizeof(char *));
	size_t n = 0;

	(void)bus;
	(void)prefix;
	(void)error;
	if (!v)
		return -ENOMEM;
	for (struct device_entry *e = NULL; (e = devices_next(&s->devices, e));) {
		v[n] = device_object_path(e);
		if (v[n])
			n++;
	}
	*ret = v;
	return 0;
}

#define GETTER(function, which)                                                                              \
	static int function(sd_bus *bus, const char *path, const char *interface, const char *property,      \
			    sd_bus_message *reply, void *userdata, sd_bus_error *error)                      \
	{                                                                                                    \
		const struct device_entry *e = userdata;                                                     \
                                                                                                             \
		(void)bus;                                                                                   \
		(void)path;                                                                                  \
		(void)interface;                                                                             \
		(void)property;                                                                              \
		(void)error;                                                                                 \
		return sd_bus_message_append(reply, "s", e->field[which]);                                   \
	}

GETTER(get_bus, FIELD_BUS)
GETTER(get_name, FIELD_NAME)
GETTER(get_sysfs_path, FIELD_SYSFS_PATH)
GETTER(get_path, FIELD_PATH)
GETTER(get_driver, FIELD_DRIVER)
GETTER(get_override, FIELD_OVERRIDE)
GETTER(get_decision, FIELD_DECISION)
GETTER(get_rule, FIELD_RULE)
GETTER(get_source, FIELD_SOURCE)
GETTER(get_state, FIELD_STATE)
GETTER(get_reason, FIELD_REASON)
GETTER(get_first_probe, FIELD_FIRST_PROBE)
GETTER(get_node, FIELD_NODE)
GETTER(get_identity, FIELD_IDENTITY)

static int get_group(sd_bus *bus, const char *path, const char *interface, const char *property,
		     sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	const struct device_entry *e = userdata;
	_cleanup_(freep) char *group = NULL;

	(void)bus;
	(void)path;
	(void)interface;
	(void)property;
	(void)error;
	if (!e->field[FIELD_GROUP][0])
		return sd_bus_message_append(reply, "o", "/");
	group = group_object_path(e->field[FIELD_GROUP]);
	return group ? sd_bus_message_append(reply, "o", group) : -ENOMEM;
}

static int get_changed(sd_bus *bus, const char *path, const char *interface, const char *property,
		       sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	const struct device_entry *e = userdata;

	(void)bus;
	(void)path;
	(void)interface;
	(void)property;
	(void)error;
	return sd_bus_message_append(reply, "t", e->n_changes);
}

int device_append_properties(sd_bus_message *m, const void *device)
{
	const struct device_entry *e = device;
	_cleanup_(freep) char *group = NULL;
	int r = 0;

	for (size_t i = 0; r >= 0 && i < FIELD_GROUP; i++)
		if (device_property_names[i])
			r = sd_bus_message_append(m, "{sv}", device_property_names[i], "s", e->field[i]);
	if (e->field[FIELD_GROUP][0]) {
		group = group_object_path(e->field[FIELD_GROUP]);
		if (!group)
			return -ENOMEM;
	}
	if (r >= 0)
		r = sd_bus_message_append(m, "{sv}", device_property_names[FIELD_GROUP], "o",
					  group ? group : "/");
	return r < 0 ? r : sd_bus_message_append(m, "{sv}", DEVICE_CHANGED_PROPERTY, "t", e->n_changes);
}

/* The names are taken from the path, since the entry may go before the call is answered. */
static int device_start_operation(struct service *s, sd_bus_message *m, uid_t uid, enum operation_kind kind,
				  sd_bus_error *reterr)
{
	_cleanup_(freep) char *bus = NULL, *name = NULL;

	if (sd_bus_path_decode_many(sd_bus_message_get_path(m), BUS_DEVICES "/%/%", &bus, &name) <= 0)
		return -ENOENT;
	return operation_start(s, m, uid, kind, bus, name, reterr);
}

static int device_apply(struct service *s, sd_bus_message *m, uid_t uid, sd_bus_error *reterr)
{
	return device_start_operation(s, m, uid, OPERATION_APPLY, reterr);
}

static int device_release(struct service *s, sd_bus_message *m, uid_t uid, sd_bus_error *reterr)
{
	return device_start_operation(s, m, uid, OPERATION_RELEASE, reterr);
}

static int device_set_override(struct service *s, sd_bus_message *m, uid_t uid, sd_bus_error *reterr)
{
	return device_start_operation(s, m, uid, OPERATION_SET, reterr);
}

static int device_clear_override(struct service *s, sd_bus_message *m, uid_t uid, sd_bus_error *reterr)
{
	return device_start_operation(s, m, uid, OPERATION_CLEAR, reterr);
}

static struct service *service_of(void *entry)
{
	return container_of(((struct device_entry *)entry)->table, struct service, devices);
}

static int device_method_apply(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	return caller_dispatch(service_of(userdata), m, device_apply, error);
}

static int device_method_release(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	return caller_dispatch(service_of(userdata), m, device_release, error);
}

static int device_method_set_override(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	return caller_dispatch(service_of(userdata), m, device_set_override, error);
}

static int device_method_clear_override(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	return caller_dispatch(service_of(userdata), m, device_clear_override, error);
}

static const sd_bus_vtable device_vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_PROPERTY("Bus", "s", get_bus, 0, BUS_PROPERTY_CONSTANT),
	SD_BUS_PROPERTY("Name", "s", get_name, 0, BUS_PROPERTY_CONSTANT),
	SD_BUS_PROPERTY("SysfsPath", "s", get_sysfs_path, 0, BUS_PROPERTY_CHANGES),
	SD_BUS_PROPERTY("Path", "s", get_path, 0, BUS_PROPERTY_CHANGES),
	SD_BUS_PROPERTY("Driver", "s", get_driver, 0, BUS_PROPERTY_CHANGES),
	SD_BUS_PROPERTY("Override", "s", get_override, 0, BUS_PROPERTY_CHANGES),
	SD_BUS_PROPERTY("Decision", "s", get_decision, 0, BUS_PROPERTY_CHANGES),
	SD_BUS_PROPERTY("Rule", "s", get_rule, 0, BUS_PROPERTY_CHANGES),
	SD_BUS_PROPERTY("Source", "s", get_source, 0, BUS_PROPERTY_CHANGES),
	SD_BUS_PROPERTY("State", "s", get_state, 0, BUS_PROPERTY_CHANGES),
	SD_BUS_PROPERTY("Reason", "s", get_reason, 0, BUS_PROPERTY_CHANGES),
	SD_BUS_PROPERTY("FirstProbe", "s", get_first_probe, 0, BUS_PROPERTY_CHANGES),
	SD_BUS_PROPERTY("Node", "s", get_node, 0, BUS_PROPERTY_CHANGES),
	SD_BUS_PROPERTY("Identity", "s", get_identity, 0, BUS_PROPERTY_CHANGES),
	SD_BUS_PROPERTY("Group", "o", get_group, 0, BUS_PROPERTY_CHANGES),
	SD_BUS_PROPERTY(DEVICE_CHANGED_PROPERTY, "t", get_changed, 0, BUS_PROPERTY_CHANGES),
	SD_BUS_METHOD_WITH_NAMES("Apply", "a{sv}", SD_BUS_PARAM(options), "s", SD_BUS_PARAM(state),
				 device_method_apply, BUS_METHOD_OPEN),
	SD_BUS_METHOD_WITH_NAMES("Release", "a{sv}", SD_BUS_PARAM(options), "s", SD_BUS_PARAM(state),
				 device_method_release, BUS_METHOD_OPEN),
	SD_BUS_METHOD_WITH_NAMES("SetOverride", "sa{sv}", SD_BUS_PARAM(driver) SD_BUS_PARAM(options), "s",
				 SD_BUS_PARAM(state), device_method_set_override, BUS_METHOD_OPEN),
	SD_BUS_METHOD_WITH_NAMES("ClearOverride", "a{sv}", SD_BUS_PARAM(options), "s", SD_BUS_PARAM(state),
				 device_method_clear_override, BUS_METHOD_OPEN),
	SD_BUS_VTABLE_END
};

int device_bus_add(struct service *s)
{
	int r = sd_bus_add_fallback_vtable(s->bus, NULL, BUS_DEVICES, DEVICE_INTERFACE, device_vtable,
					   device_object_find, s);

	return r < 0 ? r : sd_bus_add_node_enumerator(s->bus, NULL, BUS_DEVICES, device_objects_enumerate, s);
}
