/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Drivers for which the running kernel may refuse an override. */
#include "base/arena.h"
#include "cli/lint-checks.h"
#include "cli/lint-run.h"
#include "sysfs/override-support.h"

#include <stddef.h>

static void lint_support_of_choice(struct lint_run *run, const struct rule *rule, const char *key,
				   const struct driver_choice *choice)
{
	char hint[256];

	/* `vfio` is a driver that allows it, `none` none that could. */
	if (choice->kind != DRIVER_NAMED)
		return;
	override_support_hint(run->sysfs.root, choice->name, hint, sizeof(hint));
	if (hint[0])
		lint_warn(run, rule, arena_printf(&run->lint->arena, "%s=%s: %s", key, choice->name, hint));
}

void lint_override_support(struct lint_run *run)
{
	for (size_t i = 0; i < run->policy->n_rules; i++) {
		const struct rule *rule = run->policy->rules[i];

		lint_support_of_choice(run, rule, "Driver", &rule->driver);
		if (rule->group == GROUP_GIVE)
			lint_support_of_choice(run, rule, "Group", &rule->group_driver);
	}
}
