/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the checks of the lint share; see lint-run.h. */
#include "cli/lint-run.h"
#include "base/array.h"
#include "base/text.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

static void lint_add(struct lint_run *run, struct lint_findings *to, const char *file, unsigned line,
		     const char *text)
{
	if (!file || !text || array_reserve(to->v, to->allocated, to->n) < 0) {
		run->r = -ENOMEM;
		return;
	}
	to->v[to->n++] = (struct policy_error){ file, line, text };
}

void lint_warn_of_file(struct lint_run *run, const char *file, const char *text)
{
	lint_add(run, &run->lint->warnings, file, 0, text);
}

void lint_warn(struct lint_run *run, const struct rule *rule, const char *text)
{
	if (rule)
		lint_add(run, &run->lint->warnings, rule->file, rule->line, text);
}

void lint_refuse(struct lint_run *run, const struct rule *rule, const char *text)
{
	if (rule)
		lint_add(run, &run->lint->errors, rule->file, rule->line, text);
}

size_t lint_group_size(const struct lint_run *run, size_t first)
{
	const struct sysfs_device *d = run->devices[first].d;

	return d->n_members > 0 ? d->n_members : 1;
}

bool lint_device_is_taken(const struct lint_device *device)
{
	const struct decision *decision = &device->decision;

	return (decision->kind == DECISION_NONE || decision->kind == DECISION_DRIVER) &&
	       !streq(device->driver, decision->driver);
}

const char *lint_device_final_driver(const struct lint_device *device, const char *otherwise)
{
	switch (device->decision.kind) {
	case DECISION_NONE:
		return "";
	case DECISION_DRIVER:
		return device->decision.driver;
	case DECISION_NOTHING:
	case DECISION_LEFT:
	case DECISION_BRIDGE:
	case DECISION_UNKNOWN:
	case DECISION_DEFAULT:
		break;
	}
	return otherwise;
}
