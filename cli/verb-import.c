/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* overridectl import SOURCE: rules for what other ways of choosing drivers have been told. */
#include "base/text.h"
#include "cli/cli.h"
#include "cli/import-plan.h"
#include "cli/near-miss.h"
#include "cli/terminal.h"

#include <stddef.h>
#include <stdio.h>

static const struct {
	const char *name;
	int (*read)(struct import_plan *plan, char *const *args, size_t n);
} sources[] = {
	{ "driverctl", import_driverctl },
	{ "modprobe", import_modprobe },
	{ "libvirt", import_libvirt },
	{ "adopt", import_adopt },
};

static int import_run(struct import_plan *plan)
{
	int status = STATUS_DONE;

	if (import_plan_new(plan) > 0)
		status = import_plan_check_or_fail(plan);
	if (status != STATUS_DONE)
		return status;
	if (plan->findings.errors.n > 0)
		status = STATUS_FAILED;
	else if (plan->cli->option[VERB_WRITE] && import_plan_new(plan) > 0)
		status = import_plan_write_or_fail(plan);
	terminal_start_pager(plan->cli);
	import_plan_print(plan);
	if (plan->findings.errors.n > 0)
		(void)cli_fail("nothing is written, since the policy would have an error");
	return status;
}

int verb_import(const struct cli *cli, char *const *args, size_t n)
{
	static struct import_plan plan; /* has several paths in it */
	size_t i = 0;
	int status;

	while (i < ELEMENTSOF(sources) && !streq(sources[i].name, args[0]))
		i++;
	if (i == ELEMENTSOF(sources))
		return cli_fail_usage(
			"%s: nothing is imported from there, but from driverctl, modprobe, libvirt "
			"and adopt (overrides that stand now)",
			args[0]);
	status = import_plan_open_or_fail(&plan, cli, sources[i].name);
	if (status == STATUS_DONE)
		status = sources[i].read(&plan, args + 1, n - 1);
	if (status == STATUS_DONE)
		status = plan.r < 0 ? cli_fail("out of memory") : import_run(&plan);
	import_plan_done(&plan);
	return status;
}
