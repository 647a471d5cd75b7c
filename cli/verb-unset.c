/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* overridectl unset DEVICE: removes what `set` wrote, and gives the device back. */
#include "base/path.h"
#include "base/text.h"
#include "cli/change.h"
#include "cli/cli.h"
#include "cli/device-names.h"
#include "cli/safe-text.h"

#include <stdio.h>

/*
 * The service has refused, since a rule that it was not asked to remove decides: how to go on. Where `set`
 * wrote that rule, in another place or in another way, the name of its file tells which (contract:
 * 10-set-BUS-KEY, 05-run-BUS-KEY).
 */
static void unset_print_way_out(const struct device_row *row)
{
	const char *file = path_last(row->field[ROW_SOURCE]);
	const char *set = startswith(file, "10-set-"), *run = startswith(file, "05-run-");
	const char *key = set ? set : run;

	(void)fputs(key ? "To remove it: overridectl unset " : "To exempt the device: overridectl set ",
		    stderr);
	safe_text_write(stderr, row->field[ROW_BUS]);
	(void)fputc('/', stderr);
	safe_text_write(stderr, row->field[ROW_NAME]);
	if (key)
		key = startswith(key, row->field[ROW_BUS]);
	if (!key)
		(void)fputs(" default\n", stderr);
	else
		(void)fprintf(stderr, "%s%s\n", run ? " --runtime" : "",
			      startswith(key, "-path-") ? " --by=path"
			      : startswith(key, "-id-") ? " --by=id"
							: "");
}

int verb_unset(const struct cli *cli, char *const *args, size_t n)
{
	_cleanup_(service_client_done) struct service_client c = {};
	_cleanup_(device_names_done) struct device_names names = {};
	_cleanup_(change_done) struct change change = { .cli = cli, .verb = "unset" };
	int status = device_name_find_or_fail(&names, cli, args, n);

	if (status == STATUS_DONE)
		status = change_open_or_fail(&c, cli);
	if (status != STATUS_DONE)
		return status;
	change.device = &names.v[0];
	status = change_call_or_fail(&change, &c, "ClearOverride");
	if (status == STATUS_DONE)
		change_print(&change, "nothing was set for it");
	else if (streq(service_error_name(&c), "Shadowed"))
		unset_print_way_out(&change.before);
	return status;
}
