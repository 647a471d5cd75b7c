/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* overridectl unset DEVICE: removes what `set` wrote, and gives the device back. */
#include "base/path.h"
#include "base/text.h"
#include "cli/change.h"
#include "cli/cli.h"
#include "cli/device-names.h"
#include "cli/set-file.h"
#include "cli/shown-command.h"

#include <stdio.h>

/* A command for the device, which the caller ends. */
static void unset_print_command(const struct cli *cli, const struct device_row *row, const char *what_for,
				const char *verb)
{
	(void)fprintf(stderr, "%s: ", what_for);
	shown_command_begin(stderr, cli, verb);
	shown_command_add_device(stderr, row->field[ROW_BUS], row->field[ROW_NAME]);
}

/*
 * The service has refused, since a rule that it was not asked to remove decides: how to go on. Where `set`
 * wrote that rule, in another place or in another way, the name of its file tells which.
 */
static void unset_print_way_out(const struct cli *cli, const struct device_row *row)
{
	const char *file = path_last(row->field[ROW_SOURCE]);
	const char *beaten = set_file_beaten_where(row->field[ROW_SOURCE]);
	const char *set = startswith(file, SET_FILE), *run = startswith(file, SET_FILE_RUNTIME);
	const char *key = set ? set : run;

	if (key)
		key = startswith(key, row->field[ROW_BUS]);
	if (key) {
		unset_print_command(cli, row, "To remove it", "unset");
		(void)fprintf(stderr, "%s%s\n", run ? " --runtime" : "",
			      startswith(key, "-path-") ? " --by=path"
			      : startswith(key, "-id-") ? " --by=id"
							: "");
	} else if (beaten) {
		(void)fprintf(stderr, "It stands before all that set writes, so it has to be changed %s.\n",
			      beaten);
		unset_print_command(cli, row, "To give the device back until the next boot", "release");
		(void)fputc('\n', stderr);
	} else {
		unset_print_command(cli, row, "To exempt the device", "set");
		(void)fputs(" default\n", stderr);
	}
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
		unset_print_way_out(cli, &change.before);
	return status;
}
