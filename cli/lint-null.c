/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Devices that no policy is about, and that an override keeps from their driver all the same. */
#include "base/arena.h"
#include "base/macro.h"
#include "cli/lint-checks.h"
#include "cli/lint-run.h"
#include "cli/null-override.h"

#include <stddef.h>

void lint_null_overrides(struct lint_run *run)
{
	_cleanup_(null_override_finder_done) struct null_override_finder finder = {};

	for (size_t i = 0; i < run->n_devices; i++) {
		struct sysfs_device *d = run->devices[i].d;
		const char *driver;

		/* Where a rule decides on an override, it is written over whatever is there. */
		if (run->devices[i].driver[0] || run->devices[i].decision.kind == DECISION_DRIVER ||
		    run->devices[i].decision.kind == DECISION_NONE)
			continue;
		driver = null_override_find(&finder, d, &run->lint->arena);
		if (driver)
			lint_warn_of_file(
				run,
				/* As its own machine calls it, wherever the tree is. */
				arena_printf(&run->lint->arena, "/sys%s/driver_override", d->devpath),
				null_override_text(d, driver, &run->lint->arena));
	}
}
