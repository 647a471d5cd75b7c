/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* overridectl set DEVICE DRIVER: a rule of the service's own for one device, enforced at once. */
#include "cli/change.h"
#include "cli/cli.h"
#include "cli/device-names.h"
#include "cli/safe-text.h"
#include "cli/trials.h"

#include <stdint.h>
#include <stdio.h>

/* That it goes back, and how to keep it; not on stdout, where JSON may be. */
static void set_print_trial(const struct change *change, struct service_client *c)
{
	const struct cli *cli = change->cli;
	uint64_t usec;

	if (cli->no_legend || service_find_trial(c, change->device->bus, change->device->name, &usec) <= 0)
		return;
	(void)fprintf(stderr, "It goes back in %s unless confirmed: overridectl confirm ",
		      cli->option[VERB_TRY]);
	safe_text_write(stderr, change->device->bus);
	(void)fputc('/', stderr);
	safe_text_write(stderr, change->device->name);
	(void)fputc('\n', stderr);
}

int verb_set(const struct cli *cli, char *const *args, size_t n)
{
	_cleanup_(service_client_done) struct service_client c = {};
	_cleanup_(device_names_done) struct device_names names = {};
	_cleanup_(change_done) struct change change = { .cli = cli, .verb = "set", .driver = args[1] };
	int status = device_name_find_or_fail(&names, cli, args, 1);

	(void)n;
	if (status == STATUS_DONE)
		status = change_open_or_fail(&c, cli);
	if (status != STATUS_DONE)
		return status;
	change.device = &names.v[0];
	status = change_call_or_fail(&change, &c, "SetOverride");
	if (status == STATUS_DONE)
		change_print(&change, "it is so already");
	if (status == STATUS_DONE && cli->option[VERB_TRY] && !cli->option[VERB_DRY_RUN])
		set_print_trial(&change, &c);
	return status;
}
