/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* org.driveroverrides1.Manager: the one object about all devices, and about the policy. */
#include "daemon/bus/bus-call.h"
#include "base/file.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "daemon/bus/bus-answers.h"
#include "daemon/bus/bus-explain.h"
#include "daemon/bus/bus-signals.h"
#include "daemon/bus/bus.h"
#include "daemon/bus/caller.h"
#include "daemon/bus/errors.h"
#include "daemon/bus/limits.h"
#include "daemon/guard-status.h"
#include "daemon/operation/operation.h"
#include "daemon/refresh/refresh.h"
#include "daemon/task.h"
#include "sysfs/sysfs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>

/* GetDevice for a device that is not in the table yet. The names are parts of the message. */
struct device_query {
	struct service *service;
	sd_bus_message *call;
	const char *bus, *name;
};

static int device_query_reply(const struct device_query *q, sd_bus_error *reterr)
{
	const struct device_entry *e = devices_find(&q->service->devices, q->bus, q->name);
	_cleanup_(freep) char *path = e ? device_object_path(e) : NULL;

	if (!e)
		return sd_bus_error_setf(reterr, ERROR_NO_SUCH_DEVICE, "bus %s has no device %s", q->bus,
					 q->name);
	return path ? sd_bus_reply_method_return(q->call, "o", path) : -ENOMEM;
}

static void on_query_refreshed(void *userdata)
{
	struct device_query *q = userdata;
	sd_bus_error error = SD_BUS_ERROR_NULL;
	int r = device_query_reply(q, &error);

	if (r < 0)
		(void)sd_bus_reply_method_errno(q->call, r, &error);
	sd_bus_error_free(&error);
	(void)sd_bus_message_unref(q->call);
	free(q);
}

/* It costs a process, for a device that is so new that nothing is known of it. */
static int device_query_start(struct service *s, sd_bus_message *call, uid_t uid, sd_bus_error *reterr)
{
	struct device_query *q;
	int r;

	if (!limit_take_processes(s, uid, 1))
		return sd_bus_error_set(reterr, SD_BUS_ERROR_LIMITS_EXCEEDED,
					"too many unknown devices are asked for; try again in a few seconds");
	q = malloc(sizeof(*q));
	if (!q)
		return -ENOMEM;
	*q = (struct device_query){ .service = s, .call = sd_bus_message_ref(call) };
	(void)sd_bus_message_rewind(call, true);
	r = sd_bus_message_read(call, "ss", &q->bus, &q->name);
	if (r >= 0)
		r = refresh_device_now(s, q->bus, q->name, on_query_refreshed, q, NULL);
	if (r < 0) {
		(void)sd_bus_message_unref(call);
		free(q);
		return r;
	}
	return 1;
}

static int manager_method_get_device(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct device_query q = { .service = userdata, .call = m };
	int r = sd_bus_message_read(m, "ss", &q.bus, &q.name);

	if (r >= 0)
		r = bus_check_device(q.service, q.bus, q.name, error);
	if (r < 0)
		return r;
	if (devices_find(&q.service->devices, q.bus, q.name))
		return device_query_reply(&q, error);
	return caller_dispatch(q.service, m, device_query_start, error);
}

static int manager_explain(struct service *s, sd_bus_message *m, uid_t uid, sd_bus_error *reterr)
{
	const char *bus, *name;
	int r = sd_bus_message_read(m, "ss", &bus, &name);

	if (r < 0)
		return r;
	r = bus_check_device(s, bus, name, reterr);
	if (r < 0)
		return r;
	return bus_explain_start(s, m, uid, bus, name, reterr);
}

static int manager_start_operation(struct service *s, sd_bus_message *m, uid_t uid, enum operation_kind kind,
				   sd_bus_error *reterr)
{
	const char *bus, *name;
	int r = sd_bus_message_read(m, "ss", &bus, &name);

	return r < 0 ? r : operation_start(s, m, uid, kind, bus, name, reterr);
}

static int manager_set_override(struct service *s, sd_bus_message *m, uid_t uid, sd_bus_error *reterr)
{
	return manager_start_operation(s, m, uid, OPERATION_SET, reterr);
}

static int manager_set_overrides(struct service *s, sd_bus_message *m, uid_t uid, sd_bus_error *reterr)
{
	return operation_start(s, m, uid, OPERATION_SET_MANY, NULL, NULL, reterr);
}

static int manager_clear_override(struct service *s, sd_bus_message *m, uid_t uid, sd_bus_error *reterr)
{
	return manager_start_operation(s, m, uid, OPERATION_CLEAR, reterr);
}

static int manager_apply(struct service *s, sd_bus_message *m, uid_t uid, sd_bus_error *reterr)
{
	return manager_start_operation(s, m, uid, OPERATION_APPLY, reterr);
}

static int manager_apply_all(struct service *s, sd_bus_message *m, uid_t uid, sd_bus_error *reterr)
{
	return operation_start(s, m, uid, OPERATION_APPLY_ALL, NULL, NULL, reterr);
}

static int manager_release(struct service *s, sd_bus_message *m, uid_t uid, sd_bus_error *reterr)
{
	return manager_start_operation(s, m, uid, OPERATION_RELEASE, reterr);
}

static int manager_release_all(struct service *s, sd_bus_message *m, uid_t uid, sd_bus_error *reterr)
{
	return operation_start(s, m, uid, OPERATION_RELEASE_ALL, NULL, NULL, reterr);
}

static int manager_confirm(struct service *s, sd_bus_message *m, uid_t uid, sd_bus_error *reterr)
{
	return manager_start_operation(s, m, uid, OPERATION_CONFIRM, reterr);
}

static int manager_method_list_trials(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	const struct service *s = userdata;

	(void)error;
	return bus_reply(m, bus_append_trials, s);
}

static int manager_reload(struct service *s, sd_bus_message *m, uid_t uid, sd_bus_error *reterr)
{
	return operation_start(s, m, uid, OPERATION_RELOAD, NULL, NULL, reterr);
}

static int manager_retry(struct service *s, sd_bus_message *m, uid_t uid, sd_bus_error *reterr)
{
	return operation_start(s, m, uid, OPERATION_RETRY, NULL, NULL, reterr);
}

CALLER_METHOD(manager_method_list_devices, answer_list_devices)
CALLER_METHOD(manager_method_explain, manager_explain)
CALLER_METHOD(manager_method_set_override, manager_set_override)
CALLER_METHOD(manager_method_set_overrides, manager_set_overrides)
CALLER_METHOD(manager_method_clear_override, manager_clear_override)
CALLER_METHOD(manager_method_apply, manager_apply)
CALLER_METHOD(manager_method_apply_all, manager_apply_all)
CALLER_METHOD(manager_method_release, manager_release)
CALLER_METHOD(manager_method_release_all, manager_release_all)
CALLER_METHOD(manager_method_confirm, manager_confirm)
CALLER_METHOD(manager_method_reload, manager_reload)
CALLER_METHOD(manager_method_retry, manager_retry)

static int manager_append_buses(sd_bus_message *reply, const struct service *s)
{
	int r = sd_bus_message_open_container(reply, 'a', "s");

	for (const struct devices_bus *b = s->devices.buses; r >= 0 && b; b = b->next)
		r = sd_bus_message_append(reply, "s", b->name);
	return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int manager_append_hold(sd_bus_message *reply, const struct service *s)
{
	_cleanup_(freep) char *text = guard_status_read(s), *hold = NULL;
	const char *line;

	if (!text)
		return sd_bus_message_append(reply, "s", "no guard");
	line = guard_status_value(text, "HOLD");
	if (!line)
		line = "the guard does not say";
	hold = utf8_from_bytes(line, strcspn(line, "\n"));
	return hold ? sd_bus_message_append(reply, "s", hold) : -ENOMEM;
}

static int manager_get_property(sd_bus *bus, const char *path, const char *interface, const char *property,
				sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	const struct service *s = userdata;

	(void)bus;
	(void)path;
	(void)interface;
	(void)error;
	if (streq(property, "Version"))
		return sd_bus_message_append(reply, "s", PROJECT_VERSION);
	if (streq(property, "Generation"))
		return sd_bus_message_append(reply, "t", s->generation);
	if (streq(property, "DecidedGeneration"))
		return sd_bus_message_append(reply, "t", s->decided_generation);
	if (streq(property, "Rules"))
		return sd_bus_message_append(reply, "u", (uint32_t)s->policy->n_rules);
	if (streq(property, "Errors"))
		return bus_append_errors(reply, s->policy);
	if (streq(property, "BootImage"))
		return sd_bus_message_append(reply, "s", s->boot_image);
	if (streq(property, "FailedPolicy"))
		return sd_bus_message_append(reply, "s", s->failed_policy);
	if (streq(property, "LeftBehind"))
		return sd_bus_message_append(reply, "u", (uint32_t)tasks_left_behind());
	if (streq(property, "Buses"))
		return manager_append_buses(reply, s);
	return manager_append_hold(reply, s);
}

#define DEVICE_ARGS SD_BUS_PARAM(bus) SD_BUS_PARAM(name)

static const sd_bus_vtable manager_vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_PROPERTY("Version", "s", manager_get_property, 0, BUS_PROPERTY_CONSTANT),
	SD_BUS_PROPERTY("Generation", "t", manager_get_property, 0, BUS_PROPERTY_CHANGES),
	SD_BUS_PROPERTY("DecidedGeneration", "t", manager_get_property, 0, BUS_PROPERTY_CHANGES),
	SD_BUS_PROPERTY("Rules", "u", manager_get_property, 0, BUS_PROPERTY_CHANGES),
	SD_BUS_PROPERTY("Errors", "a(sus)", manager_get_property, 0, BUS_PROPERTY_CHANGES),
	SD_BUS_PROPERTY("Buses", "as", manager_get_property, 0, BUS_PROPERTY_CHANGES),
	SD_BUS_PROPERTY("Hold", "s", manager_get_property, 0, BUS_PROPERTY_CHANGES),
	SD_BUS_PROPERTY("LeftBehind", "u", manager_get_property, 0, BUS_PROPERTY_CHANGES),
	SD_BUS_PROPERTY("BootImage", "s", manager_get_property, 0, BUS_PROPERTY_CHANGES),
	SD_BUS_PROPERTY("FailedPolicy", "s", manager_get_property, 0, BUS_PROPERTY_CHANGES),
	SD_BUS_METHOD_WITH_NAMES("ListDevices", NULL, , "a(sssssso)", SD_BUS_PARAM(devices),
				 manager_method_list_devices, BUS_METHOD_OPEN),
	SD_BUS_METHOD_WITH_NAMES("GetDevice", "ss", DEVICE_ARGS, "o", SD_BUS_PARAM(device),
				 manager_method_get_device, BUS_METHOD_OPEN),
	SD_BUS_METHOD_WITH_NAMES("SetOverride", "sssa{sv}",
				 DEVICE_ARGS SD_BUS_PARAM(driver) SD_BUS_PARAM(options), "s",
				 SD_BUS_PARAM(state), manager_method_set_override, BUS_METHOD_OPEN),
	SD_BUS_METHOD_WITH_NAMES("SetOverrides", "a(sssa{sv})a{sv}",
				 SD_BUS_PARAM(changes) SD_BUS_PARAM(options), "a(ssss)", SD_BUS_PARAM(states),
				 manager_method_set_overrides, BUS_METHOD_OPEN),
	SD_BUS_METHOD_WITH_NAMES("ClearOverride", "ssa{sv}", DEVICE_ARGS SD_BUS_PARAM(options), "s",
				 SD_BUS_PARAM(state), manager_method_clear_override, BUS_METHOD_OPEN),
	SD_BUS_METHOD_WITH_NAMES("Explain", "ss", DEVICE_ARGS, "s", SD_BUS_PARAM(json),
				 manager_method_explain, BUS_METHOD_OPEN),
	SD_BUS_METHOD_WITH_NAMES("Apply", "ssa{sv}", DEVICE_ARGS SD_BUS_PARAM(options), "s",
				 SD_BUS_PARAM(state), manager_method_apply, BUS_METHOD_OPEN),
	SD_BUS_METHOD_WITH_NAMES("ApplyAll", "a{sv}", SD_BUS_PARAM(options), "a(sss)", SD_BUS_PARAM(states),
				 manager_method_apply_all, BUS_METHOD_OPEN),
	SD_BUS_METHOD_WITH_NAMES("Release", "ssa{sv}", DEVICE_ARGS SD_BUS_PARAM(options), "s",
				 SD_BUS_PARAM(state), manager_method_release, BUS_METHOD_OPEN),
	SD_BUS_METHOD_WITH_NAMES("ReleaseAll", "a{sv}", SD_BUS_PARAM(options), "a(sss)", SD_BUS_PARAM(states),
				 manager_method_release_all, BUS_METHOD_OPEN),
	SD_BUS_METHOD_WITH_NAMES("Confirm", "ssa{sv}", DEVICE_ARGS SD_BUS_PARAM(options), "s",
				 SD_BUS_PARAM(state), manager_method_confirm, BUS_METHOD_OPEN),
	SD_BUS_METHOD_WITH_NAMES("ListTrials", NULL, , "a(ssst)", SD_BUS_PARAM(trials),
				 manager_method_list_trials, BUS_METHOD_OPEN),
	SD_BUS_METHOD_WITH_NAMES("Reload", NULL, , "a(sus)", SD_BUS_PARAM(errors), manager_method_reload,
				 BUS_METHOD_OPEN),
	SD_BUS_METHOD_WITH_NAMES("RetryPolicy", NULL, , "a(sus)", SD_BUS_PARAM(errors), manager_method_retry,
				 BUS_METHOD_OPEN),
	SD_BUS_SIGNAL_WITH_NAMES("PolicyReloaded", "tu", SD_BUS_PARAM(generation) SD_BUS_PARAM(errors), 0),
	SD_BUS_SIGNAL_WITH_NAMES("DeviceDecided", "oss",
				 SD_BUS_PARAM(device) SD_BUS_PARAM(decision) SD_BUS_PARAM(first_probe), 0),
	SD_BUS_VTABLE_END
};

int manager_bus_add(struct service *s)
{
	int r = sd_bus_add_object_vtable(s->bus, NULL, BUS_PATH, MANAGER_INTERFACE, manager_vtable, s);

	return r < 0 ? r : sd_bus_add_object_manager(s->bus, NULL, BUS_PATH);
}
