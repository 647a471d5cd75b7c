/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* overridectl set DEVICE… DRIVER: rules of the service's own for devices, enforced at once. */
#include "base/text.h"
#include "cli/change.h"
#include "cli/cli.h"
#include "cli/device-names.h"
#include "cli/json-output.h"
#include "cli/set-plan.h"
#include "cli/shown-command.h"
#include "cli/trials.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct set_command {
	const struct cli *cli;
	struct service_client client;
	struct device_names names;
	struct change *v; /* one for each name */
};

static void set_command_done(struct set_command *run)
{
	for (size_t i = 0; run->v && i < run->names.n; i++)
		change_done(&run->v[i]);
	free(run->v);
	device_names_done(&run->names);
	service_client_done(&run->client);
}

static int set_begin_or_fail(struct set_command *run, const char *driver)
{
	int status = change_open_or_fail(&run->client, run->cli);

	run->v = calloc(run->names.n, sizeof(*run->v));
	if (!run->v)
		return cli_fail("out of memory");
	for (size_t i = 0; status == STATUS_DONE && i < run->names.n; i++) {
		run->v[i] = (struct change){
			.cli = run->cli, .verb = "set", .driver = driver, .device = &run->names.v[i]
		};
		status = change_begin_or_fail(&run->v[i], &run->client);
	}
	return status;
}

static void set_end(struct set_command *run)
{
	for (size_t i = 0; i < run->names.n; i++) {
		struct change *change = &run->v[i];

		change_end(change, &run->client);
		/* Among several, that policy is another does not mean that this one's rule is. */
		if (run->names.n > 1 && !change->is_absent)
			change->policy_changed =
				change->policy_changed &&
				!streq(change->before.field[ROW_SOURCE], change->after.field[ROW_SOURCE]);
	}
}

/* What goes back, and how to keep it; not on stdout, where JSON may be. */
static void set_print_trials(struct set_command *run)
{
	const struct cli *cli = run->cli;
	uint64_t usec;
	size_t n = 0;

	for (size_t i = 0; i < run->names.n; i++) {
		if (service_find_trial(&run->client, run->names.v[i].bus, run->names.v[i].name, &usec) <= 0)
			continue;
		if (n++ == 0) {
			(void)fprintf(stderr, "It goes back in %s unless confirmed: ", cli->option[VERB_TRY]);
			shown_command_begin(stderr, cli, "confirm");
		}
		shown_command_add_device(stderr, run->names.v[i].bus, run->names.v[i].name);
	}
	if (n > 0)
		(void)fputc('\n', stderr);
}

static void set_print(struct set_command *run)
{
	const struct cli *cli = run->cli;
	struct json_object *o, *list;

	if (run->names.n == 1 || !cli->json) {
		for (size_t i = 0; i < run->names.n; i++)
			change_print(&run->v[i], "it is so already");
	} else {
		o = json_object_new_object();
		list = json_object_new_array();
		for (size_t i = 0; i < run->names.n; i++)
			(void)json_object_array_add(list, change_json(&run->v[i]));
		(void)json_object_object_add(o, "devices", list);
		json_output_print(cli, o);
	}
	if (cli->option[VERB_TRY] && !cli->option[VERB_DRY_RUN] && !cli->no_legend)
		set_print_trials(run);
}

/* What has failed of several after policy was written is said, and was undone for that device. */
static int set_status(const struct set_command *run)
{
	int status = STATUS_DONE;

	for (size_t i = 0; i < run->names.n; i++)
		if (run->v[i].error[0])
			status = cli_fail("%s/%s: %s", run->names.v[i].bus, run->names.v[i].name,
					  run->v[i].error);
	return status;
}

int verb_set(const struct cli *cli, char *const *args, size_t n)
{
	_cleanup_(set_command_done) struct set_command run = { .cli = cli };
	int status =
		device_names_find_or_fail(&run.names, cli, args, n - 1, cli->option[VERB_ABSENT] != NULL);

	if (status == STATUS_DONE)
		status = set_begin_or_fail(&run, args[n - 1]);
	if (status == STATUS_DONE)
		status = set_plan_ask_or_fail(run.v, run.names.n, &run.client);
	if (status == STATUS_DONE)
		status = changes_send_or_fail(run.v, run.names.n, &run.client);
	if (status != STATUS_DONE)
		return status;
	set_end(&run);
	set_print(&run);
	return set_status(&run);
}
