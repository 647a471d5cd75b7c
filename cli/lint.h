/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lint: valid policy that is probably wrong on this machine. */
#pragma once

#include "base/arena.h"
#include "policy/policy.h"
#include "policy/settings.h"

#include <stddef.h>

struct lint {
	struct policy_error *v;
	size_t n, allocated;
	struct arena arena;
};

/*
 * Finds drivers that neither the kernel nor a module has, rules that decide about no device because earlier
 * rules match all of theirs, rules that take the root disk or the last network card away, and VFIO drivers
 * for devices without an IOMMU. 0 or -ENOMEM.
 */
int lint_find(struct lint *warnings, const struct settings *settings, const struct policy *policy);
void lint_done(struct lint *warnings);
