/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The other members of a device's IOMMU group, about which the policy decides as well. */
#pragma once

#include "policy/decide.h"
#include "sysfs/sysfs.h"

#include <stdbool.h>
#include <stdint.h>

/* Whether its group has other members that have a driver_override. */
bool group_has_other_members(struct sysfs_device *d);

/*
 * Enforces what the policy says about them, as apply_decision() does: nothing is unbound. What a decision for
 * the sake of the group had set is cleared where there is none any more. All that may sleep runs in children;
 * one that does not come back holds up no other member, and the member that it waits for is stuck. Ends
 * before `deadline` (now_usec()). 0 or negative errno.
 */
int group_enforce(const struct policy *policy, struct sysfs_device *d, uint64_t deadline);

/*
 * Asks all members, in children, what the policy needs to know to decide about the group. One that does not
 * answer is unreadable from then on: a decision goes without it, as in a sweep. 0 or negative errno.
 */
int group_ask_members(const struct policy *policy, struct sysfs_device *d, uint64_t deadline);

/*
 * Whether there is anything to enforce about them. Asks members what the policy needs to know of them, which
 * may sleep unless they have been asked already.
 */
bool group_is_affected(const struct policy *policy, struct sysfs_device *d);
