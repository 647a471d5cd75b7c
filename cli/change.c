/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Changes by the service; see change.h. */
#include "cli/change.h"
#include "base/text.h"
#include "cli/call-progress.h"
#include "cli/cli.h"
#include "cli/json-output.h"
#include "cli/safe-text.h"
#include "cli/shown-command.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct {
	enum verb_option option;
	const char *name, *type;
} change_options[] = {
	{ VERB_RUNTIME, "runtime", "b" }, { VERB_BY, "by", "s" },
	{ VERB_GROUP, "group", "s" },	  { VERB_REBIND, "rebind", "s" },
	{ VERB_MODULE, "module", "s" },	  { VERB_FORCE, "force", "b" },
	{ VERB_DRY_RUN, "dry-run", "b" }, { VERB_TRY, "try", "t" },
	{ VERB_ABSENT, "absent", "b" },	  { VERB_ANY_DEVICE, "any-device", "b" },
};

int change_open_or_fail(struct service_client *c, const struct cli *cli)
{
	int r = service_client_open(c, cli);

	return r >= 0 ? STATUS_DONE : change_fail_call(cli, c, r);
}

int change_fail_call(const struct cli *cli, const struct service_client *c, int r)
{
	return cli_fail("%s%s%s", cli->host ? cli->host : "", cli->host ? ": " : "",
			service_error_text(c, r));
}

void change_write_device(FILE *f, const struct change *change)
{
	safe_text_write(f, change->device->bus);
	(void)fputc('/', f);
	safe_text_write(f, change->device->name);
}

static int change_append_option(sd_bus_message *m, const char *name, const char *type, const char *value)
{
	unsigned long long usec = 0;

	switch (type[0]) {
	case 'b':
		return sd_bus_message_append(m, "{sv}", name, type, 1);
	case 't':
		/* command_line_check() has seen that it is one. */
		(void)time_span_parse(value, &usec);
		return sd_bus_message_append(m, "{sv}", name, type, (uint64_t)usec);
	default:
		return sd_bus_message_append(m, "{sv}", name, type, value);
	}
}

/* Those that `skip` has not; a bit each: 1 << enum verb_option. dry_run: that as well, given or not. */
static int change_append_options_but(const struct cli *cli, sd_bus_message *m, unsigned skip, bool dry_run)
{
	int r = sd_bus_message_open_container(m, 'a', "{sv}");

	for (size_t i = 0; r >= 0 && i < ELEMENTSOF(change_options); i++) {
		const char *value = cli->option[change_options[i].option];

		if (dry_run && change_options[i].option == VERB_DRY_RUN)
			value = "";
		if (value && !(skip & (1U << change_options[i].option)))
			r = change_append_option(m, change_options[i].name, change_options[i].type, value);
	}
	return r < 0 ? r : sd_bus_message_close_container(m);
}

int change_append_options(const struct cli *cli, sd_bus_message *m)
{
	return change_append_options_but(cli, m, 0, false);
}

/* The command that was given, with --force; the reader may have it run as it is. */
static void changes_print_forced(const struct change *v, size_t n)
{
	const struct cli *cli = v->cli;

	(void)fputs("To do it all the same: ", stderr);
	shown_command_begin(stderr, cli, v->verb);
	for (size_t i = 0; i < n; i++)
		shown_command_add_device(stderr, v[i].device->bus, v[i].device->name);
	if (v->driver)
		shown_command_add(stderr, v->driver);
	for (size_t i = 0; i < ELEMENTSOF(change_options); i++) {
		const char *value = cli->option[change_options[i].option];

		if (value && change_options[i].option != VERB_FORCE)
			shown_command_add_option(stderr, change_options[i].name, value);
	}
	(void)fputs(" --force\n", stderr);
}

static int changes_fail(const struct change *v, size_t n, struct service_client *c)
{
	const char *name = service_error_name(c);

	if ((streq(name, "InUse") || streq(name, "Foreign")) && !v->cli->option[VERB_FORCE])
		changes_print_forced(v, n);
	return STATUS_FAILED;
}

int change_fail(const struct change *change, struct service_client *c, int r)
{
	(void)cli_fail("%s/%s: %s", change->device->bus, change->device->name, service_error_text(c, r));
	return changes_fail(change, 1, c);
}

/* The number of the policy, which is another after each change of it; 0: it is not known. */
static uint64_t policy_generation(struct service_client *c)
{
	uint64_t generation = 0;

	if (sd_bus_get_property_trivial(c->bus, SERVICE_NAME, SERVICE_ROOT, SERVICE_MANAGER, "Generation",
					NULL, 't', &generation) < 0)
		return 0;
	return generation;
}

static int change_look(struct change *change, struct service_client *c, struct device_row *ret)
{
	int r = device_rows_read_one(&change->rows, c, change->device->bus, change->device->name);

	if (r >= 0)
		*ret = change->rows.v[change->rows.n - 1];
	return r;
}

int change_send(struct change *change, struct service_client *c, const char *method)
{
	_cleanup_(message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
	const char *state;
	int r = service_message_new(c, &m, method);

	if (r >= 0)
		r = sd_bus_message_append(m, "ss", change->device->bus, change->device->name);
	if (r >= 0 && change->driver)
		r = sd_bus_message_append(m, "s", change->driver);
	if (r >= 0)
		r = change_append_options_but(change->cli, m, 0, change->is_tried);
	if (r >= 0)
		r = service_call_message(c, m, &reply);
	if (r >= 0)
		r = sd_bus_message_read(reply, "s", &state);
	if (r >= 0)
		text_copy(change->state, sizeof(change->state), state);
	return r;
}

/* SetOverrides: all of them or none. */
static int changes_append(const struct change *v, size_t n, sd_bus_message *m)
{
	static const unsigned of_call = 1U << VERB_DRY_RUN;
	const struct cli *cli = v->cli;
	int r = sd_bus_message_open_container(m, 'a', "(sssa{sv})");

	for (size_t i = 0; r >= 0 && i < n; i++) {
		r = sd_bus_message_open_container(m, 'r', "sssa{sv}");
		if (r >= 0)
			r = sd_bus_message_append(m, "sss", v[i].device->bus, v[i].device->name, v[i].driver);
		if (r >= 0)
			r = change_append_options_but(cli, m, of_call, false);
		if (r >= 0)
			r = sd_bus_message_close_container(m);
	}
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	return r < 0 ? r : change_append_options_but(cli, m, ~of_call, v->is_tried);
}

/* The answers come in the order of the changes. */
static int changes_read(struct change *v, size_t n, sd_bus_message *reply)
{
	const char *bus, *name, *state, *error;
	int r = sd_bus_message_enter_container(reply, 'a', "(ssss)");

	for (size_t i = 0; r >= 0 && i < n; i++) {
		r = sd_bus_message_read(reply, "(ssss)", &bus, &name, &state, &error);
		if (r == 0)
			return -EBADMSG;
		if (r > 0) {
			text_copy(v[i].state, sizeof(v[i].state), state);
			text_copy(v[i].error, sizeof(v[i].error), error);
		}
	}
	return r;
}

/* By a person, who may have to wait. */
static bool changes_are_watched(const struct change *v)
{
	return !v->is_tried && !v->cli->option[VERB_DRY_RUN] && !v->cli->json && isatty(STDERR_FILENO);
}

int changes_send_or_fail(struct change *v, size_t n, struct service_client *c)
{
	_cleanup_(message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
	int r;

	if (n == 1) {
		r = change_send(v, c, "SetOverride");
		return r < 0 ? change_fail(v, c, r) : STATUS_DONE;
	}
	r = service_message_new(c, &m, "SetOverrides");
	if (r >= 0)
		r = changes_append(v, n, m);
	if (r >= 0)
		r = changes_are_watched(v) ? service_call_with_progress(c, m, n, &reply)
					   : service_call_message(c, m, &reply);
	if (r >= 0)
		r = changes_read(v, n, reply);
	if (r >= 0)
		return STATUS_DONE;
	(void)change_fail_call(v->cli, c, r);
	return changes_fail(v, n, c);
}

/* A device that is not there has nothing to look at. */
static int change_begin_absent(struct change *change)
{
	struct device_row *row = device_rows_add(&change->rows);
	int r = row ? device_row_set(&change->rows, row, ROW_BUS, change->device->bus) : -ENOMEM;

	if (r >= 0)
		r = device_row_set(&change->rows, row, ROW_NAME, change->device->name);
	if (r < 0)
		return r;
	change->before = *row;
	change->is_absent = true;
	return 0;
}

int change_begin_or_fail(struct change *change, struct service_client *c)
{
	int r = change_look(change, c, &change->before);

	if (r < 0 && change->cli->option[VERB_ABSENT] && streq(service_error_name(c), "NoSuchDevice"))
		r = change_begin_absent(change);
	if (r < 0)
		return change_fail(change, c, r);
	change->generation = policy_generation(c);
	return STATUS_DONE;
}

void change_end(struct change *change, struct service_client *c)
{
	change->policy_changed = policy_generation(c) != change->generation;
	/* It may be gone by now, and was changed all the same. */
	if (change->is_absent || change_look(change, c, &change->after) < 0)
		change->after = change->before;
}

int change_call_or_fail(struct change *change, struct service_client *c, const char *method)
{
	int r, status = change_begin_or_fail(change, c);

	if (status != STATUS_DONE)
		return status;
	r = change_send(change, c, method);
	if (r < 0)
		return change_fail(change, c, r);
	change_end(change, c);
	return STATUS_DONE;
}

void change_done(struct change *change)
{
	device_rows_done(&change->rows);
}

bool change_is_none(const struct change *change)
{
	static const enum row_field fields[] = { ROW_DRIVER, ROW_OVERRIDE, ROW_DECISION, ROW_STATE };

	for (size_t i = 0; i < ELEMENTSOF(fields); i++)
		if (!streq(change->before.field[fields[i]], change->after.field[fields[i]]))
			return false;
	return !change->policy_changed;
}

struct json_object *change_json(const struct change *change)
{
	static const enum row_field fields[] = { ROW_BUS,      ROW_NAME,   ROW_DRIVER, ROW_OVERRIDE,
						 ROW_DECISION, ROW_SOURCE, ROW_REASON };
	struct json_object *o = json_object_new_object();

	for (size_t i = 0; i < ELEMENTSOF(fields); i++)
		json_output_add(o, row_field_key(fields[i]), change->after.field[fields[i]]);
	json_output_add(o, "driver_before", change->before.field[ROW_DRIVER]);
	json_output_add(o, "state", change->state);
	json_output_add_bool(o, "changed", !change_is_none(change));
	json_output_add_bool(o, "dry_run", change->cli->option[VERB_DRY_RUN] != NULL);
	return o;
}

static const char *text_or_none(const char *text)
{
	return *text ? text : "no driver";
}

void change_print(const struct change *change, const char *none)
{
	const struct device_row *before = &change->before, *after = &change->after;
	const char *reason = after->field[ROW_REASON], *source = after->field[ROW_SOURCE];

	if (change->cli->json) {
		json_output_print(change->cli, change_json(change));
		return;
	}
	change_write_device(stdout, change);
	if (change->cli->option[VERB_DRY_RUN]) {
		printf(": would be %s; nothing was changed\n", change->is_absent ? "absent" : change->state);
		return;
	}
	if (change_is_none(change)) {
		printf(": %s; nothing was changed\n", none);
		return;
	}
	if (change->is_absent) {
		puts(change->driver ? ": absent; the rule waits for it" : ": absent; its rule is removed");
		return;
	}
	printf(": ");
	safe_text_write(stdout, text_or_none(before->field[ROW_DRIVER]));
	if (!streq(before->field[ROW_DRIVER], after->field[ROW_DRIVER])) {
		printf(" -> ");
		safe_text_write(stdout, text_or_none(after->field[ROW_DRIVER]));
	}
	printf(", %s%s", change->state, *reason ? ": " : "");
	safe_text_write(stdout, reason);
	putchar('\n');
	if (!*source)
		return;
	printf("  by ");
	safe_text_write(stdout, source);
	putchar('\n');
}
