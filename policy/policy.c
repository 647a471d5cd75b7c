/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finds the policy files of all directories and reads them in their order; see policy.h. */
#include "policy/policy.h"
#include "base/arena.h"
#include "base/array.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "policy/policy-settled.h"
#include "policy/vfio-driver.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

/* A file that some directory offers; of one name the first directory's counts. */
struct candidate {
	const char *name;
	const char *path;
	size_t dir;
};

void file_version_read(const char *path, struct file_version *ret)
{
	struct stat st;

	*ret = (struct file_version){};
	if (stat(path, &st) >= 0)
		*ret = (struct file_version){ st.st_ino, st.st_size, st.st_mtim, st.st_ctim, st.st_mode };
}

int policy_add_error(struct policy *policy, const char *file, unsigned line, const char *text)
{
	if (!text)
		return -ENOMEM;
	if (array_reserve(policy->errors, policy->errors_allocated, policy->n_errors) < 0)
		return -ENOMEM;
	policy->errors[policy->n_errors++] = (struct policy_error){ file, line, text };
	return 0;
}

static struct policy_file *policy_add_file(struct policy *policy, const char *path, const char *name)
{
	if (array_reserve(policy->files, policy->files_allocated, policy->n_files) < 0)
		return NULL;
	policy->files[policy->n_files] = (struct policy_file){ .path = path, .name = name };
	return &policy->files[policy->n_files++];
}

/*
 * Opens a file and reads it if we may trust it. 0; 1: it is /dev/null; -EINVAL: *reterr_error says why not;
 * -ENOMEM.
 */
static int policy_file_read(struct policy *policy, const char *path, struct policy_file *file,
			    const char **reterr_error)
{
	/* O_NONBLOCK: a FIFO of that name must not hold us up before we have seen that it is none. */
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st, after;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0) {
		*reterr_error = arena_printf(&policy->arena, "cannot be opened: %m");
		return *reterr_error ? -EINVAL : -ENOMEM;
	}
	file->version = (struct file_version){ st.st_ino, st.st_size, st.st_mtim, st.st_ctim, st.st_mode };

	if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3))
		return 1;
	if (!S_ISREG(st.st_mode)) {
		*reterr_error = "is not a regular file";
		return -EINVAL;
	}
	/* A user that can write here decides about drivers, which means to control the machine. */
	if (st.st_uid != 0 && st.st_uid != geteuid()) {
		*reterr_error = arena_printf(&policy->arena,
					     "belongs to user %ju; only root's files are read (chown root)",
					     (uintmax_t)st.st_uid);
		return *reterr_error ? -EINVAL : -ENOMEM;
	}
	if (st.st_mode & 022) {
		*reterr_error = arena_printf(
			&policy->arena, "can be written by its group or by others (mode %04o); chmod go-w",
			(unsigned)(st.st_mode & 07777));
		return *reterr_error ? -EINVAL : -ENOMEM;
	}
	r = read_full(fd, (size_t)st.st_size, POLICY_FILE_MAX, &file->text, &file->size);
	/* Asked again after the reading, during which the file may have been written to. */
	if (r == 0)
		file->unsettled = fstat(fd, &after) < 0 || after.st_size != st.st_size ||
				  after.st_mtim.tv_sec != st.st_mtim.tv_sec ||
				  after.st_mtim.tv_nsec != st.st_mtim.tv_nsec ||
				  policy_file_settles_in(&after) > 0;
	if (r == -EFBIG)
		*reterr_error = "is larger than 8 MiB";
	else if (r < 0 && r != -ENOMEM)
		*reterr_error = arena_printf(&policy->arena, "cannot be read: %s", strerror(-r));
	return r < 0 && r != -ENOMEM ? -EINVAL : r;
}

void policy_state_name(const char *path, char buf[static 256])
{
	if (name_escape(path, buf, 256) < 0)
		(void)snprintf(buf, 256, "hash-%016jx", (uintmax_t)fnv1a(FNV_BASIS, path, strlen(path)));
}

int policy_copy_path(const char *state_dir, const char *path, char *buf, size_t size)
{
	char name[256];

	policy_state_name(path, name);
	return path_join(buf, size, state_dir, "/policy/", name, NULL);
}

static int policy_load_copy(struct policy *policy, const char *state_dir, struct policy_file *file)
{
	struct policy_file copy = {};
	size_t errors = policy->n_errors;
	char path[4096];
	const char *error;
	int r;

	if (!state_dir || policy_copy_path(state_dir, file->path, path, sizeof(path)) < 0)
		return -ENOENT;
	r = policy_file_read(policy, path, &copy, &error);
	if (r == 0)
		r = policy_parse(policy, file->path, copy.text, copy.size);
	else if (r == 1)
		r = -ENOENT;
	policy->n_errors = errors; /* of the copy: nobody could mend those */
	if (r == 0) {
		free(file->text);
		file->text = TAKE_PTR(copy.text);
		file->size = copy.size;
	}
	free(copy.text);
	return r;
}

static int policy_load_file(struct policy *policy, const char *state_dir, const char *path, const char *name)
{
	struct policy_file *file = policy_add_file(policy, path, name);
	const char *error;
	int r;

	if (!file)
		return -ENOMEM;

	r = policy_file_read(policy, path, file, &error);
	if (r == 1) {
		file->status = POLICY_FILE_MASKED;
		return 0;
	}
	if (r == 0 && file->unsettled) {
		r = policy_load_copy(policy, state_dir, file);
		if (r == 0 || r == -ENOMEM) {
			file->status = POLICY_FILE_UNSETTLED;
			return r;
		}
		r = 0; /* there is no copy: what can be read counts */
	}
	if (r == -EINVAL)
		r = policy_add_error(policy, path, 0, error) < 0 ? -ENOMEM : r;
	else if (r == 0)
		r = policy_parse(policy, path, file->text, file->size);
	if (r == 0) {
		file->status = POLICY_FILE_GOOD;
		return 0;
	}
	free(TAKE_PTR(file->text));
	if (r == -ENOMEM)
		return r;

	r = policy_load_copy(policy, state_dir, file);
	file->status = r == 0 ? POLICY_FILE_COPY : POLICY_FILE_BAD;
	return r == -ENOMEM ? r : 0;
}

static int candidate_files_compare(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	int r = strcmp(x->name, y->name);

	return r ? r : (x->dir > y->dir) - (x->dir < y->dir);
}

/* One file of a directory, whose name may be longer than what is used of it. */
static int candidate_add(struct policy *policy, const char *dir, size_t number, const char *name,
			 struct candidate **v, size_t *n, size_t *allocated)
{
	const size_t size = strlen(dir) + strlen(name) + 2;
	char *path;

	if (array_reserve(*v, *allocated, *n) < 0)
		return -ENOMEM;
	path = arena_alloc(&policy->arena, size);
	if (!path)
		return -ENOMEM;
	if (path_join(path, size, dir, "/", name, NULL) < 0)
		return -ENAMETOOLONG; /* cannot be: the size was counted for it */
	(*v)[(*n)++] = (struct candidate){ .name = path + strlen(dir) + 1, .path = path, .dir = number };
	return 0;
}

/*
 * A directory that cannot be listed: the files that were last seen in it are those of which there is a copy.
 * Each is opened as if it had been listed, and its copy speaks for it where that fails.
 */
static int conf_dir_list_copies(struct policy *policy, const char *state_dir, const char *dir, size_t number,
				struct candidate **v, size_t *n, size_t *allocated)
{
	_cleanup_(dir_close) struct dir_reader copies = { .fd = -EBADF };
	char folder[PATH_MAX], path[256];
	const char *name;
	int r = 0;

	if (!state_dir || path_join(folder, sizeof(folder), state_dir, "/policy", NULL) < 0 ||
	    dir_open(&copies, folder) < 0)
		return 0;
	while (r >= 0 && (name = dir_next(&copies))) {
		const char *rest;

		text_copy(path, sizeof(path), name);
		if (!text_unescape(path))
			continue;
		rest = startswith(path, dir);
		if (rest && *rest == '/' && rest[1] && !strchr(rest + 1, '/'))
			r = candidate_add(policy, dir, number, rest + 1, v, n, allocated);
	}
	return r;
}

static int conf_dir_list(struct policy *policy, const struct settings *settings, size_t number,
			 struct candidate **v, size_t *n, size_t *allocated)
{
	const char *dir = settings->conf_dirs[number];
	_cleanup_(closedirp) DIR *d = opendir(dir);
	const struct dirent *e;

	if (!d) {
		if (errno == ENOENT)
			return 0;
		policy->incomplete = true;
		return policy_add_error(policy, arena_strdup(&policy->arena, dir), 0,
					arena_printf(&policy->arena, "cannot be listed: %m"));
	}
	for (errno = 0; (e = readdir(d)); errno = 0) {
		int r;

		if (!settings_takes_file(settings, number, e->d_name))
			continue;
		/* Its name stands in properties, records and messages, a line each. */
		if (e->d_name[strcspn(e->d_name, "\n\r")]) {
			r = policy_add_error(
				policy, arena_strdup(&policy->arena, dir), 0,
				arena_printf(&policy->arena,
					     "has a file whose name is broken over lines: %s; rename it",
					     quoted(&policy->arena, e->d_name)));

			if (r < 0)
				return r;
			continue;
		}
		r = candidate_add(policy, dir, number, e->d_name, v, n, allocated);
		if (r < 0)
			return r;
	}
	if (errno) {
		policy->incomplete = true;
		return policy_add_error(policy, arena_strdup(&policy->arena, dir), 0,
					arena_printf(&policy->arena, "cannot be listed: %m"));
	}
	return 0;
}

static struct policy *policy_new(void)
{
	static atomic_ulong serial;
	struct policy *policy = calloc(1, sizeof(*policy));

	if (policy)
		policy->serial = atomic_fetch_add(&serial, 1) + 1;
	return policy;
}

int policy_load_dirs(const struct settings *settings, struct policy **ret)
{
	_cleanup_(policy_freep) struct policy *policy = policy_new();
	_cleanup_(freep) struct candidate *v = NULL;
	size_t n = 0, allocated = 0;
	int r;

	if (!policy)
		return -ENOMEM;
	policy->vfio = vfio_drivers_new(settings);
	if (!policy->vfio)
		return -ENOMEM;
	(void)clock_gettime(CLOCK_REALTIME, &policy->loaded);
	for (size_t i = 0; i < settings->n_conf_dirs; i++) {
		const size_t errors = policy->n_errors;

		file_version_read(settings->conf_dirs[i], &policy->dirs[i]);
		r = conf_dir_list(policy, settings, i, &v, &n, &allocated);
		if (r >= 0 && policy->incomplete && policy->n_errors > errors)
			r = conf_dir_list_copies(policy, settings->state_dir, settings->conf_dirs[i], i, &v,
						 &n, &allocated);
		if (r < 0)
			return r;
	}
	if (n > 0)
		qsort(v, n, sizeof(*v), candidate_files_compare);
	for (size_t i = 0; i < n; i++) {
		if (i > 0 && streq(v[i].name, v[i - 1].name))
			continue;
		r = policy_load_file(policy, settings->state_dir, v[i].path, v[i].name);
		if (r < 0)
			return r;
	}
	*ret = TAKE_PTR(policy);
	return 0;
}

int policy_load_files(const char *const *paths, size_t n, struct policy **ret)
{
	_cleanup_(policy_freep) struct policy *policy = policy_new();
	int r;

	if (!policy)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const char *path = arena_strdup(&policy->arena, paths[i]), *slash;

		if (!path)
			return -ENOMEM;
		slash = strrchr(path, '/');
		r = policy_load_file(policy, NULL, path, slash ? slash + 1 : path);
		if (r < 0)
			return r;
	}
	*ret = TAKE_PTR(policy);
	return 0;
}

struct policy *policy_free(struct policy *policy)
{
	if (!policy)
		return NULL;
	for (size_t i = 0; i < policy->n_files; i++)
		free(policy->files[i].text);
	free(policy->files);
	free(policy->rules);
	free(policy->errors);
	vfio_drivers_free(policy->vfio);
	arena_done(&policy->arena);
	free(policy);
	return NULL;
}

const struct rule *policy_find_rule(const struct policy *policy, uint64_t id)
{
	for (size_t i = 0; i < policy->n_rules; i++)
		if ((policy->ids ? policy->ids[i] : rule_id(policy->rules[i])) == id)
			return policy->rules[i];
	return NULL;
}
