/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* overridectl set DEVICE DRIVER: a rule of the service's own for one device, enforced at once. */
#include "cli/change.h"
#include "cli/cli.h"
#include "cli/device-names.h"

#include <stdio.h>

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
	return status;
}
