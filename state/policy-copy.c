/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copies of policy files, and notices of their errors; see policy-copy.h. */
#include "state/policy-copy.h"
#include "base/errno.h"
#include "base/file.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "state/state-file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * The copy carries the file's own time, so that one stat tells whether it is of this version. A time of whole
 * seconds was set by somebody (a package, an image, where all files have the same): then the contents tell.
 */
static bool policy_copy_is_current(const char *path, const struct policy_file *file)
{
	const struct timespec *t = &file->version.mtime;
	_cleanup_(freep) char *text = NULL;
	_cleanup_(closep) int fd = -EBADF;
	struct stat st;
	size_t size;

	if (stat(path, &st) < 0 || st.st_size != (off_t)file->size || st.st_mtim.tv_sec != t->tv_sec ||
	    st.st_mtim.tv_nsec != t->tv_nsec)
		return false;
	if (t->tv_nsec != 0)
		return true;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return fd >= 0 && read_full(fd, file->size, POLICY_FILE_MAX, &text, &size) >= 0 &&
	       size == file->size && memcmp(text, file->text, size) == 0;
}

static void policy_copy_keep(const char *state_dir, const struct policy_file *file)
{
	struct timespec times[2] = { file->version.mtime, file->version.mtime };
	char path[PATH_MAX];
	int r;

	r = policy_copy_path(state_dir, file->path, path, sizeof(path));
	if (r >= 0) {
		if (policy_copy_is_current(path, file))
			return;
		r = state_file_replace(state_dir, "policy", path, file->text, file->size, times,
				       file->version.mode & 0644);
	}
	if (r < 0)
		log_errno(LOG_WARNING, r,
			  "%s: cannot keep a copy under %s, so an error in a later version leaves no rules",
			  file->path, state_dir);
}

static int error_notice_path(const char *state_dir, const struct policy_file *file, char *buf, size_t size)
{
	char name[256];

	policy_state_name(file->path, name);
	return path_join(buf, size, state_dir, "/errors/", name, NULL);
}

/* Whether this version's errors are still to be logged, by us: true for one caller only. */
static bool errors_are_new_to_log(const char *state_dir, const struct policy_file *file)
{
	const struct file_version *v = &file->version;
	_cleanup_(closep) int fd = -EBADF;
	char path[PATH_MAX], now[160], seen[160];
	ssize_t n;

	if (error_notice_path(state_dir, file, path, sizeof(path)) < 0)
		return true;
	fd = lock_open(path);
	if (fd == -ENOENT && state_dir_make(state_dir, "errors") >= 0)
		fd = lock_open(path);
	if (fd < 0)
		return true;
	if (lock_acquire(fd, 0, 0) < 0)
		return false; /* somebody is at it right now */

	(void)snprintf(now, sizeof(now), "%ju %jd %jd.%09ld %jd.%09ld\n", (uintmax_t)v->inode,
		       (intmax_t)v->size, (intmax_t)v->mtime.tv_sec, v->mtime.tv_nsec,
		       (intmax_t)v->ctime.tv_sec, v->ctime.tv_nsec);
	n = read(fd, seen, sizeof(seen) - 1);
	seen[n > 0 ? n : 0] = '\0';
	if (streq(now, seen))
		return false;
	n = pwrite(fd, now, strlen(now), 0);
	if (n < 0 || ftruncate(fd, n) < 0)
		return true;
	return true;
}

static void policy_file_log_errors(const struct policy *policy, const struct policy_file *file)
{
	const char *instead = file->status == POLICY_FILE_COPY ? "its last good version stays in force"
							       : "none of its rules is in force";

	for (size_t i = 0; i < policy->n_errors; i++) {
		const struct policy_error *e = &policy->errors[i];

		if (e->file != file->path)
			continue;
		if (e->line > 0)
			log_line(LOG_ERR, "%s:%u: %s; %s", e->file, e->line, e->text, instead);
		else
			log_line(LOG_ERR, "%s: %s; %s", e->file, e->text, instead);
	}
}

static bool policy_has_copy_named(const struct policy *policy, const char *name)
{
	for (size_t i = 0; i < policy->n_files; i++) {
		char own[256];

		policy_state_name(policy->files[i].path, own);
		if (streq(name, own) && policy->files[i].status != POLICY_FILE_MASKED)
			return true;
	}
	return false;
}

/* Decodes a name made by policy_state_name(); false if it is a hash. */
static bool state_name_decode(const char *name, char buf[static 256])
{
	if (startswith(name, "hash-"))
		return false;
	text_copy(buf, 256, name);
	return text_unescape(buf);
}

/*
 * Deletes copies whose policy file is gone, or a later broken file of that name would bring them back into
 * force. The file itself is looked for, since `policy` may be older. Fast path: with no more copies than
 * files, none is left over.
 */
static void policy_copies_forget_gone(const char *state_dir, const struct policy *policy)
{
	_cleanup_(dir_close) struct dir_reader dir = { .fd = -EBADF };
	char folder[PATH_MAX], path[256];
	size_t copies = 0, expected = 0;
	const char *name;

	if (path_join(folder, sizeof(folder), state_dir, "/policy", NULL) < 0 || dir_open(&dir, folder) < 0)
		return;
	while (dir_next(&dir))
		copies++;
	for (size_t i = 0; i < policy->n_files; i++)
		expected += policy->files[i].status == POLICY_FILE_GOOD ||
			    policy->files[i].status == POLICY_FILE_COPY ||
			    policy->files[i].status == POLICY_FILE_UNSETTLED;
	if (copies <= expected)
		return;
	dir_close(&dir);
	dir.fd = -EBADF;
	if (dir_open(&dir, folder) < 0)
		return;
	while ((name = dir_next(&dir)))
		if (!policy_has_copy_named(policy, name) && state_name_decode(name, path) && path[0] == '/' &&
		    faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
			(void)unlinkat(dir.fd, name, 0);
}

void policy_copies_update(const char *state_dir, const struct policy *policy)
{
	for (size_t i = 0; i < policy->n_files; i++) {
		const struct policy_file *file = &policy->files[i];

		switch (file->status) {
		case POLICY_FILE_GOOD:
			if (!file->unsettled)
				policy_copy_keep(state_dir, file);
			break;
		case POLICY_FILE_UNSETTLED:
			break;
		case POLICY_FILE_COPY:
		case POLICY_FILE_BAD:
			if (errors_are_new_to_log(state_dir, file))
				policy_file_log_errors(policy, file);
			break;
		case POLICY_FILE_MASKED:
			break;
		}
	}
	if (!policy->incomplete)
		policy_copies_forget_gone(state_dir, policy);
}

void policy_incomplete_log_once(const char *state_dir, const struct policy *policy)
{
	for (size_t i = 0; policy->incomplete && i < policy->n_errors; i++) {
		const struct policy_error *e = &policy->errors[i];
		const struct policy_file dir = { .path = e->file };

		if (e->line == 0 && startswith(e->text, "cannot be listed") &&
		    errors_are_new_to_log(state_dir, &dir))
			log_line(LOG_ERR, "%s: %s; the last good copies of its files stay in force", e->file,
				 e->text);
	}
}

/* Removes the files of STATE_DIR/SUB, but for those of present policy files. */
static void policy_copies_clean_folder(const char *state_dir, const char *sub, const struct policy *policy)
{
	_cleanup_(closedirp) DIR *dir = NULL;
	const struct dirent *e;
	char path[PATH_MAX];

	if (path_printf(path, sizeof(path), "%s/%s", state_dir, sub) < 0)
		return;
	dir = opendir(path);
	while (dir && (e = readdir(dir)))
		if (e->d_name[0] != '.' && !policy_has_copy_named(policy, e->d_name))
			(void)unlinkat(dirfd(dir), e->d_name, 0);
}

void policy_copies_clean(const char *state_dir, const struct policy *policy)
{
	if (policy->incomplete)
		return;
	policy_copies_clean_folder(state_dir, "policy", policy);
	policy_copies_clean_folder(state_dir, "errors", policy);
}
