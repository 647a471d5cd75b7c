/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which rules of a policy can match a device at all: those that name it literally, found by a hash, and those
 * that do not name devices literally. For programs that decide about many devices by one policy; one that
 * decides once is faster without.
 */
#pragma once

#include "base/macro.h"
#include "policy/policy.h"

#include <stddef.h>
#include <stdint.h>

/* Most devices need a dozen; with more their rules are compared one by one. */
#define CANDIDATE_LISTS 64

struct policy_index;
struct index_entry;

/*
 * Makes the policy's index and the ids of its rules, which live and die with it, and reads which VFIO drivers
 * there are, if a rule asks for them: all that one needs who decides often, or in a hurry. 0, or -ENOMEM: the
 * policy is as it was.
 */
_must_check_ int policy_build_index(struct policy *policy);

/* The rules that may match one device, in their order. */
struct candidates {
	const struct policy *policy;
	struct device *device;
	uint32_t next; /* the first rule that has not been looked at */
	size_t n_lists;
	struct candidate_list {
		uint32_t rule;			    /* the first of them; UINT32_MAX: none are left */
		uint32_t key;			    /* entries with another one are passed over */
		const struct index_entry *at, *end; /* in the order of rules */
		int unasked; /* a kind of rule whose fact has not been asked for; -1: none */
	} lists[CANDIDATE_LISTS];
};

void candidates_start(struct candidates *c, const struct policy *policy, struct device *device);

/*
 * The next rule that may match, NULL after the last. All rules that are left out are certain not to match:
 * rule_match() would say MATCH_NO. Asks for facts only once a rule is reached that depends on them.
 */
const struct rule *candidates_next(struct candidates *c);
