/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A policy together with what the guard derives from it, and the devices that were present at boot. It never
 * changes once it is loaded: when files change, another snapshot takes its place, and the old one is freed
 * when its last user gives it back.
 */
#pragma once

#include "base/arena.h"
#include "base/array.h"
#include "guard/hold-filter.h"
#include "policy/policy-digest.h"
#include "policy/policy.h"
#include "state/boot-devices.h"

#include <stdatomic.h>

struct policy_snapshot {
	atomic_int n_refs;
	struct policy *policy;
	struct arena arena;
	struct strings buses; /* those with devices that the policy can match; see buses.h */
	struct hold_filter filter;
	struct boot_devices present;
	char digest[POLICY_DIGEST_SIZE];
};

/* Reads the policy, with one reference, which the caller owns. NULL without memory. */
struct policy_snapshot *policy_snapshot_load(const struct settings *settings);

/* One more reference; returns its argument. NULL is fine. */
struct policy_snapshot *policy_snapshot_ref(struct policy_snapshot *p);

/* Gives one reference back. Always NULL. */
struct policy_snapshot *policy_snapshot_unref(struct policy_snapshot *p);

static inline void policy_snapshot_unrefp(struct policy_snapshot **p)
{
	policy_snapshot_unref(*p);
}
