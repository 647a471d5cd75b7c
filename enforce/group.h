/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The other members of a device's IOMMU group that the policy decides about. */
#pragma once

#include "policy/decide.h"
#include "sysfs/sysfs.h"

#include <stdbool.h>
#include <stdint.h>

/* Whether the device's group has other members that have a driver_override. */
bool group_has_other_members(struct sysfs_device *d);

/*
 * Enforces what the policy says about the other members, as apply_decision() does: nothing is unbound. An
 * override that was set for the sake of the group is cleared if the group no longer asks for it. All that may
 * sleep runs in children; a child that does not come back delays no other member, and the member that it
 * waits for is recorded as stuck. Ends before `deadline` (now_usec()). 0 or negative errno.
 */
int group_enforce(const struct policy *policy, struct sysfs_device *d, uint64_t deadline);

/*
 * Reads from all members, in children, what the policy needs to decide about the group. A member that does
 * not answer is unreadable from then on: decisions are made without it, as in a sweep. 0 or negative errno.
 */
int group_ask_members(const struct policy *policy, struct sysfs_device *d, uint64_t deadline);

/*
 * Whether there is anything to enforce about the other members. Reads what the policy needs from them, which
 * may sleep unless group_ask_members() has done so already.
 */
bool group_is_affected(const struct policy *policy, struct sysfs_device *d);
