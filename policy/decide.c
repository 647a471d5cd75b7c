/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the policy says about a device; see decide.h. */
#include "policy/decide.h"
#include "base/arena.h"
#include "base/macro.h"
#include "base/text.h"
#include "policy/rule-index.h"
#include "policy/vfio-driver.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* The first rule in order that matches or may match; NULL: none. */
static const struct rule *policy_first_match(const struct policy *policy, struct device *device,
					     enum match *ret, enum fact *reterr_missing)
{
	struct candidates c;
	size_t i = 0;

	if (policy->index)
		candidates_start(&c, policy, device);
	for (;;) {
		const struct rule *rule = policy->index		? candidates_next(&c)
					  : i < policy->n_rules ? policy->rules[i++]
								: NULL;

		if (!rule)
			return NULL;
		*ret = rule_match(rule, device, reterr_missing);
		if (*ret != MATCH_NO)
			return rule;
	}
}

/*
 * The first rule that matches; NULL: none. -EAGAIN: a rule that may match comes before all that do, and
 * *reterr_missing is the fact that must be known to tell. The device keeps the answer, since a group asks for
 * that of every member.
 */
static int device_own_rule(const struct policy *policy, struct device *device, const struct rule **ret,
			   enum fact *reterr_missing)
{
	enum match match;

	if (device->own_policy != policy || device->own_serial != policy->serial) {
		device->own_policy = policy;
		device->own_serial = policy->serial;
		device->own = policy_first_match(policy, device, &match, &device->own_unknown);
		device->own_rule_result = device->own && match == MATCH_UNKNOWN ? -EAGAIN : 0;
	}
	*ret = device->own;
	*reterr_missing = device->own_unknown;
	return device->own_rule_result;
}

static bool device_may_be_bridge(struct device *device)
{
	struct values values;

	if (device_fact(device, FACT_CLASS, NULL, &values) < 0)
		return true; /* may be one */
	return values.n > 0 && startswith(values.v[0].text, "06");
}

static void decision_choose_driver(const struct policy *policy, struct decision *d,
				   const struct driver_choice *choice)
{
	switch (choice->kind) {
	case DRIVER_NONE:
		d->kind = DECISION_NONE;
		(void)strcpy(d->driver, "none");
		break;
	case DRIVER_DEFAULT:
		d->kind = DECISION_DEFAULT;
		break;
	case DRIVER_NAMED:
		d->kind = DECISION_DRIVER;
		(void)strcpy(d->driver, choice->name); /* rule_set() saw to its length */
		break;
	case DRIVER_VFIO:
		d->kind = DECISION_DRIVER;
		vfio_drivers_choose(policy->vfio, d->device, d->driver, &d->module);
		break;
	case DRIVER_UNSET:
		break;
	}
}

/* What the group's rule means for a companion, that is, a member without a rule of its own. */
static void decision_set_from_group(const struct policy *policy, struct decision *d, const struct rule *rule)
{
	static const struct driver_choice none = { .kind = DRIVER_NONE };

	if (rule->group == GROUP_LEAVE)
		return;
	d->cause = CAUSE_GROUP;
	d->rule = rule;
	switch (rule->group) {
	case GROUP_LEAVE:
	case GROUP_UNSET:
		break;
	case GROUP_HOLD:
		/*
		 * If presence at boot is unknown, leave the device alone: a non-viable group does less harm
		 * than unbinding a disk in use.
		 */
		if (d->device->ops->was_present(d->device) != 0)
			d->left_at_boot = true;
		else
			decision_choose_driver(policy, d, &none);
		break;
	case GROUP_GIVE:
		decision_choose_driver(policy, d, &rule->group_driver);
		break;
	}
}

/* The rule that the group follows: the earliest that matches a member. */
static const struct rule *group_rule(const struct policy *policy, struct device *const *members, size_t n)
{
	const struct rule *first = NULL;

	for (size_t i = 0; i < n; i++) {
		const struct rule *own;
		enum fact missing;

		if (device_own_rule(policy, members[i], &own, &missing) == 0 && own &&
		    (!first || own->order < first->order))
			first = own;
	}
	return first;
}

void policy_decide_own(const struct policy *policy, struct device *device, struct decision *ret)
{
	const struct rule *own;
	enum fact missing;
	int r = device_own_rule(policy, device, &own, &missing);

	*ret = (struct decision){ .device = device, .rule = own, .missing = FACT_COUNT };
	if (r < 0) {
		ret->kind = DECISION_UNKNOWN;
		ret->missing = missing;
	} else if (own) {
		decision_choose_driver(policy, ret, &own->driver);
		if (own->module)
			ret->module = own->module;
	}
}

void policy_decide_group(const struct policy *policy, struct device *const *members, size_t n,
			 struct decision *ret)
{
	const struct rule *first = n > 1 ? group_rule(policy, members, n) : NULL;

	for (size_t i = 0; i < n; i++) {
		struct decision *d = &ret[i];
		const struct rule *rule = first, *kept;
		uint64_t kept_id;

		policy_decide_own(policy, members[i], d);
		if (d->rule || !policy->has_groups)
			continue;
		/* What a member that has gone brought the device stays until policy changes. */
		kept_id = members[i]->ops->kept_rule(members[i]);
		kept = kept_id ? policy_find_rule(policy, kept_id) : NULL;
		if (kept && (!rule || kept->order < rule->order))
			rule = kept;
		/* Whether it is a bridge is asked last: it means reading a file of the device. */
		if (rule && !device_may_be_bridge(members[i]))
			decision_set_from_group(policy, d, rule);
		else if (!rule && n == 1)
			d->group_unknown = members[i]->ops->group_may_come(members[i]) &&
					   !device_may_be_bridge(members[i]);
	}
}

int policy_decide(const struct policy *policy, struct device *device, struct decision *ret)
{
	struct device *alone[] = { device }, **members = alone;
	size_t n = 1, companions = 0;
	struct decision *all;

	*ret = (struct decision){};
	if (policy->has_groups) {
		int r = device->ops->group(device, &members, &n);

		if (r == -ENOMEM)
			return r;
		if (r < 0) {
			members = alone;
			n = 1;
		}
	}

	if (n == 1) {
		policy_decide_group(policy, members, n, ret);
		return 0;
	}
	all = device->scratch ? arena_alloc(device->scratch, n * sizeof(*all)) : calloc(n, sizeof(*all));
	if (!all)
		return -ENOMEM;
	policy_decide_group(policy, members, n, all);

	/* The device's own goes to the caller, the companions' follow it. */
	for (size_t i = 0; i < n; i++) {
		if (all[i].device == device)
			*ret = all[i];
		else if (all[i].cause == CAUSE_GROUP)
			all[companions++] = all[i];
	}
	ret->members = all;
	ret->n_members = companions;
	if (companions == 0)
		decision_done(ret);
	return 0;
}

void decision_done(struct decision *decision)
{
	if (decision->members && !decision->device->scratch)
		free(decision->members);
	decision->members = NULL;
	decision->n_members = 0;
}

int policy_explain(const struct policy *policy, struct device *device, struct rule_hit **ret, size_t *ret_n)
{
	_cleanup_(freep) struct rule_hit *v = calloc(policy->n_rules + 1, sizeof(*v));
	size_t n = 0;

	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < policy->n_rules; i++) {
		enum fact missing = FACT_COUNT;
		enum match m = rule_match(policy->rules[i], device, &missing);

		if (m != MATCH_NO)
			v[n++] = (struct rule_hit){ policy->rules[i], m, missing };
	}
	*ret = TAKE_PTR(v);
	*ret_n = n;
	return 0;
}

const char *decision_text(const struct decision *decision)
{
	switch (decision->kind) {
	case DECISION_NOTHING:
		return "";
	case DECISION_UNKNOWN:
		return "unknown";
	case DECISION_NONE:
		return "none";
	case DECISION_DRIVER:
		return decision->driver;
	case DECISION_DEFAULT:
		return "default";
	}
	return "";
}
