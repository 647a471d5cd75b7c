/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a call changes about policy files; see drop-in-plan.h. */
#include "daemon/operation/drop-in-plan.h"
#include "base/errno.h"
#include "base/file.h"
#include "base/log.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "base/time.h"
#include "state/state-lock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

void drop_in_plan_done(struct drop_in_plan *plan)
{
	for (size_t i = 0; i < plan->n; i++) {
		free(plan->files[i].path);
		free(plan->files[i].before);
		free(plan->files[i].after);
	}
	*plan = (struct drop_in_plan){};
}

static bool plan_file_is_unchanged(const struct drop_in_plan_file *f)
{
	return f->before && f->after ? streq(f->before, f->after) : f->before == f->after;
}

bool drop_in_plan_is_empty(const struct drop_in_plan *plan)
{
	for (size_t i = 0; i < plan->n; i++)
		if (!plan_file_is_unchanged(&plan->files[i]))
			return false;
	return true;
}

bool drop_in_plans_overlap(const struct drop_in_plan *a, const struct drop_in_plan *b)
{
	for (size_t i = 0; i < a->n; i++)
		for (size_t k = 0; k < b->n; k++)
			if (streq(a->files[i].path, b->files[k].path))
				return true;
	return false;
}

void drop_in_plan_reverse(struct drop_in_plan *plan)
{
	for (size_t i = 0; i < plan->n; i++) {
		char *before = plan->files[i].before;

		plan->files[i].before = plan->files[i].after;
		plan->files[i].after = before;
	}
}

/* Path, '+' and the text before or '-', the same for after; a NUL behind each. */
void drop_in_plan_serialize(const struct drop_in_plan *plan, FILE *out)
{
	for (size_t i = 0; i < plan->n; i++) {
		const struct drop_in_plan_file *f = &plan->files[i];

		(void)fprintf(out, "%s%c%c%s%c%c%s%c", f->path, 0, f->before ? '+' : '-',
			      f->before ? f->before : "", 0, f->after ? '+' : '-', f->after ? f->after : "",
			      0);
	}
}

static int plan_field_deserialize(const char **at, const char *end, bool optional, char **ret)
{
	const char *nul = memchr(*at, '\0', (size_t)(end - *at));

	if (!nul)
		return -EBADMSG;
	if (optional && **at == '-')
		*ret = NULL;
	else {
		*ret = strdup(*at + optional);
		if (!*ret)
			return -ENOMEM;
	}
	*at = nul + 1;
	return 0;
}

int drop_in_plan_deserialize(const char *bytes, size_t size, struct drop_in_plan *ret)
{
	const char *at = bytes, *end = bytes + size;
	struct drop_in_plan plan = {};
	int r = 0;

	for (; r >= 0 && at < end && plan.n < PLAN_FILES_MAX; plan.n++) {
		struct drop_in_plan_file *f = &plan.files[plan.n];

		r = plan_field_deserialize(&at, end, false, &f->path);
		if (r >= 0)
			r = plan_field_deserialize(&at, end, true, &f->before);
		if (r >= 0)
			r = plan_field_deserialize(&at, end, true, &f->after);
	}
	if (r < 0) {
		drop_in_plan_done(&plan);
		return r;
	}
	*ret = plan;
	return 0;
}

/*
 * A writer that took too long may be asleep in the file system. When it wakes, it completes the system call
 * it was in, even if it was killed meanwhile. So each writer holds a lock for its whole life, and none writes
 * before the one ahead has ended, be that a child of a service that was replaced since. 0: no other writer is
 * left; -ETIMEDOUT.
 *
 * The child has to give up by itself: if its parent killed it instead, nobody would know whether it had got
 * the lock just before and begun to write. Hence no lock_wait().
 */
static int wait_for_writers(const char *state_dir, uint64_t usec)
{
	int fd = writer_lock_acquire(state_dir, now_usec() + usec);

	return fd < 0 ? fd : 0; /* the file stays open until the process ends */
}

int drop_in_plan_execute(const struct drop_in_plan *plan, const struct settings *settings, uint64_t usec)
{
	int r = wait_for_writers(settings->state_dir, usec);

	for (size_t i = 0; r >= 0 && i < plan->n; i++) {
		if (plan_file_is_unchanged(&plan->files[i]))
			continue;
		r = drop_in_write(plan->files[i].path, plan->files[i].after);
		if (r >= 0)
			continue;
		/* Undo. The file that failed is undone, too: it may have been written half-way. */
		for (size_t k = 0; k <= i; k++)
			if (!plan_file_is_unchanged(&plan->files[k]))
				(void)drop_in_write(plan->files[k].path, plan->files[k].before);
	}
	return r;
}

/* A removed file reveals the next one of its name in a later directory, if there is one. */
static int staging_add_removal(const struct settings *settings, const char *path, const char *staged)
{
	_cleanup_(freep) char *next = NULL;
	char other[PATH_MAX];

	for (size_t i = 0; i < settings->n_conf_dirs && !next; i++) {
		if (path_printf(other, sizeof(other), "%s%s", settings->conf_dirs[i], strrchr(path, '/')) < 0)
			return -ENAMETOOLONG;
		if (!streq(other, path))
			next = realpath(other, NULL);
	}
	return symlink(next ? next : "/dev/null", staged) < 0 ? negative_errno() : 0;
}

static int staging_add_file(const char *path, const char *text)
{
	_cleanup_(closep) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	return fd < 0 ? negative_errno() : write_full(fd, text, strlen(text));
}

int drop_in_plan_stage(const struct drop_in_plan *plan, const struct settings *settings, const char *dir)
{
	char path[PATH_MAX], parent[PATH_MAX];
	int r = 0;

	if (path_printf(parent, sizeof(parent), "%.*s", (int)(strrchr(dir, '/') - dir), dir) < 0)
		return -ENAMETOOLONG;
	if ((mkdir(parent, 0700) < 0 && errno != EEXIST) || mkdir(dir, 0700) < 0)
		return negative_errno();
	for (size_t i = 0; r >= 0 && i < plan->n; i++) {
		const struct drop_in_plan_file *f = &plan->files[i];

		if (path_printf(path, sizeof(path), "%s%s", dir, strrchr(f->path, '/')) < 0)
			return -ENAMETOOLONG;
		r = f->after ? staging_add_file(path, f->after)
			     : staging_add_removal(settings, f->path, path);
	}
	return r;
}

void staging_remove(const char *dir)
{
	_cleanup_(closedirp) DIR *d = opendir(dir);
	const struct dirent *e;

	while (d && (e = readdir(d)))
		if (!streq(e->d_name, ".") && !streq(e->d_name, ".."))
			(void)unlinkat(dirfd(d), e->d_name, 0);
	(void)rmdir(dir);
}

void drop_in_plan_remove_leftovers(const struct settings *settings)
{
	_cleanup_(closedirp) DIR *d = NULL;
	const struct dirent *e;
	char path[PATH_MAX];

	for (int runtime = 0; runtime <= 1; runtime++) {
		const char *dir = drop_in_dir(settings, runtime);

		if (dir)
			drop_in_remove_temporaries(dir);
	}
	if (path_printf(path, sizeof(path), "%s/staging", settings->state_dir) < 0)
		return;
	d = opendir(path);
	/* Versions that used it as the writers' lock left it open to all users. */
	if (d && fchmod(dirfd(d), 0700) < 0)
		log_errno(LOG_WARNING, negative_errno(), "%s: closing it to other users", path);
	while (d && (e = readdir(d))) {
		char staging[PATH_MAX];

		if (e->d_name[0] != '.' &&
		    path_printf(staging, sizeof(staging), "%s/%s", path, e->d_name) >= 0)
			staging_remove(staging);
	}
}
