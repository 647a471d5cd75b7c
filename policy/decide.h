/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the policy says about a device: the decision.
 *
 * A device's own rule is the first that matches it. A device without one takes the Group= of the first
 * rule that matches a member of its IOMMU group; bridges never do. A decision follows from policy,
 * topology and what was present at boot alone, so every program that asks gets the same answer.
 */
#pragma once

#include "base/macro.h"
#include "policy/match.h"
#include "policy/policy.h"

#include <stdbool.h>
#include <stddef.h>

enum decision_kind {
	DECISION_NOTHING, /* no rule decides about it: not to be touched */
	DECISION_LEFT,	  /* its group is held, but it was present at boot: the same */
	DECISION_BRIDGE,  /* its group has a rule, but that is not for bridges: the same */
	DECISION_UNKNOWN, /* depends on what is not known: missing says what. Nothing is written or given back
			   */
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
	const struct rule *rule; /* whence; NULL with DECISION_NOTHING and DECISION_BRIDGE */
	bool group_unknown;	 /* DECISION_NOTHING, but the group is not known yet and may still decide */
	struct missing missing;	 /* with DECISION_UNKNOWN */
	char driver[DRIVER_NAME_MAX + 1]; /* what to write: a driver's name, "none", or "" */
	const char *module; /* that has the driver; NULL: found from aliases and the driver's name */
	/*
	 * With DECISION_DRIVER by `vfio`: why it is not known which VFIO driver was made for the device, so
	 * that it has what it was given earlier or is bound to (vfio_kept), else the plain one. NULL: it is
	 * known.
	 */
	const char *vfio_unknown;
	bool vfio_kept;
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
	struct missing missing; /* with MATCH_UNKNOWN */
};

/* All rules that match, in order; the first with MATCH_YES is the device's own. *ret is malloc()ed. */
_must_check_ int policy_explain(const struct policy *policy, struct device *device, struct rule_hit **ret,
				size_t *ret_n);

/* Whether policy has nothing for the device, for whatever reason: it is not to be touched. */
static inline bool decision_is_nothing(const struct decision *decision)
{
	return decision->kind == DECISION_NOTHING || decision->kind == DECISION_LEFT ||
	       decision->kind == DECISION_BRIDGE;
}

/* With DECISION_UNKNOWN: "Attr.label of FILE:LINE cannot be read: Input/output error". */
void decision_missing_text(const struct decision *decision, char *buf, size_t size);
/* The same without the rule: "Modalias= cannot be compared yet". */
void missing_text(const struct missing *missing, const char *of, char *buf, size_t size);

#define DECISION_NOTE_MAX 384
/* What is to be said of a decision that was made without the kernel's aliases; "": nothing. */
void decision_vfio_note(const struct decision *decision, char buf[static DECISION_NOTE_MAX]);

/* "none", "default", the driver's name, "unknown" or "": as `Decision` on the bus has it. */
const char *decision_text(const struct decision *decision);
