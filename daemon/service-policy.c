/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The policy in force; see service-policy.h. */
#include "daemon/service-policy.h"
#include "base/hash.h"
#include "daemon/boot-policy.h"
#include "daemon/bus/bus-signals.h"
#include "daemon/refresh/refresh.h"
#include "daemon/service-status.h"
#include "policy/rule-index.h"
#include "policy/vfio-driver.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Two policies with the same digest say the same, and in the same places. */
static uint64_t policy_digest(const struct policy *policy)
{
	uint64_t h = fnv1a(FNV_BASIS, &policy->n_rules, sizeof(policy->n_rules));

	for (size_t i = 0; i < policy->n_rules; i++) {
		uint64_t id = rule_id(policy->rules[i]);

		h = fnv1a(h, &id, sizeof(id));
		h = fnv1a(h, &policy->rules[i]->line, sizeof(policy->rules[i]->line));
	}
	for (size_t i = 0; i < policy->n_errors; i++) {
		h = fnv1a(h, policy->errors[i].file, strlen(policy->errors[i].file) + 1);
		h = fnv1a(h, &policy->errors[i].line, sizeof(policy->errors[i].line));
		h = fnv1a(h, policy->errors[i].text, strlen(policy->errors[i].text) + 1);
	}
	return h;
}

int service_load_policy(struct service *s)
{
	struct policy *policy;
	uint64_t digest, aliases = vfio_aliases_version(s->settings->sysfs);
	bool same;
	int r;

	boot_policy_update(s);
	r = policy_load(s->settings, &policy);
	if (r < 0)
		return r;
	digest = policy_digest(policy);
	same = s->policy && digest == s->digest;
	if (same && aliases == s->aliases) {
		policy_free(policy);
		return 0;
	}
	/* Each look is a process of its own: what all of them would have to prepare is there when they begin.
	 */
	r = policy_build_index(policy);
	if (r < 0) {
		policy_free(policy);
		return r;
	}
	policy_free(s->policy);
	s->policy = policy;
	s->aliases = aliases;
	if (!same) {
		s->digest = digest;
		s->generation++;
		signal_policy_reloaded(s);
	}
	/* With the same policy, it is a module that was missing and may have come. */
	if (s->announced)
		refresh_request_all(s, same ? REFRESH_AND_RETRY : REFRESH_AND_RECONCILE);
	service_tell_status(s);
	return 1;
}
