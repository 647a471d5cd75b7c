/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Compares boot images with the policy of the disk; see boot-image.h. */
#include "state/boot-image.h"
#include "base/file.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "policy/policy-digest.h"
#include "policy/policy-in-force.h"
#include "state/image-note.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

void boot_image_way_out(const struct settings *settings, char *buf, size_t size)
{
	static const struct {
		const char *program, *command;
	} makers[] = {
		{ "/usr/sbin/mkinitramfs", "update-initramfs -u -k all" },
		{ "/usr/bin/dracut", "dracut --regenerate-all --force" },
		{ "/usr/sbin/dracut", "dracut --regenerate-all --force" },
		{ "/usr/bin/mkinitcpio", "mkinitcpio -P" },
	};

	/* ostree and bootc: images come with the system, whichever program has made them elsewhere. */
	if (settings_system_has(settings, "/run/ostree-booted")) {
		text_copy(buf, size,
			  "here the image comes with the system, so put rules on the kernel command line "
			  "(driver_overrides.rule=), or have them in /usr/lib/driver-overrides.d of the "
			  "system's own image");
		return;
	}
	for (size_t i = 0; i < ELEMENTSOF(makers); i++)
		if (settings_system_has(settings, makers[i].program)) {
			(void)snprintf(buf, size, "run: %s", makers[i].command);
			return;
		}
	text_copy(buf, size, "have the boot images made anew");
}

/* An image may be left of a kernel that was removed; nobody boots it. */
static bool kernel_is_installed(const struct settings *settings, const char *kernel)
{
	static const char *const folders[] = { "/lib/modules/", "/usr/lib/modules/",
					       "/run/booted-system/kernel-modules/lib/modules/",
					       "/run/current-system/kernel-modules/lib/modules/" };
	char path[PATH_MAX];

	for (size_t i = 0; i < ELEMENTSOF(folders); i++)
		if (path_join(path, sizeof(path), folders[i], kernel, NULL) >= 0 &&
		    settings_system_has(settings, path))
			return true;
	return false;
}

/* Images whose policy is another one. */
struct stale_images {
	size_t n_notes, n;
	char newest[NAME_MAX + 1];
	char digest[POLICY_DIGEST_SIZE]; /* of that */
};

static void stale_images_find(const struct settings *settings, const char *digest, struct stale_images *stale)
{
	_cleanup_(dir_close) struct dir_reader dir = { .fd = -EBADF };
	struct image_note note;
	char path[PATH_MAX];

	if (settings_system_path(settings, IMAGE_NOTES, path, sizeof(path)) < 0 || dir_open(&dir, path) < 0)
		return;
	for (const char *kernel; (kernel = dir_next(&dir));) {
		if (!kernel_is_installed(settings, kernel) || image_note_read(settings, kernel, &note) < 0)
			continue;
		stale->n_notes++;
		if (streq(note.digest, digest))
			continue;
		if (stale->n++ > 0 && strverscmp(kernel, stale->newest) <= 0)
			continue;
		text_copy(stale->newest, sizeof(stale->newest), kernel);
		text_copy(stale->digest, sizeof(stale->digest), note.digest);
	}
}

static void boot_image_describe(const struct settings *settings, const struct stale_images *stale,
				struct boot_image *ret)
{
	char way_out[BOOT_SENTENCE_MAX / 2], others[64] = "", of[NAME_MAX + 32] = "that this boot came from";

	boot_image_way_out(settings, way_out, sizeof(way_out));
	if (stale->n > 0)
		(void)snprintf(of, sizeof(of), "of kernel %s", stale->newest);
	if (stale->n > 1)
		(void)snprintf(others, sizeof(others), " (and %zu more)", stale->n - 1);
	(void)snprintf(
		ret->text, sizeof(ret->text),
		"the boot image %s%s has another policy than the disk, so drivers that bind there bind "
		"by that one; %s",
		of, others, way_out);
}

void boot_image_find(const struct settings *settings, struct boot_image *ret)
{
	char digest[POLICY_DIGEST_SIZE], booted[POLICY_DIGEST_SIZE] = "";
	struct stale_images stale = {};
	bool differs;

	*ret = (struct boot_image){ .state = BOOT_IMAGE_UNKNOWN };
	if (policy_digest_find(settings, POLICY_OF_IMAGE, digest) < 0)
		return;
	stale_images_find(settings, digest, &stale);
	if (stale.n_notes > 0)
		differs = stale.n > 0;
	else if (image_digest_of_boot(settings, booted) >= 0)
		differs = !streq(booted, digest);
	else
		return;
	if (differs)
		text_copy(ret->digest, sizeof(ret->digest), stale.n > 0 ? stale.digest : booted);
	ret->state = differs ? BOOT_IMAGE_DIFFERS : BOOT_IMAGE_CURRENT;
	if (differs)
		boot_image_describe(settings, &stale, ret);
	else
		text_copy(ret->text, sizeof(ret->text), "current");
}

void failed_policy_sentence(const struct settings *settings, char buf[static BOOT_SENTENCE_MAX])
{
	enum policy_failure failure;

	buf[0] = '\0';
	if (!policy_has_failed(settings, &failure))
		return;
	(void)snprintf(
		buf, BOOT_SENTENCE_MAX,
		"%s, so the policy of %s/" LAST_GOOD_FOLDER
		" is in force in its place; correct this one, or have it tried again as it is: overridectl "
		"reload --retry",
		failure == FAILURE_COUNTED
			? "boots with this policy have failed"
			: "with this policy the root file system did not come in this boot",
		settings->state_dir);
}
