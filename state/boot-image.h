/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether the boot images of this machine have the policy of the disk, in which drivers bind before anything
 * else has a say; and what is to be said of a policy that has failed. Sentences for the journal, the bus and
 * overridectl alike.
 */
#pragma once

#include "policy/policy-digest.h"
#include "policy/settings.h"

#include <stddef.h>

enum boot_image_state {
	BOOT_IMAGE_UNKNOWN, /* none that has a policy is known, so there is nothing to compare */
	BOOT_IMAGE_CURRENT,
	BOOT_IMAGE_DIFFERS,
};

#define BOOT_SENTENCE_MAX 1024

struct boot_image {
	enum boot_image_state state;
	char digest[POLICY_DIGEST_SIZE]; /* with BOOT_IMAGE_DIFFERS: of the newest kernel's, or this boot's */
	char text[BOOT_SENTENCE_MAX]; /* "current"; with BOOT_IMAGE_DIFFERS a sentence that says what to do */
};

/*
 * Compares the images whose kernels are still there, by the notes that were left when they were made
 * (image-note.h); without any note, the image that this boot came from.
 */
void boot_image_find(const struct settings *settings, struct boot_image *ret);

/* How images are made anew on this system: "update-initramfs -u -k all", or what to do instead. */
void boot_image_way_out(const struct settings *settings, char *buf, size_t size);

/* "" where the policy of the directories is in force. */
void failed_policy_sentence(const struct settings *settings, char buf[static BOOT_SENTENCE_MAX]);
