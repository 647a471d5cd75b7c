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
#include "policy/policy-write.h"
#include "state/state-file.h"
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
	const struct drop_in_plan forward = *plan;

	for (size_t i = 0; i < plan->n; i++) {
		const struct drop_in_plan_file *f = &forward.files[plan->n - 1 - i];

		plan->files[i] = (struct drop_in_plan_file){ f->path, f->after, f->before };
	}
}

/* The number of files; for each its path, '+' and the text before or '-', the same for after; a NUL behind
 * each.
 */
void drop_in_plan_serialize(const struct drop_in_plan *plan, FILE *out)
{
	(void)fprintf(out, "%zu%c", plan->n, 0);
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

int drop_in_plan_deserialize(const char **at, const char *end, struct drop_in_plan *ret)
{
	_cleanup_(freep) char *count = NULL;
	struct drop_in_plan plan = {};
	int r = plan_field_deserialize(at, end, false, &count);
	unsigned long n = r < 0 ? 0 : strtoul(count, NULL, 10);

	if (n > PLAN_FILES_MAX)
		r = -EBADMSG;
	for (; r >= 0 && plan.n < n; plan.n++) {
		struct drop_in_plan_file *f = &plan.files[plan.n];

		r = plan_field_deserialize(at, end, false, &f->path);
		if (r >= 0)
			r = plan_field_deserialize(at, end, true, &f->before);
		if (r >= 0)
			r = plan_field_deserialize(at, end, true, &f->after);
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

/* 1: the file has this text, NULL: there is none; 0: it was changed since; negative errno. */
static int plan_file_compare(const char *path, const char *text)
{
	_cleanup_(freep) char *now = NULL;
	int r = state_file_read(path, &now);

	if (r == -ENOENT || r == -ENOTDIR)
		return !text;
	/* A link, a folder or something else that nobody has planned with. */
	if (r == -ELOOP || r == -ENXIO || r == -EISDIR || r == -EFBIG)
		return 0;
	return r < 0 ? r : text && streq(now, text);
}

/* What all plans change, in one array: each file is written and removed in the same step as the others. */
struct plans_write {
	const struct drop_in_plan_file **files;
	struct file_draft *drafts;
	size_t n, n_drafts, n_placed;
};

static int plans_write_begin(struct plans_write *w, const struct drop_in_plan *const *plans, size_t n)
{
	*w = (struct plans_write){ .files = calloc(n * PLAN_FILES_MAX + 1, sizeof(*w->files)),
				   .drafts = calloc(n * PLAN_FILES_MAX + 1, sizeof(*w->drafts)) };
	if (!w->files || !w->drafts)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < plans[i]->n; k++)
			if (!plan_file_is_unchanged(&plans[i]->files[k]))
				w->files[w->n++] = &plans[i]->files[k];
	return 0;
}

/* What an undo or a person has written since the plan was made is not lost. 0; -ESTALE: make another plan. */
static int plans_check_before(const struct drop_in_plan *const *plans, size_t n)
{
	int r = 1;

	for (size_t i = 0; r > 0 && i < n; i++)
		for (size_t k = 0; r > 0 && k < plans[i]->n; k++)
			r = plan_file_compare(plans[i]->files[k].path, plans[i]->files[k].before);
	return r == 0 ? -ESTALE : r < 0 ? r : 0;
}

/*
 * What is restored is as the failed change left it, or as it was before if that was killed half-way. A file
 * that is neither was changed since, and stays: an undo that came between has restored more than this would.
 */
static int plans_write_leave_changed(struct plans_write *w)
{
	size_t n = 0;

	for (size_t i = 0; i < w->n; i++) {
		const struct drop_in_plan_file *f = w->files[i];
		int as_left = plan_file_compare(f->path, f->before), as_before = 0;

		if (as_left == 0)
			as_before = plan_file_compare(f->path, f->after);
		if (as_left < 0 || as_before < 0)
			return as_left < 0 ? as_left : as_before;
		if (as_left > 0)
			w->files[n++] = f;
		else if (as_before == 0)
			log_line(LOG_NOTICE, "%s: was changed since, so it stays", f->path);
	}
	w->n = n;
	return 0;
}

/* All that can fail for want of space comes before the first file is changed. */
static int plans_write_drafts(struct plans_write *w)
{
	int r = 0;

	for (; r >= 0 && w->n_drafts < w->n; w->n_drafts += r >= 0) {
		const struct drop_in_plan_file *f = w->files[w->n_drafts];

		w->drafts[w->n_drafts].fd = -EBADF;
		r = f->after ? policy_file_draft(f->path, f->after, &w->drafts[w->n_drafts]) : 0;
	}
	for (size_t i = 0; r >= 0 && i < w->n; i++)
		r = w->files[i]->after ? file_draft_sync(&w->drafts[i]) : 0;
	return r;
}

/* New files before removals. A file that failed counts: it may have been changed half-way. */
static int plans_write_place(struct plans_write *w)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < w->n; i++) {
		const struct file_replacement how = { .path = w->files[i]->path };

		if (w->files[i]->after)
			r = file_draft_place(&w->drafts[i], &how);
		w->n_placed = i + 1;
	}
	for (size_t i = 0; r >= 0 && i < w->n; i++)
		if (!w->files[i]->after && unlink(w->files[i]->path) < 0 && errno != ENOENT)
			r = negative_errno();
	return r;
}

static int plans_write_sync(const struct plans_write *w, const struct settings *settings)
{
	int r = 0;

	for (int runtime = 0; runtime <= 1; runtime++) {
		const char *dir = drop_in_dir(settings, runtime);
		bool is_changed = false;

		for (size_t i = 0; dir && i < w->n; i++) {
			const char *rest = startswith(w->files[i]->path, dir);

			is_changed = is_changed || (rest && *rest == '/');
		}
		if (r >= 0 && is_changed)
			r = dir_sync(dir);
	}
	return r;
}

static void plans_write_undo(struct plans_write *w)
{
	for (size_t i = 0; i < w->n_drafts; i++)
		if (w->drafts[i].fd >= 0)
			file_draft_drop(&w->drafts[i]);
	for (size_t i = 0; i < w->n_placed; i++)
		ignore_error(policy_file_write(w->files[i]->path, w->files[i]->before));
}

static int plans_write_execute(struct plans_write *w, const struct settings *settings)
{
	int r = plans_write_drafts(w);

	if (r >= 0)
		r = plans_write_place(w);
	if (r >= 0)
		r = plans_write_sync(w, settings);
	if (r < 0)
		plans_write_undo(w);
	return r;
}

static void plans_write_done(struct plans_write *w)
{
	free(w->files);
	free(w->drafts);
}

int drop_in_plans_execute(const struct drop_in_plan *const *plans, size_t n, const struct settings *settings,
			  uint64_t usec)
{
	_cleanup_(plans_write_done) struct plans_write w = {};
	int r = wait_for_writers(settings->state_dir, usec);

	if (r >= 0)
		r = plans_check_before(plans, n);
	if (r >= 0)
		r = plans_write_begin(&w, plans, n);
	return r < 0 ? r : plans_write_execute(&w, settings);
}

int drop_in_plans_restore(const struct drop_in_plan *const *plans, size_t n, const struct settings *settings,
			  uint64_t usec)
{
	_cleanup_(plans_write_done) struct plans_write w = {};
	int r = wait_for_writers(settings->state_dir, usec);

	if (r >= 0)
		r = plans_write_begin(&w, plans, n);
	if (r >= 0)
		r = plans_write_leave_changed(&w);
	return r < 0 ? r : plans_write_execute(&w, settings);
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

int staging_make(const char *dir)
{
	char parent[PATH_MAX];

	if (path_printf(parent, sizeof(parent), "%.*s", (int)(strrchr(dir, '/') - dir), dir) < 0)
		return -ENAMETOOLONG;
	return (mkdir(parent, 0700) < 0 && errno != EEXIST) || mkdir(dir, 0700) < 0 ? negative_errno() : 0;
}

int drop_in_plan_stage(const struct drop_in_plan *plan, const struct settings *settings, const char *dir)
{
	char path[PATH_MAX];
	int r = 0;

	for (size_t i = 0; r >= 0 && i < plan->n; i++) {
		const struct drop_in_plan_file *f = &plan->files[i];

		if (path_printf(path, sizeof(path), "%s%s", dir, strrchr(f->path, '/')) < 0)
			return -ENAMETOOLONG;
		r = f->after ? staging_add_file(path, f->after)
			     : staging_add_removal(settings, f->path, path);
	}
	return r;
}

void drop_in_plan_unstage(const struct drop_in_plan *plan, const char *dir)
{
	char path[PATH_MAX];

	for (size_t i = 0; i < plan->n; i++)
		if (path_printf(path, sizeof(path), "%s%s", dir, strrchr(plan->files[i].path, '/')) >= 0)
			(void)unlink(path);
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
