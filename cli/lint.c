/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Decides about all devices and has the checks look at it; see lint.h. */
#include "cli/lint.h"
#include "base/arena.h"
#include "base/macro.h"
#include "cli/lint-checks.h"
#include "cli/lint-run.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

/* Each group is asked once, as a whole: its members share one list, in which they stand as they do here. */
static int lint_decide(struct lint_run *run)
{
	size_t largest = 1;
	_cleanup_(freep) struct decision *decisions = NULL;

	run->devices = calloc(run->n_devices + 1, sizeof(*run->devices));
	if (!run->devices)
		return -ENOMEM;
	for (size_t i = 0; i < run->n_devices; i++) {
		run->devices[i].d = run->found[i];
		bound_driver(run->found[i], run->devices[i].driver, sizeof(run->devices[i].driver));
		if (lint_group_size(run, i) > largest)
			largest = lint_group_size(run, i);
	}
	decisions = calloc(largest, sizeof(*decisions));
	if (!decisions)
		return -ENOMEM;
	for (size_t i = 0, n; i < run->n_devices; i += n) {
		struct device *alone[] = { &run->found[i]->device };

		n = lint_group_size(run, i);
		policy_decide_group(run->policy, n > 1 ? run->found[i]->members : alone, n, decisions);
		for (size_t k = 0; k < n; k++)
			run->devices[i + k].decision = decisions[k];
	}
	return 0;
}

int lint_run_open(struct lint_run *run)
{
	sysfs_init(&run->sysfs, run->settings);
	run->sysfs.settled = true;
	run->r = sysfs_enumerate(&run->sysfs, &run->found, &run->n_devices) == -ENOMEM ? -ENOMEM : 0;
	if (run->r >= 0)
		run->r = lint_decide(run);
	return run->r;
}

void lint_run_close(struct lint_run *run)
{
	free(run->devices);
	sysfs_devices_free(run->found, run->n_devices);
	sysfs_done(&run->sysfs);
}

int lint_find(struct lint *lint, const struct settings *settings, const struct policy *policy)
{
	struct lint_run run = { .lint = lint, .settings = settings, .policy = policy };

	if (lint_run_open(&run) >= 0) {
		lint_driver_names(&run);
		lint_override_support(&run);
		lint_vfio_drivers(&run);
		lint_reach(&run);
		lint_groups(&run);
		lint_critical_devices(&run);
		lint_driverctl(&run);
		lint_null_overrides(&run);
		lint_access(&run);
		if (lint->of_disk)
			lint_boot(&run);
	}
	lint_run_close(&run);
	return run.r;
}

void lint_done(struct lint *lint)
{
	free(lint->errors.v);
	free(lint->warnings.v);
	arena_done(&lint->arena);
	*lint = (struct lint){};
}
