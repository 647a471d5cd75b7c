/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Devices as the rules of an import name them; see import-plan.h. */
#include "base/text.h"
#include "cli/import-plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sysfs_device *import_device_find(const struct import_plan *plan, const char *bus, const char *name)
{
	for (size_t i = 0; i < plan->n_devices; i++)
		if (streq(plan->devices[i]->bus, bus) && streq(plan->devices[i]->name, name))
			return plan->devices[i];
	return NULL;
}

/* Values are patterns, and spaces end them: what would be one, or a space, is matched by `?`. */
static char *value_of_name(struct import_plan *plan, const char *name)
{
	char *copy = arena_strdup(&plan->arena, name);

	for (char *c = copy; c && *c; c++)
		if (strchr("*[] \t", *c))
			*c = '?';
	return copy;
}

void import_rule_set_device(struct import_plan *plan, struct import_rule *rule, const char *bus,
			    const char *name)
{
	struct sysfs_device *d = import_device_find(plan, bus, name);

	rule->bus = value_of_name(plan, bus);
	rule->name = value_of_name(plan, name);
	rule->id = d ? device_text(&d->device, FACT_ID) : NULL;
	if (!rule->bus || !rule->name)
		plan->r = -ENOMEM;
}

const char *import_label(struct import_plan *plan, const char *text)
{
	char label[1024];
	const char *copy =
		name_escape(text, label, sizeof(label)) >= 0 ? arena_strdup(&plan->arena, label) : NULL;

	if (!copy)
		plan->r = -ENOMEM;
	return copy ? copy : "";
}
