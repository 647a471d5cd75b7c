/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* org.driveroverrides1.Manager: the one object that knows all others. */
#include "daemon/bus/bus-signals.h"
#include "base/file.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "daemon/bus/bus.h"
#include "daemon/bus/bus-explain.h"
#include "daemon/operation/operation.h"
#include "daemon/refresh/refresh.h"
#include "sysfs/sysfs.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int method_list_devices(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct service *s = userdata;
	_cleanup_(freep) struct device_entry **v = devices_sorted(&s->devices);
	sd_bus_message *reply = NULL;
	int r;

	(void)error;
	if (!v)
		return -ENOMEM;
	r = sd_bus_message_new_method_return(m, &reply);
	if (r >= 0)
		r = sd_bus_message_open_container(reply, 'a', "(sssssso)");
	for (size_t i = 0; r >= 0 && v[i]; i++) {
		_cleanup_(freep) char *path = device_object_path(v[i]);
		const char *const *f = v[i]->field;

		r = !path ? -ENOMEM
			  : sd_bus_message_append(reply, "(sssssso)", f[FIELD_BUS], f[FIELD_NAME],
						  f[FIELD_DRIVER], f[FIELD_OVERRIDE], f[FIELD_DECISION],
						  f[FIELD_STATE], path);
	}
	if (r >= 0)
		r = sd_bus_message_close_container(reply);
	if (r >= 0)
		r = sd_bus_send(NULL, reply, NULL);
	(void)sd_bus_message_unref(reply);
	return r < 0 ? r : 1;
}

/* A question for a device that is in no table yet. The names are the call's own. */
struct question {
	struct service *service;
	sd_bus_message *call;
	const char *bus, *name;
};

static int answer_with_path(const struct question *q, sd_bus_error *error)
{
	const struct device_entry *e = devices_find(&q->service->devices, q->bus, q->name);
	_cleanup_(freep) char *path = e ? device_object_path(e) : NULL;

	if (!e)
		return sd_bus_error_setf(error, ERROR_NO_SUCH_DEVICE, "bus %s has no device %s", q->bus,
					 q->name);
	return path ? sd_bus_reply_method_return(q->call, "o", path) : -ENOMEM;
}

static void looked(void *userdata)
{
	struct question *q = userdata;
	sd_bus_error error = SD_BUS_ERROR_NULL;
	int r = answer_with_path(q, &error);

	if (r < 0)
		(void)sd_bus_reply_method_errno(q->call, r, &error);
	sd_bus_error_free(&error);
	(void)sd_bus_message_unref(q->call);
	free(q);
}

static int method_get_device(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct question own = { .service = userdata, .call = m }, *q;
	int r = sd_bus_message_read(m, "ss", &own.bus, &own.name);

	if (r >= 0)
		r = bus_check_device(own.service, own.bus, own.name, error);
	if (r < 0)
		return r;
	if (devices_find(&own.service->devices, own.bus, own.name))
		return answer_with_path(&own, error);
	q = malloc(sizeof(*q));
	if (!q)
		return -ENOMEM;
	*q = own;
	(void)sd_bus_message_ref(m);
	r = refresh_device_now(q->service, q->bus, q->name, looked, q, NULL);
	if (r < 0) {
		(void)sd_bus_message_unref(m);
		free(q);
		return r;
	}
	return 1;
}

static int method_explain(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	const char *bus, *name;
	int r = sd_bus_message_read(m, "ss", &bus, &name);

	if (r < 0)
		return r;
	r = bus_check_device(userdata, bus, name, error);
	if (r < 0)
		return r;
	return bus_explain_start(userdata, m, bus, name);
}

static int act_on_one(sd_bus_message *m, void *userdata, enum operation_kind kind, sd_bus_error *error)
{
	const char *bus, *name;
	int r = sd_bus_message_read(m, "ss", &bus, &name);

	return r < 0 ? r : operation_start(userdata, m, kind, bus, name, error);
}

static int method_set_override(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	return act_on_one(m, userdata, OPERATION_SET, error);
}

static int method_clear_override(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	return act_on_one(m, userdata, OPERATION_CLEAR, error);
}

static int method_apply(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	return act_on_one(m, userdata, OPERATION_APPLY, error);
}

static int method_apply_all(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	return operation_start(userdata, m, OPERATION_APPLY_ALL, NULL, NULL, error);
}

static int method_reload(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	return operation_start(userdata, m, OPERATION_RELOAD, NULL, NULL, error);
}

/* File names may be of any bytes, and so may what is quoted from files. */
static int append_error(sd_bus_message *m, const struct policy_error *e)
{
	_cleanup_(freep) char *file = utf8_from_bytes(e->file, strlen(e->file)),
			      *text = utf8_from_bytes(e->text, strlen(e->text));

	return file && text ? sd_bus_message_append(m, "(sus)", file, (uint32_t)e->line, text) : -ENOMEM;
}

int bus_append_errors(sd_bus_message *m, const struct policy *policy)
{
	int r = sd_bus_message_open_container(m, 'a', "(sus)");

	for (size_t i = 0; r >= 0 && i < policy->n_errors; i++)
		r = append_error(m, &policy->errors[i]);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_buses(sd_bus_message *reply, const struct service *s)
{
	_cleanup_(freep) struct device_entry **v = devices_sorted(&s->devices);
	int r = v ? sd_bus_message_open_container(reply, 'a', "s") : -ENOMEM;

	for (size_t i = 0; r >= 0 && v[i]; i++)
		if (i == 0 || !streq(v[i]->field[FIELD_BUS], v[i - 1]->field[FIELD_BUS]))
			r = sd_bus_message_append(reply, "s", v[i]->field[FIELD_BUS]);
	return r < 0 ? r : sd_bus_message_close_container(reply);
}

/* The value of a key in a text of KEY=VALUE lines, up to its newline; NULL: it has none. */
static const char *line_of(const char *text, const char *key)
{
	const size_t n = strlen(key);

	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n')
		if (strncmp(line, key, n) == 0 && line[n] == '=')
			return line + n + 1;
	return NULL;
}

/* One that was killed has left its file behind. */
static bool is_running(const char *text)
{
	const char *pid = line_of(text, "PID"), *boot = line_of(text, "BOOT_ID");

	if (boot && strncmp(boot, boot_id(), strlen(boot_id())) != 0)
		return false;
	return !pid || kill((pid_t)strtol(pid, NULL, 10), 0) >= 0 || errno != ESRCH;
}

/* What the guard has written about itself; it removes the file when it ends. */
static int append_hold(sd_bus_message *reply, const struct service *s)
{
	_cleanup_(closep) int fd = -EBADF;
	_cleanup_(freep) char *text = NULL, *hold = NULL;
	char path[PATH_MAX];
	const char *line;
	size_t size;

	if (path_printf(path, sizeof(path), "%s/guard", s->settings->state_dir) >= 0)
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 || read_full(fd, 4096, 65536, &text, &size) < 0 || !is_running(text))
		return sd_bus_message_append(reply, "s", "no guard");
	line = line_of(text, "HOLD");
	if (!line)
		line = "the guard does not say";
	hold = utf8_from_bytes(line, strcspn(line, "\n"));
	return hold ? sd_bus_message_append(reply, "s", hold) : -ENOMEM;
}

static int get(sd_bus *bus, const char *path, const char *interface, const char *property,
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
	if (streq(property, "Rules"))
		return sd_bus_message_append(reply, "u", (uint32_t)s->policy->n_rules);
	if (streq(property, "Errors"))
		return bus_append_errors(reply, s->policy);
	if (streq(property, "Buses"))
		return append_buses(reply, s);
	return append_hold(reply, s);
}

#define CHANGES SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE
/* Who may call what is decided in polkit.c, for all methods alike. */
#define METHOD SD_BUS_VTABLE_UNPRIVILEGED
#define DEVICE_ARGS SD_BUS_PARAM(bus) SD_BUS_PARAM(name)

static const sd_bus_vtable vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_PROPERTY("Version", "s", get, 0, SD_BUS_VTABLE_PROPERTY_CONST),
	SD_BUS_PROPERTY("Generation", "t", get, 0, CHANGES),
	SD_BUS_PROPERTY("Rules", "u", get, 0, CHANGES),
	SD_BUS_PROPERTY("Errors", "a(sus)", get, 0, CHANGES),
	SD_BUS_PROPERTY("Buses", "as", get, 0, CHANGES),
	SD_BUS_PROPERTY("Hold", "s", get, 0, CHANGES),
	SD_BUS_METHOD_WITH_NAMES("ListDevices", NULL, , "a(sssssso)", SD_BUS_PARAM(devices),
				 method_list_devices, METHOD),
	SD_BUS_METHOD_WITH_NAMES("GetDevice", "ss", DEVICE_ARGS, "o", SD_BUS_PARAM(device), method_get_device,
				 METHOD),
	SD_BUS_METHOD_WITH_NAMES("SetOverride", "sssa{sv}",
				 DEVICE_ARGS SD_BUS_PARAM(driver) SD_BUS_PARAM(options), "s",
				 SD_BUS_PARAM(state), method_set_override, METHOD),
	SD_BUS_METHOD_WITH_NAMES("ClearOverride", "ssa{sv}", DEVICE_ARGS SD_BUS_PARAM(options), "s",
				 SD_BUS_PARAM(state), method_clear_override, METHOD),
	SD_BUS_METHOD_WITH_NAMES("Explain", "ss", DEVICE_ARGS, "s", SD_BUS_PARAM(json), method_explain,
				 METHOD),
	SD_BUS_METHOD_WITH_NAMES("Apply", "ssa{sv}", DEVICE_ARGS SD_BUS_PARAM(options), "s",
				 SD_BUS_PARAM(state), method_apply, METHOD),
	SD_BUS_METHOD_WITH_NAMES("ApplyAll", "a{sv}", SD_BUS_PARAM(options), "a(sss)", SD_BUS_PARAM(states),
				 method_apply_all, METHOD),
	SD_BUS_METHOD_WITH_NAMES("Reload", NULL, , "a(sus)", SD_BUS_PARAM(errors), method_reload, METHOD),
	SD_BUS_SIGNAL_WITH_NAMES("PolicyReloaded", "tu", SD_BUS_PARAM(generation) SD_BUS_PARAM(errors), 0),
	SD_BUS_SIGNAL_WITH_NAMES("DeviceDecided", "oss",
				 SD_BUS_PARAM(device) SD_BUS_PARAM(decision) SD_BUS_PARAM(first_probe), 0),
	SD_BUS_VTABLE_END
};

int manager_bus_add(struct service *s)
{
	int r = sd_bus_add_object_vtable(s->bus, NULL, BUS_PATH, MANAGER_INTERFACE, vtable, s);

	return r < 0 ? r : sd_bus_add_object_manager(s->bus, NULL, BUS_PATH);
}
