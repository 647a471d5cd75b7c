/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Calls that return a state for each device; see state-calls.h. */
#include "base/macro.h"
#include "base/text.h"
#include "cli/change.h"
#include "cli/cli.h"
#include "cli/device-names.h"
#include "cli/json-output.h"
#include "cli/state-calls.h"
#include "cli/text-table.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct state_calls {
	const struct cli *cli;
	const struct state_method *method;
	struct service_client client;
	struct device_rows
		rows; /* what became of each: its State, and the Reason where that is not as decided */
	bool failed;
};

static const struct text_column state_columns[] = {
	{ .heading = "DEVICE" },
	{ .heading = "STATE", .is_state = true },
	{ .heading = "REASON", .may_be_cut = true },
	{},
};

static bool state_is_as_decided(const char *state)
{
	return streq(state, "enforced") || streq(state, "held") || streq(state, "unmanaged");
}

static int state_calls_add(struct state_calls *run, const char *bus, const char *name, const char *state,
			   const char *reason)
{
	struct device_row *row = device_rows_add(&run->rows);

	if (!row || device_row_set(&run->rows, row, ROW_BUS, bus) < 0 ||
	    device_row_set(&run->rows, row, ROW_NAME, name) < 0 ||
	    device_row_set(&run->rows, row, ROW_STATE, state) < 0 ||
	    device_row_set(&run->rows, row, ROW_REASON, reason) < 0)
		return cli_fail("out of memory");
	return STATUS_DONE;
}

/* Where a call tells no more than the state, the service has the reason. Others are said on stderr. */
static int state_calls_add_state(struct state_calls *run, const char *bus, const char *name,
				 const char *state)
{
	_cleanup_(device_rows_done) struct device_rows rows = {};
	const bool is_well = state_is_as_decided(state);
	const char *reason = "";

	if ((!is_well || (run->method->tells_reason && !run->cli->option[VERB_DRY_RUN])) &&
	    device_rows_read_one(&rows, &run->client, bus, name) >= 0)
		reason = rows.v[rows.n - 1].field[ROW_REASON];
	if (!is_well) {
		(void)cli_fail("%s/%s: %s%s%s", bus, name, state, *reason ? ": " : "", reason);
		run->failed = true;
	}
	return state_calls_add(run, bus, name, state, reason);
}

static int state_calls_named(struct state_calls *run, const struct device_names *names)
{
	int status = STATUS_DONE;

	for (size_t i = 0; status == STATUS_DONE && i < names->n; i++) {
		const struct device_name *d = &names->v[i];
		_cleanup_(change_done) struct change change = { .cli = run->cli,
								.verb = run->method->verb,
								.device = d };

		/* One that is refused is no reason to leave out the others. */
		if (change_call_or_fail(&change, &run->client, run->method->one) == STATUS_DONE) {
			status = state_calls_add_state(run, d->bus, d->name, change.state);
			continue;
		}
		run->failed = true;
		if (service_is_missing(&run->client, -1))
			return STATUS_FAILED;
		status =
			state_calls_add(run, d->bus, d->name, "failed", service_error_text(&run->client, -1));
	}
	return status;
}

static int state_calls_all(struct state_calls *run)
{
	_cleanup_(message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
	const char *bus, *name, *state;
	int r = service_message_new(&run->client, &m, run->method->all), status = STATUS_DONE;

	if (r >= 0)
		r = change_append_options(run->cli, m);
	if (r >= 0)
		r = service_call_message(&run->client, m, &reply);
	if (r >= 0)
		r = sd_bus_message_enter_container(reply, 'a', "(sss)");
	if (r < 0)
		return change_fail_call(run->cli, &run->client, r);
	while (status == STATUS_DONE && sd_bus_message_read(reply, "(sss)", &bus, &name, &state) > 0)
		status = state_calls_add_state(run, bus, name, state);
	return status;
}

static int state_calls_print_table(const struct state_calls *run)
{
	_cleanup_(text_table_freep) struct text_table *t = text_table_new(run->cli, state_columns);

	for (size_t i = 0; t && i < run->rows.n; i++) {
		const char *const *field = run->rows.v[i].field;
		char device[512];

		(void)snprintf(device, sizeof(device), "%s/%s", field[ROW_BUS], field[ROW_NAME]);
		if (!text_table_add(t, NULL, (const char *[]){ device, field[ROW_STATE], field[ROW_REASON] }))
			return cli_fail("out of memory");
	}
	if (!t || text_table_print(t) < 0)
		return cli_fail("printing the table failed");
	if (!run->cli->no_legend && run->rows.n == 0)
		puts(run->method->none);
	else if (!run->cli->no_legend && run->cli->option[VERB_DRY_RUN])
		puts("\nSo it would be; nothing was changed.");
	return STATUS_DONE;
}

static void state_calls_print_json(const struct state_calls *run)
{
	static const enum row_field fields[] = { ROW_BUS, ROW_NAME, ROW_STATE, ROW_REASON };
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();

	for (size_t i = 0; i < run->rows.n; i++) {
		struct json_object *device = json_object_new_object();

		for (size_t k = 0; k < ELEMENTSOF(fields); k++)
			json_output_add(device, row_field_key(fields[k]), run->rows.v[i].field[fields[k]]);
		(void)json_object_array_add(list, device);
	}
	json_output_add_bool(o, "dry_run", run->cli->option[VERB_DRY_RUN] != NULL);
	(void)json_object_object_add(o, "devices", list);
	json_output_print(run->cli, o);
}

int state_calls_run(const struct cli *cli, const struct state_method *method, char *const *args, size_t n,
		    bool all)
{
	_cleanup_(device_names_done) struct device_names names = {};
	struct state_calls run = { .cli = cli, .method = method };
	int status = all ? STATUS_DONE : device_names_find_or_fail(&names, cli, args, n, false);

	if (status == STATUS_DONE)
		status = change_open_or_fail(&run.client, cli);
	if (status == STATUS_DONE)
		status = all ? state_calls_all(&run) : state_calls_named(&run, &names);
	if (status == STATUS_DONE && cli->json)
		state_calls_print_json(&run);
	else if (status == STATUS_DONE)
		status = state_calls_print_table(&run);
	if (status == STATUS_DONE && run.failed)
		status = STATUS_FAILED;
	device_rows_done(&run.rows);
	service_client_done(&run.client);
	return status;
}
