/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the policy says about a device: the decision.
 *
 * A device's own rule is the first that matches it. A device without one takes the Group= of the first
 * rule that matches a member of its IOMMU group; bridges never do. A decision follows from policy,
 * topology and the boot's first sweep alone, so every program that asks gets the same answer.
 */
#pragma once

#include "base/macro.h"
#include "policy/match.h"
#include "policy/policy.h"

#include <stdbool.h>
#include <stddef.h>

enum decision_kind {
	DECISION_NOTHING, /* not to be touched */
	DECISION_UNKNOWN, /* depends on a fact that is not known yet: missing says which */
	DECISION_NONE,	  /* no driver may bind */
	DECISION_DRIVER,  /* this driver and no other */
	DECISION_DEFAULT, /* the device's own driver */
};

enum decision_cause {
	CAUSE_RULE,  /* the device's own rule */
	CAUSE_GROUP, /* Group= of a rule that matches another member, or did when it was here */
};

struct decision {
	struct device *device;
	enum decision_kind kind;
	enum decision_cause cause;
	const struct rule *rule; /* whence; NULL with DECISION_NOTHING, but see left */
	bool left_at_boot;  /* DECISION_NOTHING although the group is held: the device was there at the boot's
		       first  sweep */
	bool group_unknown; /* the group is not known yet: the group may still decide */
	enum fact missing;  /* with DECISION_UNKNOWN; FACT_COUNT: the group */
	char driver[DRIVER_NAME_MAX + 1]; /* what to write: a driver's name, "none", or "" */
	const char *module; /* that has the driver; NULL: found from aliases and the driver's name */
	/* Companions in the group that the same policy decides about; each has no members of its own. */
	struct decision *members;
	size_t n_members;
};

/*
 * What the device's own rule says, without a look at its group, whose other members may be slow to answer.
 * DECISION_NOTHING when it has none.
 */
void policy_decide_own(const struct policy *policy, struct device *device, struct decision *ret);

/*
 * Decides about a device and the companions in its group. 0, or -ENOMEM. Free with decision_done(); rules
 * belong to the policy, devices to whoever made them and to be kept until then.
 */
_must_check_ int policy_decide(const struct policy *policy, struct device *device, struct decision *ret);

/*
 * Decides about all members of one group at once, into n decisions; linear in members. One without a group is
 * the only member of its own.
 */
void policy_decide_group(const struct policy *policy, struct device *const *members, size_t n,
			 struct decision *ret);

void decision_done(struct decision *decision);

/* One rule that matches a device, or may do so once a missing fact is known. */
struct rule_hit {
	const struct rule *rule;
	enum match match;
	enum fact missing;
};

/* All rules that match, in order; the first with MATCH_YES is the device's own. *ret is malloc()ed. */
_must_check_ int policy_explain(const struct policy *policy, struct device *device, struct rule_hit **ret,
				size_t *ret_n);

/* "none", "default", the driver's name, "unknown" or "": as `Decision` on the bus has it. */
const char *decision_text(const struct decision *decision);
