/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * org.freedesktop.LogControl1, as systemd's own services have it (its manual page is of that name): what
 * `systemctl service-log-level` changes. The target "console" is the service's stderr, which is the journal's
 * stream where systemd runs it.
 */
#include "base/log.h"
#include "base/macro.h"
#include "base/text.h"
#include "daemon/bus/bus.h"

#include <stddef.h>
#include <syslog.h>
#include <systemd/sd-bus.h>

static const char *const level_names[] = {
	[LOG_EMERG] = "emerg",	   [LOG_ALERT] = "alert",   [LOG_CRIT] = "crit", [LOG_ERR] = "err",
	[LOG_WARNING] = "warning", [LOG_NOTICE] = "notice", [LOG_INFO] = "info", [LOG_DEBUG] = "debug",
};

static const char *log_control_value(const char *property)
{
	if (streq(property, "LogLevel"))
		return level_names[log_max_level()];
	if (streq(property, "LogTarget"))
		return log_target() == LOG_TO_JOURNAL ? "journal" : "console";
	return log_program();
}

static int log_control_get(sd_bus *bus, const char *path, const char *interface, const char *property,
			   sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
	(void)bus;
	(void)path;
	(void)interface;
	(void)userdata;
	(void)error;
	return sd_bus_message_append(reply, "s", log_control_value(property));
}

static int log_control_set_level(const char *name, sd_bus_error *error)
{
	for (size_t i = 0; i < ELEMENTSOF(level_names); i++)
		if (streq(name, level_names[i])) {
			log_set_max_level((int)i);
			return 0;
		}
	return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS, "this is no log level");
}

static int log_control_set_target(const char *name, sd_bus_error *error)
{
	if (streq(name, "journal"))
		log_set_target(LOG_TO_JOURNAL);
	else if (streq(name, "console") || streq(name, "auto"))
		log_set_target(LOG_TO_STDERR);
	else
		return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS,
					"the log target is console or journal");
	return 0;
}

static int log_control_set(sd_bus *bus, const char *path, const char *interface, const char *property,
			   sd_bus_message *value, void *userdata, sd_bus_error *error)
{
	const char *name;
	int r = sd_bus_message_read(value, "s", &name);

	(void)bus;
	(void)path;
	(void)interface;
	(void)userdata;
	if (r < 0)
		return r;
	return streq(property, "LogLevel") ? log_control_set_level(name, error)
					   : log_control_set_target(name, error);
}

/* Writing is not SD_BUS_VTABLE_UNPRIVILEGED, so sd-bus refuses it to every user but root; so does the bus. */
static const sd_bus_vtable log_control_vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_WRITABLE_PROPERTY("LogLevel", "s", log_control_get, log_control_set, 0, 0),
	SD_BUS_WRITABLE_PROPERTY("LogTarget", "s", log_control_get, log_control_set, 0, 0),
	SD_BUS_PROPERTY("SyslogIdentifier", "s", log_control_get, 0, 0), SD_BUS_VTABLE_END
};

int log_control_bus_add(struct service *s)
{
	return sd_bus_add_object_vtable(s->bus, NULL, "/org/freedesktop/LogControl1",
					"org.freedesktop.LogControl1", log_control_vtable, s);
}
