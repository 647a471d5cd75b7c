/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Changes by the service; see change.h. */
#include "cli/change.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/json-output.h"
#include "cli/safe-text.h"

#include <json-c/json.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const struct {
	enum verb_option option;
	const char *name, *type;
} change_options[] = {
	{ VERB_RUNTIME, "runtime", "b" }, { VERB_BY, "by", "s" },	  { VERB_GROUP, "group", "s" },
	{ VERB_REBIND, "rebind", "s" },	  { VERB_MODULE, "module", "s" }, { VERB_FORCE, "force", "b" },
	{ VERB_DRY_RUN, "dry-run", "b" }, { VERB_TRY, "try", "t" },
};

int change_open_or_fail(struct service_client *c, const struct cli *cli)
{
	int r = service_client_open(c, cli);

	if (r >= 0)
		return STATUS_DONE;
	return cli_fail("%s%s%s", cli->host ? cli->host : "", cli->host ? ": " : "",
			service_error_text(c, r));
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

int change_append_options(const struct cli *cli, sd_bus_message *m)
{
	int r = sd_bus_message_open_container(m, 'a', "{sv}");

	for (size_t i = 0; r >= 0 && i < ELEMENTSOF(change_options); i++) {
		const char *value = cli->option[change_options[i].option];

		if (!value)
			continue;
		r = change_append_option(m, change_options[i].name, change_options[i].type, value);
	}
	return r < 0 ? r : sd_bus_message_close_container(m);
}

/* The command that was given, with --force; the reader may have it run as it is. */
static void change_print_forced(const struct change *change)
{
	const struct cli *cli = change->cli;

	(void)fprintf(stderr, "To do it all the same: overridectl %s ", change->verb);
	safe_text_write(stderr, change->device->bus);
	(void)fputc('/', stderr);
	safe_text_write(stderr, change->device->name);
	if (change->driver) {
		(void)fputc(' ', stderr);
		safe_text_write(stderr, change->driver);
	}
	for (size_t i = 0; i < ELEMENTSOF(change_options); i++) {
		const char *value = cli->option[change_options[i].option];

		if (!value || change_options[i].option == VERB_FORCE)
			continue;
		(void)fprintf(stderr, " --%s", change_options[i].name);
		if (*value) {
			(void)fputc('=', stderr);
			safe_text_write(stderr, value);
		}
	}
	(void)fputs(" --force\n", stderr);
}

int change_fail(const struct change *change, struct service_client *c, int r)
{
	const char *name = service_error_name(c);
	bool forcible = streq(name, "InUse") || streq(name, "Foreign");

	(void)cli_fail("%s/%s: %s", change->device->bus, change->device->name, service_error_text(c, r));
	if (forcible && !change->cli->option[VERB_FORCE])
		change_print_forced(change);
	return STATUS_FAILED;
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

static int change_send(struct change *change, struct service_client *c, const char *method)
{
	_cleanup_(message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
	const char *state;
	int r = service_message_new(c, &m, method);

	if (r >= 0)
		r = sd_bus_message_append(m, "ss", change->device->bus, change->device->name);
	if (r >= 0 && change->driver)
		r = sd_bus_message_append(m, "s", change->driver);
	if (r >= 0)
		r = change_append_options(change->cli, m);
	if (r >= 0)
		r = service_call_message(c, m, &reply);
	if (r >= 0)
		r = sd_bus_message_read(reply, "s", &state);
	if (r >= 0)
		text_copy(change->state, sizeof(change->state), state);
	return r;
}

int change_call_or_fail(struct change *change, struct service_client *c, const char *method)
{
	uint64_t generation;
	int r = change_look(change, c, &change->before);

	if (r < 0)
		return change_fail(change, c, r);
	generation = policy_generation(c);
	r = change_send(change, c, method);
	if (r < 0)
		return change_fail(change, c, r);
	change->policy_changed = policy_generation(c) != generation;
	/* It may be gone by now, and was changed all the same. */
	if (change_look(change, c, &change->after) < 0)
		change->after = change->before;
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
	safe_text_write(stdout, change->device->bus);
	putchar('/');
	safe_text_write(stdout, change->device->name);
	if (change->cli->option[VERB_DRY_RUN]) {
		printf(": would be %s; nothing was changed\n", change->state);
		return;
	}
	if (change_is_none(change)) {
		printf(": %s; nothing was changed\n", none);
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
