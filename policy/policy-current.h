/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether a policy that was loaded some time ago is still what policy_load() would read: asked by those who
 * work with one policy for longer than a file may take to change.
 */
#pragma once

#include "policy/policy.h"
#include "policy/settings.h"

#include <stdbool.h>

/*
 * Compares the directories and the files with what they were when the policy was loaded. What cannot be told
 * that way, because something was changed right before, or because a file has errors, counts as changed.
 */
bool policy_is_current(const struct policy *policy, const struct settings *settings);
