/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lint: valid policy that is probably wrong on this machine, or that would cost it its next boot. */
#pragma once

#include "base/macro.h"
#include "cli/lint-findings.h"
#include "policy/policy.h"
#include "policy/settings.h"

/*
 * Decides about every device once and looks at what comes of it: see CHECKS in overridectl(1). The cost is
 * linear in devices. Files beside the sysfs tree (../proc, ../etc, ../dev, ../run, ../lib/modules) are those
 * of its machine. 0 or -ENOMEM.
 */
_must_check_ int lint_find(struct lint *lint, const struct settings *settings, const struct policy *policy);
void lint_done(struct lint *lint);
