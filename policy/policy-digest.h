/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A digest of the policy files: two sets of files with the same digest are the same policy. It tells whether
 * a boot image has the policy of the disk, and whether a policy is one that has failed. It is made from the
 * files' names, in which they are ordered, and from what is in them, and not from the folders that they are
 * in: a copy of all files elsewhere is the same policy.
 *
 * FNV-1a in 64 bits, as base/hash.h has it. Nobody has to be kept from making two policies with one digest:
 * whoever can write policy files controls the machine anyhow.
 */
#pragma once

#include "base/macro.h"
#include "policy/policy.h"
#include "policy/settings.h"

/* 16 hexadecimal digits. */
#define POLICY_DIGEST_SIZE 17

/*
 * Of the files that a policy was read from, as they were then; one with errors is read again. A file that
 * cannot be read differs from any that can.
 */
void policy_digest_of(const struct policy *policy, char buf[static POLICY_DIGEST_SIZE]);

/* Of the files that are there in this scope. 0; -ENOMEM; -EIO: a directory could not be listed. */
_must_check_ int policy_digest_find(const struct settings *settings, enum policy_scope scope,
				    char buf[static POLICY_DIGEST_SIZE]);

/* The policy of this scope alone, without last good copies of its files. 0 or -ENOMEM. */
_must_check_ int policy_load_scope(const struct settings *settings, enum policy_scope scope,
				   struct policy **ret);
