/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Places in which there is another device than a rule means; see taken-places.h. */
#include "cli/taken-places.h"
#include "base/array.h"
#include "policy/match.h"
#include "policy/policy.h"
#include "policy/policy-in-force.h"
#include "sysfs/sysfs.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

static int taken_places_add(struct taken_places *places, const struct sysfs_device *d,
			    const struct rule *rule)
{
	int r = array_reserve(places->v, places->allocated, places->n);
	struct taken_place place;

	if (r < 0)
		return r;
	place = (struct taken_place){
		.bus = arena_strdup(&places->arena, d->bus),
		.name = arena_strdup(&places->arena, d->name),
		.rule = arena_strdup(&places->arena, rule->label),
		.source = arena_printf(&places->arena, "%s:%u", rule->file, rule->line),
	};
	if (!place.bus || !place.name || !place.rule || !place.source)
		return -ENOMEM;
	places->v[places->n++] = place;
	return 0;
}

/* In the order of the rules, and the devices of each as sysfs_enumerate() has them. */
static int taken_places_find_all(struct taken_places *places, const struct policy *policy,
				 struct sysfs_device *const *v, size_t n)
{
	const struct condition *unmet;
	int r = 0;

	for (size_t k = 0; k < policy->n_rules; k++) {
		const struct rule *rule = policy->rules[k];

		if (!rule_names_place_and_device(rule))
			continue;
		for (size_t i = 0; r >= 0 && i < n; i++)
			if (rule_means_another_device(rule, &v[i]->device, &unmet))
				r = taken_places_add(places, v[i], rule);
	}
	return r;
}

static bool policy_names_places(const struct policy *policy)
{
	for (size_t k = 0; k < policy->n_rules; k++)
		if (rule_names_place_and_device(policy->rules[k]))
			return true;
	return false;
}

int taken_places_find(struct taken_places *places, const struct settings *settings)
{
	_cleanup_(policy_freep) struct policy *policy = NULL;
	struct sysfs_device **v = NULL;
	struct sysfs sysfs;
	size_t n = 0;
	int r;

	*places = (struct taken_places){};
	r = policy_load_settled(settings, &policy);
	if (r < 0 || !policy_names_places(policy))
		return r < 0 ? r : 0;
	sysfs_init(&sysfs, settings);
	sysfs.settled = true;
	r = sysfs_enumerate(&sysfs, &v, &n);
	if (r >= 0)
		r = taken_places_find_all(places, policy, v, n);
	if (v)
		sysfs_devices_free(v, n);
	sysfs_done(&sysfs);
	return r;
}

void taken_places_done(struct taken_places *places)
{
	free(places->v);
	arena_done(&places->arena);
}
