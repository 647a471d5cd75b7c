/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which buses a policy can match: the kernel is made to wait for devices of these buses only. */
#pragma once

#include "base/array.h"
#include "policy/policy.h"
#include "sysfs/sysfs.h"

#include <stdbool.h>

/*
 * The buses in sysfs on which some rule may match a device, and whose devices have a driver_override file or
 * which have no device yet. The names are from the arena. 0 or negative errno.
 */
int buses_of_policy(const struct policy *policy, const char *sysfs_root, struct arena *arena,
		    struct strings *ret);

/* Whether some device of that bus has a driver_override file, or the bus has no device yet. */
bool bus_may_have_overrides(const char *sysfs_root, const char *bus);

/* Whether a rule may match a device of that bus, as far as the bus alone tells. */
bool rule_may_match_bus(const struct rule *rule, const char *bus);
