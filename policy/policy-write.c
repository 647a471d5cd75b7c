/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writes and removes policy files; see policy-write.h. */
#include "policy/policy-write.h"
#include "base/errno.h"
#include "base/file.h"
#include "base/path.h"
#include "policy/policy-settled.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int policy_file_draft(const char *path, const char *text, struct file_draft *ret)
{
	char dir[PATH_MAX], temporary[PATH_MAX];
	struct timespec times[2];
	const struct file_replacement how = {
		.path = path, .temporary = temporary, .times = times, .mode = 0644, .durable = true
	};
	int r = path_parent(path, dir, sizeof(dir));

	if (r >= 0)
		r = path_printf(temporary, sizeof(temporary), "%s/" POLICY_TEMPORARY_PREFIX "XXXXXX", dir);
	if (r >= 0)
		r = dir_make(dir);
	policy_file_times(times);
	return r < 0 ? r : file_draft_write(ret, &how, text, strlen(text));
}

int policy_file_write(const char *path, const char *text)
{
	const struct file_replacement how = { .path = path };
	struct file_draft draft;
	char dir[PATH_MAX];
	int r = path_parent(path, dir, sizeof(dir));

	if (r < 0)
		return r;
	if (!text)
		return unlink(path) < 0 && errno != ENOENT ? negative_errno() : dir_sync(dir);
	r = policy_file_draft(path, text, &draft);
	if (r < 0)
		return r;
	r = file_draft_sync(&draft);
	if (r < 0)
		file_draft_drop(&draft);
	else
		r = file_draft_place(&draft, &how);
	return r < 0 ? r : dir_sync(dir);
}
