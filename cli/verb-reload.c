/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* overridectl reload: has the service read the policy again. Status 1 where a file of it is not in force. */
#include "base/macro.h"
#include "cli/change.h"
#include "cli/cli.h"
#include "cli/json-output.h"

#include <json-c/json.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

int verb_reload(const struct cli *cli, char *const *args, size_t n)
{
	_cleanup_(service_client_done) struct service_client c = {};
	_cleanup_(message_unrefp) sd_bus_message *reply = NULL;
	struct json_object *o, *errors;
	const char *file, *text;
	size_t n_errors = 0;
	uint32_t line;
	int r = change_open_or_fail(&c, cli);

	(void)args;
	(void)n;
	if (r != STATUS_DONE)
		return r;
	r = service_call(&c, &reply, SERVICE_ROOT, SERVICE_MANAGER,
			 cli->option[VERB_RETRY] ? "RetryPolicy" : "Reload", NULL);
	if (r >= 0)
		r = sd_bus_message_enter_container(reply, 'a', "(sus)");
	if (r < 0)
		return change_fail_call(cli, &c, r);
	o = json_object_new_object();
	errors = json_object_new_array();
	while (sd_bus_message_read(reply, "(sus)", &file, &line, &text) > 0) {
		struct json_object *error = json_object_new_object();

		json_output_add(error, "file", file);
		(void)json_object_object_add(error, "line", json_object_new_int64(line));
		json_output_add(error, "text", text);
		(void)json_object_array_add(errors, error);
		(void)cli_fail("%s:%u: %s", file, line, text);
		n_errors++;
	}
	(void)json_object_object_add(o, "errors", errors);
	if (cli->json)
		json_output_print(cli, o);
	else
		json_object_put(o);
	return n_errors > 0 ? STATUS_FAILED : STATUS_DONE;
}
