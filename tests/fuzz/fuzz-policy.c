/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any bytes as a policy file: the parser takes or refuses them, and what it takes can be matched, decided
 * and given back. What must hold for every file is checked here; what must not happen at all, the sanitizers
 * see.
 */
#include "base/macro.h"
#include "policy/decide.h"
#include "tests/unit/fixtures/fake-device.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Lines are short and rules independent of each other, so a large file shows nothing that this does not. */
#define SIZE_MOST 16384U

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void check_policy(const struct policy *policy, int r)
{
	if (r == -EINVAL) {
		/* All of a file or nothing, and never without a reason. */
		check(policy->n_rules == 0 && policy->n_errors > 0 && !policy->has_groups);
		check(policy->n_errors <= POLICY_FILE_ERRORS_MAX + 1);
		for (size_t i = 0; i < policy->n_errors; i++)
			check(*policy->errors[i].text);
		return;
	}
	check(r == 0 && policy->n_errors == 0);
	for (size_t i = 0; i < policy->n_rules; i++) {
		const struct rule *rule = policy->rules[i];

		check(*rule->label && rule->line > 0 && rule->order == i && rule->conditions);
		check(rule->driver.kind != DRIVER_UNSET && rule->group != GROUP_UNSET &&
		      rule->rebind != REBIND_UNSET);
		check((rule->driver.kind == DRIVER_NAMED) == (rule->driver.name != NULL));
		/* These become file names and words of udev. */
		check(!rule->driver.name || driver_name_is_valid(rule->driver.name));
		check(!rule->group_driver.name || driver_name_is_valid(rule->group_driver.name));
		check(!rule->label[strcspn(rule->label, "\n\r\t")]);
		check(policy_find_rule(policy, rule_id(rule)) != NULL);
	}
}

static void decide(const struct policy *policy)
{
	static struct fake v[2];
	struct fake *group[] = { &v[0], &v[1] };
	struct decision decision;

	fake_pci(&v[0], "0000:03:00.0", "10de:1b80:1043:85aa", "030000");
	fake_add(&v[0], FACT_ANCESTOR, "pci0000:00");
	fake_add(&v[0], FACT_ANCESTOR, "0000:00:1c.0");
	fake_add(&v[0], FACT_PATH, "pci0000:00/1c.0/00.0");
	fake_add(&v[0], FACT_MODALIAS, "pci:v000010DEd00001B80sv00001043sd000085AAbc03sc00i00");
	fake_add(&v[0], FACT_FIRMWARE, "\\_SB_.PCI0.GPP0");
	fake_add(&v[0], FACT_COMPATIBLE, "a,b");
	fake_add(&v[0], FACT_COMPATIBLE, "a,c");
	fake_add(&v[0], FACT_PHYSFN, "0000:03:00.1");
	fake_attr(&v[0], "numa_node", "0");
	fake_pci(&v[1], "", "", "");
	fake_unknown(&v[1], FACT_MODALIAS, -EAGAIN);
	fake_group(group, ELEMENTSOF(group));

	for (size_t i = 0; i < ELEMENTSOF(v); i++) {
		struct rule_hit *hits;
		size_t n;

		check(policy_decide(policy, &v[i].device, &decision) == 0);
		check(decision.kind != DECISION_DRIVER || driver_name_is_valid(decision.driver));
		decision_done(&decision);
		check(policy_explain(policy, &v[i].device, &hits, &n) == 0);
		check(n <= policy->n_rules);
		free(hits);
	}
	for (size_t i = 0; i < ELEMENTSOF(v); i++)
		fake_done(&v[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(policy_freep) struct policy *policy = NULL;
	_cleanup_(freep) char *text = NULL;
	int r;

	if (size > SIZE_MOST)
		return 0;
	policy = calloc(1, sizeof(*policy));
	/* As read_full() hands it over: with a NUL behind. */
	text = calloc(1, size + 1);
	if (!policy || !text)
		return 0;
	if (size)
		memcpy(text, data, size);
	r = policy_parse(policy, "fuzz.conf", text, size);
	check_policy(policy, r);
	decide(policy);
	return 0;
}
