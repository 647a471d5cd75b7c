/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* overridectl confirm [DEVICE…]: what `set --try` has changed is to last. */
#include "cli/change.h"
#include "cli/cli.h"
#include "cli/device-names.h"
#include "cli/json-output.h"
#include "cli/service-client.h"
#include "cli/trials.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

struct confirm_command {
	const struct cli *cli;
	struct service_client client;
	struct json_object *list; /* NULL: text */
};

static int confirm_device(struct confirm_command *run, const struct device_name *device)
{
	_cleanup_(
		change_done) struct change change = { .cli = run->cli, .verb = "confirm", .device = device };
	int status = change_call_or_fail(&change, &run->client, "Confirm");

	if (status == STATUS_DONE && run->list)
		(void)json_object_array_add(run->list, change_json(&change));
	else if (status == STATUS_DONE)
		change_print(&change, "it is so already");
	return status;
}

static int confirm_find_or_fail(struct confirm_command *run, struct device_names *names, char *const *args,
				size_t n)
{
	int r;

	if (n > 0)
		return device_names_find_or_fail(names, run->cli, args, n, false);
	r = service_list_trials(&run->client, names);
	if (r < 0)
		return change_fail_call(run->cli, &run->client, r);
	return names->n > 0 ? STATUS_DONE : cli_fail("no change is on trial");
}

int verb_confirm(const struct cli *cli, char *const *args, size_t n)
{
	_cleanup_(device_names_done) struct device_names names = {};
	struct confirm_command run = { .cli = cli };
	struct json_object *o;
	int status = change_open_or_fail(&run.client, cli);

	if (status == STATUS_DONE)
		status = confirm_find_or_fail(&run, &names, args, n);
	if (status == STATUS_DONE) {
		run.list = cli->json ? json_object_new_array() : NULL;
		/* One that is refused is no reason to leave out the others. */
		for (size_t i = 0; i < names.n; i++)
			if (confirm_device(&run, &names.v[i]) != STATUS_DONE)
				status = STATUS_FAILED;
	}
	if (run.list) {
		o = json_object_new_object();
		(void)json_object_object_add(o, "devices", run.list);
		json_output_print(cli, o);
	}
	service_client_done(&run.client);
	return status;
}
