/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rules that decide about nothing: because an earlier one comes first, or because there is no such device. */
#include "base/arena.h"
#include "base/macro.h"
#include "base/text.h"
#include "cli/lint-checks.h"
#include "cli/lint-run.h"
#include "policy/match.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

static bool texts_are_equal(const char *a, const char *b)
{
	return a == b || (a && b && streq(a, b));
}

static bool condition_has_pattern(const struct condition *c, const struct pattern *wanted)
{
	for (const struct pattern *p = c->any; p; p = p->next)
		if ((p->hash == wanted->hash && streq(p->text, wanted->text)) || streq(p->text, "*"))
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

/* How a rule that decides about no device of this machine stands to its devices. */
static enum match rule_match_any(const struct lint_run *run, const struct rule *rule,
				 const struct rule **ret_winner)
{
	enum match any = MATCH_NO;

	for (size_t i = 0; i < run->n_devices; i++) {
		enum match match = rule_match(rule, &run->devices[i].d->device, NULL);
		struct decision own;

		if (match == MATCH_UNKNOWN)
			any = MATCH_UNKNOWN;
		if (match != MATCH_YES)
			continue;
		policy_decide_own(run->policy, &run->devices[i].d->device, &own);
		*ret_winner = own.rule;
		return MATCH_YES;
	}
	return any;
}

/* The device in the very place that the rule names, if it means another one there; "": none. */
static const char *rule_place_taken(const struct lint_run *run, const struct rule *rule)
{
	const struct condition *unmet;
	const char *text;

	for (size_t i = 0; i < run->n_devices; i++) {
		const struct sysfs_device *d = run->devices[i].d;

		if (!rule_means_another_device(rule, &run->devices[i].d->device, &unmet))
			continue;
		text = arena_printf(&run->lint->arena, ": %s %s is where it says, but is another", d->bus,
				    d->name);
		return text ? text : "";
	}
	return "";
}

static void lint_unused_rule(struct lint_run *run, const struct rule *rule)
{
	const struct rule *earlier = NULL;
	enum match match = MATCH_YES;

	for (size_t k = 0; k < rule->order && !earlier; k++)
		if (rule_covers(run->policy->rules[k], rule))
			earlier = run->policy->rules[k];
	if (!earlier)
		match = rule_match_any(run, rule, &earlier);
	if (earlier)
		lint_warn(run, rule,
			  arena_printf(&run->lint->arena,
				       "[device %s] is never reached: %s:%u [device %s] decides first",
				       rule->label, earlier->file, earlier->line, earlier->label));
	else if (match == MATCH_NO && run->n_devices > 0)
		lint_warn(run, rule,
			  arena_printf(&run->lint->arena, "[device %s] matches no device that is here now%s",
				       rule->label, rule_place_taken(run, rule)));
}

void lint_reach(struct lint_run *run)
{
	_cleanup_(freep) bool *decides = calloc(run->policy->n_rules + 1, sizeof(*decides));

	if (!decides) {
		run->r = -ENOMEM;
		return;
	}
	for (size_t i = 0; i < run->n_devices; i++) {
		struct decision own;

		policy_decide_own(run->policy, &run->devices[i].d->device, &own);
		if (own.rule)
			decides[own.rule->order] = true;
	}
	for (size_t i = 0; i < run->policy->n_rules; i++)
		if (!decides[i])
			lint_unused_rule(run, run->policy->rules[i]);
}
