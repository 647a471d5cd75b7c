/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Folders with the files of a policy; see policy-files.h. */
#include "state/policy-files.h"
#include "base/errno.h"
#include "base/file.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "policy/policy-settled.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Empties a folder, or makes it. A temporary file that was left behind goes, too. */
static int policy_folder_clear(const char *dir)
{
	_cleanup_(closedirp) DIR *d = NULL;
	const struct dirent *e;
	int r = dir_make(dir);

	if (r < 0)
		return r;
	d = opendir(dir);
	if (!d)
		return negative_errno();
	while ((e = readdir(d)))
		if (!streq(e->d_name, ".") && !streq(e->d_name, "..") &&
		    unlinkat(dirfd(d), e->d_name, 0) < 0 && errno != ENOENT)
			return negative_errno();
	return 0;
}

/* Its times say that it is complete: nobody needs to wait for a copy to settle. */
int policy_folder_add(const char *dir, const char *name, const char *text, size_t size, bool durable)
{
	char path[PATH_MAX], temporary[PATH_MAX];
	struct timespec times[2];
	const struct file_replacement how = {
		.path = path, .temporary = temporary, .times = times, .mode = 0644, .durable = durable
	};
	int r = path_join(path, sizeof(path), dir, "/", name, NULL);

	if (r >= 0)
		r = path_join(temporary, sizeof(temporary), dir, "/.XXXXXX", NULL);
	policy_file_times(times);
	return r < 0 ? r : file_replace(&how, text, size);
}

int policy_files_write(const struct policy *policy, const char *dir, bool durable)
{
	int r = policy_folder_clear(dir);

	for (size_t i = 0; i < policy->n_files && r >= 0; i++)
		if (policy->files[i].text)
			r = policy_folder_add(dir, policy->files[i].name, policy->files[i].text,
					      policy->files[i].size, durable);
	return r;
}

int policy_file_copy(const struct dir_reader *from, const char *name, const char *to, bool durable)
{
	_cleanup_(closep) int fd = openat(from->fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	_cleanup_(freep) char *text = NULL;
	size_t size;
	int r = fd < 0 ? negative_errno() : read_full(fd, 4096, POLICY_FILE_MAX, &text, &size);

	return r < 0 ? r : policy_folder_add(to, name, text, size, durable);
}

int policy_files_copy(const char *from, const char *to, bool durable)
{
	_cleanup_(dir_close) struct dir_reader dir = { .fd = -EBADF };
	int r = policy_folder_clear(to);

	if (r < 0 || !*from)
		return r;
	r = dir_open(&dir, from);
	for (const char *name; r >= 0 && (name = dir_next(&dir));)
		if (settings_is_policy_name(name))
			r = policy_file_copy(&dir, name, to, durable);
	return r;
}

void policy_folder_remove(const char *dir)
{
	if (policy_folder_clear(dir) >= 0)
		(void)rmdir(dir);
}

void policy_folders_remove_others(const char *dir, const char *name)
{
	_cleanup_(dir_close) struct dir_reader reader = { .fd = -EBADF };
	char path[PATH_MAX];

	if (dir_open(&reader, dir) < 0)
		return;
	for (const char *other; (other = dir_next(&reader));)
		if (!streq(other, name) && path_join(path, sizeof(path), dir, "/", other, NULL) >= 0)
			policy_folder_remove(path);
}
