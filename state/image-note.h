/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is remembered of boot images (LASTING/images/KERNEL, a file for each kernel): the digest of the policy
 * that went into the image, and when that was. The program that makes images has it written.
 */
#pragma once

#include "base/macro.h"
#include "policy/policy-digest.h"
#include "policy/settings.h"

#include <stddef.h>
#include <stdint.h>

/* The folder of what lasts longer than a boot. */
#define LASTING_DIR "/var/lib/driver-overrides"
#define IMAGE_NOTES LASTING_DIR "/images"
#define IMAGE_POLICIES LASTING_DIR "/image-policies"

struct image_note {
	char digest[POLICY_DIGEST_SIZE];
	uint64_t time; /* in seconds since 1970 */
};

/*
 * Writes the note for the image of a kernel, at once and whole, and so that a crash does not undo it. 0;
 * -EINVAL: not the release of a kernel; other negative errno.
 */
_must_check_ int image_note_write(const struct settings *settings, const char *kernel,
				  const struct image_note *note);

/*
 * In a boot image: keeps the digest of the image's policy, which the file IMAGE_DIGEST has there, for as long
 * as this boot lasts. 1: kept; 0: this is no image, or one without; negative errno.
 */
#define IMAGE_DIGEST "/usr/lib/driver-overrides/image-digest"
_must_check_ int image_digest_keep(const struct settings *settings);

/* The digest that was kept. 0; -ENOENT: this boot had no image with one; other negative errno. */
_must_check_ int image_digest_of_boot(const struct settings *settings, char buf[static POLICY_DIGEST_SIZE]);

/* Where the files of the policy are kept that images with this digest have. 0 or -ENAMETOOLONG. */
_must_check_ int image_policy_folder(const struct settings *settings, const char *digest, char *buf,
				     size_t size);

/* Keeps the policy's files there, so that a crash does not undo it, and removes those that no image has any
 * more. 0 or negative errno. */
_must_check_ int image_policy_keep(const struct settings *settings, const struct policy *policy,
				   const char *digest);

/* 0; -ENOENT: there is none; -EBADMSG: it cannot be read as one; other negative errno. */
_must_check_ int image_note_read(const struct settings *settings, const char *kernel, struct image_note *ret);
