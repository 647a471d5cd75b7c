/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Events of the service: what a signal says, as a line, as JSON and as the environment of a command. */
#include "cli/monitor-event.h"
#include "base/macro.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/json-output.h"
#include "cli/safe-text.h"
#include "cli/service-client.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* In the order in which they are shown. */
static const enum row_field event_fields[] = { ROW_DRIVER, ROW_OVERRIDE, ROW_DECISION, ROW_STATE,
					       ROW_REASON, ROW_RULE,	 ROW_SOURCE,   ROW_FIRST_PROBE };

/* True: the path is a device's. */
static bool event_take_device(struct monitor_event *event, const char *path)
{
	return sd_bus_path_decode_many(path, SERVICE_ROOT "/device/%/%", &event->bus, &event->name) > 0;
}

/* A property with its value; those that are no text, and those that are not shown, are passed over. */
static int event_read_property(struct monitor_event *event, sd_bus_message *m)
{
	const char *property, *type, *text;
	int r = sd_bus_message_read(m, "s", &property);

	if (r >= 0)
		r = sd_bus_message_peek_type(m, NULL, &type);
	if (r < 0)
		return r;
	if (!streq(type, "s"))
		return sd_bus_message_skip(m, "v");
	r = sd_bus_message_read(m, "v", "s", &text);
	for (size_t i = 0; r >= 0 && i < ELEMENTSOF(event_fields); i++) {
		if (!streq(row_field_property(event_fields[i]), property))
			continue;
		event->fields |= 1U << event_fields[i];
		return device_row_set(&event->rows, event->row, event_fields[i], text);
	}
	return r;
}

static int event_read_properties(struct monitor_event *event, sd_bus_message *m)
{
	int r;

	event->row = device_rows_add(&event->rows);
	r = event->row ? sd_bus_message_enter_container(m, 'a', "{sv}") : -ENOMEM;
	while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
		r = event_read_property(event, m);
		if (r >= 0)
			r = sd_bus_message_exit_container(m);
	}
	return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int event_read_changed(struct monitor_event *event, sd_bus_message *m)
{
	const char *interface;
	int r = sd_bus_message_read(m, "s", &interface);

	if (r < 0 || !streq(interface, SERVICE_DEVICE) ||
	    !event_take_device(event, sd_bus_message_get_path(m)))
		return r < 0 ? r : 0;
	event->kind = "changed";
	r = event_read_properties(event, m);
	return r < 0 ? r : event->fields != 0;
}

static int event_read_added(struct monitor_event *event, sd_bus_message *m)
{
	const char *path, *interface;
	int r = sd_bus_message_read(m, "o", &path);

	if (r < 0 || !event_take_device(event, path))
		return r < 0 ? r : 0;
	event->kind = "added";
	r = sd_bus_message_enter_container(m, 'a', "{sa{sv}}");
	while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', "sa{sv}")) > 0) {
		r = sd_bus_message_read(m, "s", &interface);
		if (r >= 0)
			r = streq(interface, SERVICE_DEVICE) ? event_read_properties(event, m)
							     : sd_bus_message_skip(m, "a{sv}");
		if (r >= 0)
			r = sd_bus_message_exit_container(m);
	}
	return r < 0 ? r : event->row != NULL;
}

static int event_read_removed(struct monitor_event *event, sd_bus_message *m)
{
	const char *path;
	int r = sd_bus_message_read(m, "o", &path);

	event->kind = "removed";
	return r < 0 ? r : event_take_device(event, path);
}

static int event_read_owner(struct monitor_event *event, sd_bus_message *m)
{
	const char *name, *old, *new;
	int r = sd_bus_message_read(m, "sss", &name, &old, &new);

	event->kind = "service";
	event->service = r >= 0 && *new ? "up" : "down";
	return r < 0 ? r : streq(name, SERVICE_NAME);
}

static int event_read_policy(struct monitor_event *event, sd_bus_message *m)
{
	int r = sd_bus_message_read(m, "tu", &event->generation, &event->errors);

	event->kind = "policy";
	return r < 0 ? r : 1;
}

int monitor_event_read(struct monitor_event *event, sd_bus_message *m)
{
	static const struct {
		const char *member;
		int (*read)(struct monitor_event *event, sd_bus_message *m);
	} members[] = { { "PropertiesChanged", event_read_changed },
			{ "InterfacesAdded", event_read_added },
			{ "InterfacesRemoved", event_read_removed },
			{ "NameOwnerChanged", event_read_owner },
			{ "PolicyReloaded", event_read_policy } };
	const char *member = sd_bus_message_get_member(m);

	*event = (struct monitor_event){};
	for (size_t i = 0; member && i < ELEMENTSOF(members); i++)
		if (streq(members[i].member, member))
			return members[i].read(event, m);
	return 0;
}

void monitor_event_done(struct monitor_event *event)
{
	free(event->bus);
	free(event->name);
	device_rows_done(&event->rows);
}

static void event_print_text(const struct monitor_event *event)
{
	char clock[16] = "";
	time_t now = time(NULL);
	struct tm tm;

	if (localtime_r(&now, &tm))
		(void)strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	printf("%s %s", clock, event->kind);
	if (event->service)
		printf(" %s", event->service);
	if (streq(event->kind, "policy"))
		printf(" %ju, %u errors", (uintmax_t)event->generation, event->errors);
	if (event->name) {
		putchar(' ');
		safe_text_write(stdout, event->bus);
		putchar('/');
		safe_text_write(stdout, event->name);
	}
	for (size_t i = 0; i < ELEMENTSOF(event_fields); i++) {
		enum row_field field = event_fields[i];

		if (!(event->fields & (1U << field)) ||
		    (streq(event->kind, "added") && !*event->row->field[field]))
			continue;
		printf(" %s=", row_field_key(field));
		safe_text_write(stdout, event->row->field[field]);
	}
	putchar('\n');
}

static void event_print_json(const struct monitor_event *event, const struct cli *cli)
{
	struct json_object *o = json_object_new_object();

	json_output_add(o, "event", event->kind);
	if (event->service)
		json_output_add(o, "service", event->service);
	if (streq(event->kind, "policy")) {
		(void)json_object_object_add(o, "generation",
					     json_object_new_int64((int64_t)event->generation));
		(void)json_object_object_add(o, "errors", json_object_new_int64(event->errors));
	}
	if (event->name) {
		json_output_add(o, "bus", event->bus);
		json_output_add(o, "name", event->name);
	}
	for (size_t i = 0; i < ELEMENTSOF(event_fields); i++)
		if (event->fields & (1U << event_fields[i]))
			json_output_add(o, row_field_key(event_fields[i]),
					event->row->field[event_fields[i]]);
	json_output_print(cli, o);
}

/* DRIVER_OVERRIDES_STATE=… for the command. */
static void event_export(const char *key, const char *value)
{
	char name[64] = "DRIVER_OVERRIDES_";
	size_t n = strlen(name);

	for (; *key && n < sizeof(name) - 1; key++)
		name[n++] = *key >= 'a' && *key <= 'z' ? (char)(*key - ('a' - 'A')) : *key;
	(void)setenv(name, value, 1);
}

static void event_run_child(const struct monitor_event *event, const char *command)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)dup2(null, STDIN_FILENO);
	event_export("event", event->kind);
	if (event->service)
		event_export("service", event->service);
	if (event->name) {
		event_export("bus", event->bus);
		event_export("name", event->name);
	}
	for (size_t i = 0; i < ELEMENTSOF(event_fields); i++)
		if (event->fields & (1U << event_fields[i]))
			event_export(row_field_key(event_fields[i]), event->row->field[event_fields[i]]);
	(void)execlp("sh", "sh", "-c", command, NULL);
	_exit(127);
}

/* One after the other, in the order of the events. */
static void event_run_command(const struct monitor_event *event, const char *command)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
		event_run_child(event, command);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (pid < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
		(void)cli_fail("the command of --exec has failed");
}

void monitor_event_report(const struct monitor_event *event, const struct cli *cli)
{
	if (cli->json)
		event_print_json(event, cli);
	else
		event_print_text(event);
	(void)fflush(stdout);
	if (cli->option[VERB_EXEC])
		event_run_command(event, cli->option[VERB_EXEC]);
}
