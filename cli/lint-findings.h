/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the lint has found, in the order of its checks. */
#pragma once

#include "base/arena.h"
#include "policy/policy.h"

#include <stdbool.h>
#include <stddef.h>

struct lint_findings {
	struct policy_error *v;
	size_t n, allocated;
};

struct lint {
	struct lint_findings errors, warnings;
	bool of_disk; /* the policy is all that the directories have: what boots make of it is looked at */
	struct arena arena;
};
