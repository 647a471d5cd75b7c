/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Notes of what went into boot images; see image-note.h. */
#include "state/image-note.h"
#include "base/file.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "state/policy-files.h"
#include "state/state-file.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define DIGEST_KEY "digest="
#define TIME_KEY "time="

static int image_note_path(const struct settings *s, const char *kernel, char *dir, char *path)
{
	int r = is_file_name(kernel) && kernel[0] != '.' ? 0 : -EINVAL;

	if (r >= 0)
		r = settings_system_path(s, IMAGE_NOTES, dir, PATH_MAX);
	return r < 0 ? r : path_join(path, PATH_MAX, dir, "/", kernel, NULL);
}

int image_note_write(const struct settings *settings, const char *kernel, const struct image_note *note)
{
	char dir[PATH_MAX], path[PATH_MAX], lasting[PATH_MAX], temporary[PATH_MAX], text[128];
	const struct file_replacement how = {
		.path = path, .temporary = temporary, .mode = 0644, .durable = true
	};
	int r = image_note_path(settings, kernel, dir, path);

	if (r >= 0)
		r = path_parent(dir, lasting, sizeof(lasting));
	if (r >= 0)
		r = dir_make(lasting);
	if (r >= 0)
		r = dir_make(dir);
	if (r >= 0)
		r = path_join(temporary, sizeof(temporary), dir, "/.XXXXXX", NULL);
	if (r >= 0)
		r = path_printf(text, sizeof(text), DIGEST_KEY "%s\n" TIME_KEY "%" PRIu64 "\n", note->digest,
				note->time);
	return r < 0 ? r : file_replace(&how, text, strlen(text));
}

int image_note_read(const struct settings *settings, const char *kernel, struct image_note *ret)
{
	_cleanup_(freep) char *text = NULL;
	char dir[PATH_MAX], path[PATH_MAX];
	struct image_note note = {};
	const char *digest, *time;
	int r = image_note_path(settings, kernel, dir, path);

	if (r >= 0)
		r = state_file_read(path, &text);
	if (r < 0)
		return r;
	digest = startswith(text, DIGEST_KEY);
	time = strstr(text, "\n" TIME_KEY);
	if (!digest || !time || strcspn(digest, "\n") != POLICY_DIGEST_SIZE - 1)
		return -EBADMSG;
	memcpy(note.digest, digest, POLICY_DIGEST_SIZE - 1);
	note.time = text_to_number(time + strlen("\n" TIME_KEY));
	*ret = note;
	return 0;
}

#define KEPT_DIGEST "image-digest"

static int image_digest_read(const char *path, char buf[static POLICY_DIGEST_SIZE])
{
	char line[64];
	int r = read_first_line(path, line, sizeof(line));

	if (r < 0)
		return r;
	if (r != POLICY_DIGEST_SIZE - 1)
		return -EBADMSG;
	memcpy(buf, line, POLICY_DIGEST_SIZE);
	return 0;
}

int image_digest_keep(const struct settings *settings)
{
	char path[PATH_MAX], text[POLICY_DIGEST_SIZE];
	int r = settings_system_path(settings, IMAGE_DIGEST, path, sizeof(path));

	if (r >= 0)
		r = image_digest_read(path, text);
	if (r == -ENOENT || r == -ENOTDIR)
		return 0;
	if (r >= 0)
		r = state_write(settings->state_dir, KEPT_DIGEST, text);
	return r < 0 ? r : 1;
}

int image_digest_of_boot(const struct settings *settings, char buf[static POLICY_DIGEST_SIZE])
{
	char path[PATH_MAX];
	int r = path_join(path, sizeof(path), settings->state_dir, "/" KEPT_DIGEST, NULL);

	return r < 0 ? r : image_digest_read(path, buf);
}

int image_policy_folder(const struct settings *settings, const char *digest, char *buf, size_t size)
{
	char folder[PATH_MAX];
	int r = settings_system_path(settings, IMAGE_POLICIES, folder, sizeof(folder));

	return r < 0 ? r : path_join(buf, size, folder, "/", digest, NULL);
}

static bool image_has_digest(const struct settings *settings, const char *digest)
{
	_cleanup_(dir_close) struct dir_reader dir = { .fd = -EBADF };
	struct image_note note;
	char path[PATH_MAX];

	if (settings_system_path(settings, IMAGE_NOTES, path, sizeof(path)) < 0 || dir_open(&dir, path) < 0)
		return false;
	for (const char *kernel; (kernel = dir_next(&dir));)
		if (image_note_read(settings, kernel, &note) >= 0 && streq(note.digest, digest))
			return true;
	return false;
}

int image_policy_keep(const struct settings *settings, const struct policy *policy, const char *digest)
{
	_cleanup_(dir_close) struct dir_reader dir = { .fd = -EBADF };
	char folder[PATH_MAX], path[PATH_MAX];
	int r = settings_system_path(settings, IMAGE_POLICIES, folder, sizeof(folder));

	if (r >= 0)
		r = dir_make(folder);
	if (r >= 0)
		r = image_policy_folder(settings, digest, path, sizeof(path));
	if (r >= 0)
		r = policy_files_write(policy, path, true);
	if (r < 0 || dir_open(&dir, folder) < 0)
		return r;
	for (const char *other; (other = dir_next(&dir));)
		if (!image_has_digest(settings, other) &&
		    path_join(path, sizeof(path), folder, "/", other, NULL) >= 0)
			policy_folder_remove(path);
	return 0;
}
