/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the policy says about a device; see decide.h. */
#include "policy/decide.h"
#include "base/arena.h"
#include "base/macro.h"
#include "base/text.h"
#include "policy/rule-index.h"
#include "policy/vfio-driver.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The first rule in order that matches or may match; NULL: none. */
static const struct rule *policy_first_match(const struct policy *policy, struct device *device,
					     enum match *ret, struct missing *reterr_missing)
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
 * *reterr_missing is what must be known to tell. The device keeps the answer, since a group asks for
 * that of every member.
 */
static int device_own_rule(const struct policy *policy, struct device *device, const struct rule **ret,
			   struct missing *reterr_missing)
{
	enum match match;

	if (device->own_policy != policy || device->own_serial != policy->serial) {
		device->own_policy = policy;
		device->own_serial = policy->serial;
		device->own = policy_first_match(policy, device, &match, &device->own_missing);
		device->own_rule_result = device->own && match == MATCH_UNKNOWN ? -EAGAIN : 0;
	}
	*ret = device->own;
	*reterr_missing = device->own_missing;
	return device->own_rule_result;
}

static void decision_set_unknown(struct decision *d, const struct rule *rule, const struct missing *missing)
{
	d->kind = DECISION_UNKNOWN;
	d->rule = rule;
	d->missing = *missing;
}

static void decision_set_unknown_in_words(struct decision *d, const struct rule *rule, const char *what,
					  int error)
{
	decision_set_unknown(d, rule, &(struct missing){ .fact = FACT_COUNT, .what = what, .error = error });
}

/*
 * What `vfio` means. The modules' aliases tell; where they are gone (the kernel's package was upgraded, a
 * minimal boot image), that changes nothing for a device that has its driver. One that has none gets the
 * plain driver, since that, too, keeps the host's driver off.
 */
static void decision_choose_vfio(const struct policy *policy, struct decision *d)
{
	char kept[DRIVER_NAME_MAX + 1];
	int r;

	d->kind = DECISION_DRIVER;
	d->vfio_unknown = vfio_drivers_choose(policy->vfio, d->device, d->driver, &d->module);
	if (!d->vfio_unknown)
		return;
	r = d->device->ops->vfio_driver(d->device, rule_id(d->rule), kept);
	if (r < 0) {
		decision_set_unknown_in_words(d, d->rule, "the record of the device", r);
		d->driver[0] = '\0';
	} else if (r > 0) {
		(void)strcpy(d->driver, kept);
		d->module = NULL;
		d->vfio_kept = true;
	}
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
		decision_choose_vfio(policy, d);
		break;
	case DRIVER_UNSET:
		break;
	}
}

static void decision_set_held(const struct policy *policy, struct decision *d)
{
	static const struct driver_choice none = { .kind = DRIVER_NONE };
	int r = d->device->ops->was_present(d->device);

	/*
	 * If no sweep can tell what was present at boot, leave the device alone: a non-viable group does less
	 * harm than unbinding a disk in use. An error is another matter: a device that was given `none` is
	 * not to be released for it.
	 */
	if (r < 0 && r != -ENODATA)
		decision_set_unknown_in_words(d, d->rule, "what was present at boot", r);
	else if (r != 0)
		d->kind = DECISION_LEFT;
	else
		decision_choose_driver(policy, d, &none);
}

/* What the group's rule means for a companion, that is, a member without a rule of its own. */
static void decision_set_from_group(const struct policy *policy, struct decision *d, const struct rule *rule)
{
	int r;

	if (rule->group == GROUP_LEAVE)
		return;
	/* This is asked last: it means reading a file of the device. */
	r = d->device->ops->is_bridge(d->device);
	if (r > 0) {
		d->kind = DECISION_BRIDGE;
		return;
	}
	d->cause = CAUSE_GROUP;
	d->rule = rule;
	if (r < 0) {
		decision_set_unknown_in_words(d, rule, "whether it is a bridge", r);
		return;
	}
	switch (rule->group) {
	case GROUP_LEAVE:
	case GROUP_UNSET:
		break;
	case GROUP_HOLD:
		decision_set_held(policy, d);
		break;
	case GROUP_GIVE:
		decision_choose_driver(policy, d, &rule->group_driver);
		break;
	}
}

/* The rules that a group follows: the earliest that matches a member, and the earliest that may match one. */
struct group_rules {
	const struct rule *first, *perhaps;
	struct missing missing; /* for `perhaps` */
};

static void group_find_rules(const struct policy *policy, struct device *const *members, size_t n,
			     struct group_rules *ret)
{
	*ret = (struct group_rules){};
	for (size_t i = 0; i < n; i++) {
		const struct rule *own;
		struct missing missing;
		bool is_certain = device_own_rule(policy, members[i], &own, &missing) == 0;

		if (!own)
			continue;
		if (is_certain && (!ret->first || own->order < ret->first->order))
			ret->first = own;
		if (!is_certain && (!ret->perhaps || own->order < ret->perhaps->order)) {
			ret->perhaps = own;
			ret->missing = missing;
		}
	}
}

void policy_decide_own(const struct policy *policy, struct device *device, struct decision *ret)
{
	const struct rule *own;
	struct missing missing;
	int r = device_own_rule(policy, device, &own, &missing);

	*ret = (struct decision){ .device = device, .rule = own, .missing.fact = FACT_COUNT };
	if (r < 0) {
		decision_set_unknown(ret, own, &missing);
	} else if (own) {
		decision_choose_driver(policy, ret, &own->driver);
		if (own->module)
			ret->module = own->module;
	}
}

/* A member without a rule of its own. */
static void decision_set_companion(const struct policy *policy, const struct group_rules *group, size_t n,
				   struct decision *d)
{
	const struct rule *rule = group->first, *perhaps = group->perhaps, *kept;
	uint64_t kept_id = 0;
	int r = d->device->ops->kept_rule(d->device, &kept_id);

	/* What a member that has gone brought the device stays until policy changes. */
	kept = r >= 0 && kept_id ? policy_find_rule(policy, kept_id) : NULL;
	if (kept && (!rule || kept->order < rule->order))
		rule = kept;
	if (rule && r < 0) {
		d->cause = CAUSE_GROUP;
		decision_set_unknown_in_words(d, rule, "the record of the device", r);
	} else if (perhaps && (!rule || (perhaps->order < rule->order && group->missing.error != -EAGAIN))) {
		/* But a member that hangs does not keep its group from a rule that is certain. */
		if (d->device->ops->is_bridge(d->device) > 0)
			d->kind = DECISION_BRIDGE;
		else {
			d->cause = CAUSE_GROUP;
			decision_set_unknown(d, perhaps, &group->missing);
		}
	} else if (rule)
		decision_set_from_group(policy, d, rule);
	else if (n == 1)
		d->group_unknown = d->device->ops->group_may_come(d->device) &&
				   d->device->ops->is_bridge(d->device) == 0;
}

void policy_decide_group(const struct policy *policy, struct device *const *members, size_t n,
			 struct decision *ret)
{
	struct group_rules group = {};

	if (n > 1)
		group_find_rules(policy, members, n, &group);
	for (size_t i = 0; i < n; i++) {
		policy_decide_own(policy, members[i], &ret[i]);
		if (!ret[i].rule && policy->has_groups)
			decision_set_companion(policy, &group, n, &ret[i]);
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
		struct missing missing = { .fact = FACT_COUNT };
		enum match m = rule_match(policy->rules[i], device, &missing);

		if (m != MATCH_NO)
			v[n++] = (struct rule_hit){ policy->rules[i], m, missing };
	}
	*ret = TAKE_PTR(v);
	*ret_n = n;
	return 0;
}

void missing_text(const struct missing *missing, const char *of, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%s%s%s %s%s", missing->what ? missing->what : fact_key(missing->fact),
		       missing->attr ? missing->attr : "", missing->what ? "" : of,
		       missing->error != -EAGAIN ? "cannot be read: "
		       : missing->what		 ? "is not known yet"
						 : "cannot be compared yet",
		       missing->error != -EAGAIN ? strerror(-missing->error) : "");
}

void decision_missing_text(const struct decision *decision, char *buf, size_t size)
{
	char source[PATH_MAX], of[PATH_MAX + sizeof(" of ")];

	rule_source(decision->rule, source, sizeof(source));
	(void)snprintf(of, sizeof(of), " of %s", source);
	missing_text(&decision->missing, of, buf, size);
}

void decision_vfio_note(const struct decision *decision, char buf[static DECISION_NOTE_MAX])
{
	buf[0] = '\0';
	if (decision->kind == DECISION_DRIVER && decision->vfio_unknown)
		(void)snprintf(buf, DECISION_NOTE_MAX,
			       "which VFIO driver was made for it is not known: %s; %s %.127s%s",
			       decision->vfio_unknown, decision->vfio_kept ? "it keeps" : "it gets",
			       decision->driver, decision->vfio_kept ? "" : ", the plain one");
}

const char *decision_text(const struct decision *decision)
{
	switch (decision->kind) {
	case DECISION_NOTHING:
	case DECISION_LEFT:
	case DECISION_BRIDGE:
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
