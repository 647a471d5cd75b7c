/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * overridectl wait DEVICE…: until each of them is as decided, or in one of the states that --state names.
 * A device need not be there yet. A restart of the service is waited for, too.
 */
#include "base/array.h"
#include "base/macro.h"
#include "base/text.h"
#include "base/time.h"
#include "cli/change.h"
#include "cli/cli.h"
#include "cli/device-names.h"
#include "cli/json-output.h"
#include "state/device-state.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* However little is heard of changes, it is looked so often. */
#define LOOK_USEC (2U * UINT64_C(1000000))

struct wait_run {
	const struct cli *cli;
	struct service_client client;
	struct device_names names;
	const char *states; /* between commas */
	uint64_t deadline;  /* by now_usec(); 0: none */
	bool changed;	    /* something was heard since the last look */
};

static bool state_is_waited_for(const char *states, const char *state)
{
	size_t n = strlen(state);

	for (const char *s = states; n > 0 && *s; s += strcspn(s, ","), s += *s == ',')
		if (strncmp(s, state, n) == 0 && (s[n] == ',' || s[n] == '\0'))
			return true;
	return false;
}

static int states_check(const char *states)
{
	for (const char *s = states; *s; s += strcspn(s, ","), s += *s == ',') {
		char word[16] = "";

		if (strcspn(s, ",") < sizeof(word))
			memcpy(word, s, strcspn(s, ","));
		if (device_state_from_string(word) == STATE_UNKNOWN)
			return cli_fail_usage("--state takes states, as enforced,held: %s has another word",
					      states);
	}
	return STATUS_DONE;
}

static int on_wait_signal(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct wait_run *run = userdata;

	(void)m;
	(void)error;
	run->changed = true;
	return 0;
}

/* What one device is like now: its row in *rows, of which the state is "" where there is no such device. */
static int wait_look(struct wait_run *run, const struct device_name *d, struct device_rows *rows,
		     struct device_row **ret)
{
	int r = device_rows_read_one(rows, &run->client, d->bus, d->name);

	if (rows->n == 0)
		return -ENOMEM;
	*ret = &rows->v[rows->n - 1];
	if (r < 0 && streq(service_error_name(&run->client), "NoSuchDevice"))
		r = device_row_set(rows, *ret, ROW_REASON, "no such device");
	return r;
}

/* 1: all are; 0: *ret_text says which is not; negative errno: the service cannot be asked. */
static int wait_look_at_all(struct wait_run *run, char *ret_text, size_t size)
{
	_cleanup_(device_rows_done) struct device_rows rows = {};

	run->changed = false;
	for (size_t i = 0; i < run->names.n; i++) {
		const struct device_name *d = &run->names.v[i];
		struct device_row *row;
		int r = wait_look(run, d, &rows, &row);

		if (r < 0)
			return r;
		if (state_is_waited_for(run->states, row->field[ROW_STATE]))
			continue;
		(void)snprintf(ret_text, size, "%s/%s: %s%s%s", d->bus, d->name, row->field[ROW_STATE],
			       *row->field[ROW_STATE] && *row->field[ROW_REASON] ? ": " : "",
			       row->field[ROW_REASON]);
		return 0;
	}
	return 1;
}

/* Until something was heard, or it is time to look all the same. False: the time is over. */
static bool wait_for_change(struct wait_run *run)
{
	uint64_t look = now_usec() + LOOK_USEC;

	while (!run->changed) {
		uint64_t now = now_usec(),
			 until = run->deadline && run->deadline < look ? run->deadline : look;
		int r;

		if (run->deadline && now >= run->deadline)
			return false;
		if (now >= look)
			return true;
		r = sd_bus_process(run->client.bus, NULL);
		if (r == 0)
			r = sd_bus_wait(run->client.bus, until - now);
		if (r < 0 && r != -EINTR)
			return true; /* the next call tells why */
	}
	return true;
}

static int wait_run_until_done(struct wait_run *run)
{
	char text[1024] = "";
	bool noted = false;
	int r;

	do {
		r = wait_look_at_all(run, text, sizeof(text));
		if (r > 0)
			return STATUS_DONE;
		/* One that is started again has its name in a moment. */
		if (r < 0 && !(service_is_missing(&run->client, r) && sd_bus_is_open(run->client.bus) > 0))
			return cli_fail("%s", service_error_text(&run->client, r));
		if (r < 0 && !noted)
			(void)cli_fail("note: %s; waiting for it", service_error_text(&run->client, r));
		noted |= r < 0;
	} while (wait_for_change(run));
	return cli_fail("timed out: %s", *text ? text : service_error_text(&run->client, r));
}

static void wait_print_json(const struct wait_run *run)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();

	for (size_t i = 0; i < run->names.n; i++) {
		struct json_object *device = json_object_new_object();

		json_output_add(device, "bus", run->names.v[i].bus);
		json_output_add(device, "name", run->names.v[i].name);
		(void)json_object_array_add(list, device);
	}
	json_output_add(o, "states", run->states);
	(void)json_object_object_add(o, "devices", list);
	json_output_print(run->cli, o);
}

int verb_wait(const struct cli *cli, char *const *args, size_t n)
{
	struct wait_run run = { .cli = cli, .states = cli->option[VERB_STATE] };
	unsigned long long usec = 0;
	int status = STATUS_DONE;

	if (!run.states)
		run.states = "enforced,held";
	else
		status = states_check(run.states);
	if (cli->option[VERB_TIMEOUT] && !time_span_parse(cli->option[VERB_TIMEOUT], &usec))
		status = cli_fail_usage("--timeout takes a time, as 90s or 2min");
	if (cli->option[VERB_TIMEOUT])
		run.deadline = now_usec() + usec;
	if (status == STATUS_DONE)
		status = device_names_find_or_fail(&run.names, cli, args, n, true);
	if (status == STATUS_DONE)
		status = change_open_or_fail(&run.client, cli);
	if (status == STATUS_DONE && service_listen(&run.client, on_wait_signal, &run) < 0)
		status = cli_fail("%s", service_error_text(&run.client, -EIO));
	if (status == STATUS_DONE)
		status = wait_run_until_done(&run);
	if (status == STATUS_DONE && cli->json)
		wait_print_json(&run);
	device_names_done(&run.names);
	service_client_done(&run.client);
	return status;
}
