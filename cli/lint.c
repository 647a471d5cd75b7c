/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Valid policy that is probably wrong on this machine; see lint.h. */
#include "cli/lint.h"
#include "base/arena.h"
#include "base/array.h"
#include "base/macro.h"
#include "base/text.h"
#include "cli/critical-devices.h"
#include "policy/decide.h"
#include "sysfs/binding.h"
#include "sysfs/iommu.h"
#include "sysfs/sysfs.h"
#include "policy/vfio-driver.h"

#include <errno.h>
#include <libkmod.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

struct lint_run {
	struct lint *warnings;
	const struct policy *policy;
	struct sysfs sysfs;
	struct sysfs_device **devices;
	size_t n_devices;
	int r;
};

static void lint_add(struct lint_run *c, const struct rule *rule, const char *text)
{
	struct lint *w = c->warnings;

	if (!text || array_reserve(w->v, w->allocated, w->n) < 0) {
		c->r = -ENOMEM;
		return;
	}
	w->v[w->n++] = (struct policy_error){ rule->file, rule->line, text };
}

static bool module_exists(struct kmod_ctx *kmod, const char *name)
{
	struct kmod_list *list = NULL;
	bool found = kmod && kmod_module_new_from_lookup(kmod, name, &list) >= 0 && list;

	kmod_module_unref_list(list);
	return found;
}

static void lint_unknown_driver(struct lint_run *c, struct kmod_ctx *kmod, const struct rule *rule,
				const char *key, const char *driver)
{
	/* A module of another name may have the driver: then Module= names it, and it is looked up instead.
	 */
	if (driver_is_registered_anywhere(c->sysfs.root, driver) ||
	    module_exists(kmod, rule->module ? rule->module : driver))
		return;
	lint_add(
		c, rule,
		arena_printf(&c->warnings->arena,
			     "%s=%s: no such driver is registered, and no module of the name %s is installed",
			     key, driver, rule->module ? rule->module : driver));
}

static void lint_unknown_drivers(struct lint_run *c)
{
	struct kmod_ctx *kmod = kmod_new(NULL, NULL);

	if (kmod)
		(void)kmod_load_resources(kmod);
	for (size_t i = 0; i < c->policy->n_rules; i++) {
		const struct rule *rule = c->policy->rules[i];

		if (rule->driver.kind == DRIVER_NAMED)
			lint_unknown_driver(c, kmod, rule, "Driver", rule->driver.name);
		if (rule->group == GROUP_GIVE && rule->group_driver.kind == DRIVER_NAMED)
			lint_unknown_driver(c, kmod, rule, "Group", rule->group_driver.name);
	}
	kmod_unref(kmod);
}

static bool texts_are_equal(const char *a, const char *b)
{
	return a == b || (a && b && streq(a, b));
}

static bool condition_has_pattern(const struct condition *c, const struct pattern *wanted)
{
	for (const struct pattern *p = c->any; p; p = p->next)
		if (streq(p->text, wanted->text) || streq(p->text, "*"))
			return true;
	return false;
}

/* Whether `earlier` matches all that `later` matches: each of its conditions is at least as wide. */
static bool rule_covers(const struct rule *earlier, const struct rule *later)
{
	for (const struct condition *wide = earlier->conditions; wide; wide = wide->next) {
		bool found = false;

		for (const struct condition *c = later->conditions; c && !found; c = c->next) {
			if (c->fact != wide->fact || !texts_are_equal(c->attr, wide->attr))
				continue;
			found = true;
			for (const struct pattern *p = c->any; p && found; p = p->next)
				found = condition_has_pattern(wide, p);
		}
		if (!found)
			return false;
	}
	return true;
}

/* The rule that decides about the devices that `rule` matches; NULL: it decides about one of them itself. */
static const struct rule *lint_winner_on_this_machine(const struct lint_run *c, const struct rule *rule)
{
	const struct rule *winner = NULL;

	for (size_t i = 0; i < c->n_devices; i++) {
		struct decision decision;

		if (rule_match(rule, &c->devices[i]->device, NULL) != MATCH_YES)
			continue;
		policy_decide_own(c->policy, &c->devices[i]->device, &decision);
		if (decision.rule == rule)
			return NULL;
		winner = decision.rule;
	}
	return winner;
}

static void lint_unreached_rules(struct lint_run *c)
{
	for (size_t i = 0; i < c->policy->n_rules; i++) {
		const struct rule *rule = c->policy->rules[i], *earlier = NULL;

		for (size_t k = 0; k < i && !earlier; k++)
			if (rule_covers(c->policy->rules[k], rule))
				earlier = c->policy->rules[k];
		if (!earlier)
			earlier = lint_winner_on_this_machine(c, rule);
		if (earlier)
			lint_add(c, rule,
				 arena_printf(&c->warnings->arena,
					      "[device %s] is never reached: %s:%u [device %s] decides first",
					      rule->label, earlier->file, earlier->line, earlier->label));
	}
}

/* Whether the device would lose the driver that it works with now. */
static bool device_is_taken_away(const struct sysfs_device *d, const struct decision *decision)
{
	char driver[256];

	if (decision->kind != DECISION_NONE && decision->kind != DECISION_DRIVER)
		return false;
	bound_driver(d, driver, sizeof(driver));
	return !streq(driver, decision->driver);
}

static void lint_critical_devices(struct lint_run *c, const struct settings *settings)
{
	_cleanup_(critical_devices_done) struct critical_devices critical_devices = {};
	size_t cards = 0, caught = 0;
	const struct rule *last = NULL;

	if (critical_devices_find(&critical_devices, settings) < 0)
		return; /* nothing critical was found: a mock tree, for example */

	for (size_t i = 0; i < c->n_devices; i++) {
		struct sysfs_device *d = c->devices[i];
		struct decision decision;
		bool taken;

		if (policy_decide(c->policy, &d->device, &decision) < 0) {
			c->r = -ENOMEM;
			return;
		}
		taken = device_is_taken_away(d, &decision);
		decision_done(&decision);
		if (taken && critical_devices_has_root_disk(&critical_devices, d->devpath))
			lint_add(c, decision.rule,
				 arena_printf(
					 &c->warnings->arena,
					 "[device %s] takes %s %s away from its driver, and the root file "
					 "system is on it",
					 decision.rule->label, d->bus, d->name));
		if (critical_devices_has_network(&critical_devices, d->devpath)) {
			cards++;
			caught += taken;
			last = taken ? decision.rule : last;
		}
	}
	if (cards > 0 && caught == cards)
		lint_add(c, last,
			 arena_printf(&c->warnings->arena,
				      "[device %s] leaves the machine without a network card: %s",
				      last->label,
				      cards == 1 ? "it takes the only one" : "it takes the last one"));
}

/* For each rule, names the first of its devices that VFIO would refuse or could not isolate. */
static void lint_missing_iommu(struct lint_run *c)
{
	_cleanup_(freep) bool *warned = calloc(c->policy->n_rules + 1, sizeof(*warned));

	if (!warned)
		c->r = -ENOMEM;
	for (size_t i = 0; warned && i < c->n_devices; i++) {
		struct sysfs_device *d = c->devices[i];
		struct decision decision;
		enum iommu iommu;
		const char *text;

		policy_decide_own(c->policy, &d->device, &decision);
		if (decision.kind != DECISION_DRIVER || !driver_is_vfio(decision.driver) ||
		    warned[decision.rule->order])
			continue;
		/* A group that is made later is no fault. */
		iommu = sysfs_device_iommu(d);
		text = iommu_consequence(iommu);
		if (!text || iommu == IOMMU_LATER)
			continue;
		warned[decision.rule->order] = true;
		lint_add(c, decision.rule,
			 arena_printf(&c->warnings->arena, "[device %s] gives %s %s to %s, but %s",
				      decision.rule->label, d->bus, d->name, decision.driver, text));
	}
}

int lint_find(struct lint *warnings, const struct settings *settings, const struct policy *policy)
{
	struct lint_run c = { .warnings = warnings, .policy = policy };

	sysfs_init(&c.sysfs, settings);
	c.sysfs.settled = true;
	if (sysfs_enumerate(&c.sysfs, &c.devices, &c.n_devices) == -ENOMEM)
		return -ENOMEM;
	if (!settings->sysfs_given)
		lint_unknown_drivers(&c);
	lint_unreached_rules(&c);
	lint_critical_devices(&c, settings);
	lint_missing_iommu(&c);
	sysfs_devices_free(c.devices, c.n_devices);
	sysfs_done(&c.sysfs);
	return c.r;
}

void lint_done(struct lint *warnings)
{
	free(warnings->v);
	arena_done(&warnings->arena);
	*warnings = (struct lint){};
}
