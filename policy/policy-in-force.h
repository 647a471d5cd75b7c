/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which policy is in force: that of the policy directories, or, where that has failed, the one of the last
 * boot that was complete. All programs ask here, by way of policy_load(), and so agree.
 *
 * STATE_DIR/failed-policy names a policy by its digest. As long as the policy directories have that very
 * policy, the files of STATE_DIR/last-good take their place, and that of the rules that the boot has brought
 * (BOOT_FILE_… of settings.h), since these are part of what failed. Whatever a person writes to a policy
 * directory makes another policy of it, which is in force at once; files of the runtime directory count in
 * any case.
 */
#pragma once

#include "base/macro.h"
#include "policy/policy-digest.h"
#include "policy/settings.h"

#include <stdbool.h>
#include <stddef.h>

/* Names in the state directory. */
#define FAILED_POLICY "failed-policy"
#define LAST_GOOD_FOLDER "last-good"

enum policy_failure {
	FAILURE_COUNTED, /* boots with it were not complete, as often as is waited for */
	FAILURE_NO_ROOT, /* in this boot: the root file system did not come */
};

struct failed_policy {
	char digest[POLICY_DIGEST_SIZE]; /* as of POLICY_OF_NEXT_BOOT */
	enum policy_failure failure;
};

/* 0; -ENOENT: none has failed; -EBADMSG: the file cannot be understood; other negative errno. */
_must_check_ int failed_policy_read(const char *state_dir, struct failed_policy *ret);

/* As it stands in the file; buf has room for any. */
#define FAILED_POLICY_TEXT_SIZE 64
void failed_policy_to_text(const struct failed_policy *failed, char buf[static FAILED_POLICY_TEXT_SIZE]);

/* Whether the policy of the directories is one that has failed; *ret says how. False where nobody can tell.
 */
bool policy_has_failed(const struct settings *settings, enum policy_failure *ret);

/* policy_load() for programs that nobody waits for: where files are being written, it is later
 * (policy-settled.h). */
_must_check_ int policy_load_settled(const struct settings *settings, struct policy **ret);
