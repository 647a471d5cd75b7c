/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Boots, counted until one is complete: a policy with which none was, as often as BOOT_ATTEMPTS_MAX says, has
 * failed, and the last good one is put in its place (policy/policy-in-force.h).
 *
 * Of what lasts (LASTING_DIR), the file `boots` has the digest of the last good policy, of the one that is
 * being tried, and how many boots have begun with it; `policies/DIGEST` has the files of the good one. In the
 * state directory, `boot-policy` names the policy with which this boot has begun, and `booted` has its files:
 * what is changed later in the boot has not been booted with.
 *
 * A digest here is of the policy as a boot begins with it, so with the rules of the kernel command line and
 * of credentials: who boots with other rules boots with another policy.
 */
#pragma once

#include "base/macro.h"
#include "policy/policy-digest.h"
#include "policy/policy-in-force.h"
#include "policy/settings.h"
#include "state/image-note.h"

#include <stdbool.h>

#define BOOT_ATTEMPTS_MAX 2U
#define BOOTS_FILE LASTING_DIR "/boots"

struct boot_attempts {
	char good[POLICY_DIGEST_SIZE];	/* "": none was complete yet */
	char tried[POLICY_DIGEST_SIZE]; /* "": the good one is being used */
	unsigned n;			/* boots that have begun with the tried one */
};

/* What is known; all empty where nothing is. 0 or negative errno. */
_must_check_ int boot_attempts_read(const struct settings *settings, struct boot_attempts *ret);

/* Whether boots with this policy have failed often enough. */
bool boot_attempts_failed(const struct boot_attempts *attempts, const char *digest);

enum boot_begun {
	BOOT_WITH_POLICY,    /* that of the policy directories */
	BOOT_WITH_LAST_GOOD, /* that has been put in its place, or none where no boot was complete yet */
};

/*
 * A boot begins: counts it, once in a boot, unless this is a boot image or a boot that a person has asked to
 * end in a shell; and puts the last good policy in force where the one of the directories has failed.
 * make_folders: also where LASTING_DIR is not there yet. 0 or negative errno, which may mean that the boot
 * could not be counted now and is to be counted later; *ret_begun is set in any case.
 */
_must_check_ int boot_begin(const struct settings *settings, bool make_folders, enum boot_begun *ret_begun);

/* The boot is complete: the policy with which it has begun is the last good one. 1: it is that now; 0: it was
 * already, or another is in force; negative errno. */
_must_check_ int boot_complete(const struct settings *settings);

/* A person wants the policy of the directories to be tried again. 1: it had failed; 0: not; negative errno.
 */
_must_check_ int boot_retry(const struct settings *settings);

/*
 * In this boot the policy of the directories is not to be used any more, and the last good one is put in its
 * place; no policy at all, where that one is the same, or is in force already, or none is known. 0 or
 * negative errno. *ret_empty: it is none.
 */
_must_check_ int boot_give_up(const struct settings *settings, bool *ret_empty);

/* Whether this is a boot image, and not yet the real root. */
bool boot_is_in_image(const struct settings *settings);

/* Where the files of the last good policy are kept. 0; -ENOENT: there is none. */
_must_check_ int last_good_folder(const struct settings *settings, char *buf, size_t size);
