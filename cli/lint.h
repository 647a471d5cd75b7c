/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is no error in a policy, but probably not meant: seen by comparing it with this machine. */
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
 * Drivers that neither the kernel nor a module has, rules that no device reaches because earlier ones match
 * all of theirs, rules that take the root disk or the only network card away. 0 or -ENOMEM.
 */
int lint_find(struct lint *warnings, const struct settings *settings, const struct policy *policy);
void lint_done(struct lint *warnings);
