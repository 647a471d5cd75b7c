/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The last good copy of each policy file (STATE_DIR/policy), which policy_load() reads where the file has
 * become faulty; and which version of a faulty file has been logged (STATE_DIR/errors).
 */
#pragma once

#include "policy/policy.h"

/*
 * Copies each file that is good, settled and not yet copied in this version, and deletes the copies of files
 * that are gone (unless a directory could not be listed). The errors of each other file are logged, once for
 * each of its versions, by whichever program finds them first. Trouble here is logged, never returned: a full
 * /run must not stop enforcement.
 */
void policy_copies_update(const char *state_dir, const struct policy *policy);

/* Logs that a policy directory cannot be listed, once as long as that is so. */
void policy_incomplete_log_once(const char *state_dir, const struct policy *policy);

/* Removes copies and notices of files that no longer exist. */
void policy_copies_clean(const char *state_dir, const struct policy *policy);
