/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The policy files that are the service's own; see drop-in.h. */
#include "daemon/operation/drop-in.h"
#include "base/errno.h"
#include "base/file.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"

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
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* How a file of ours begins. */
#define HEADER "# Written by driver-overrided"
/* Of a file of ours: more than this, it is none. */
#define OURS_MAX 65536U

/* Policy files end in .conf and begin with no dot. */
#define TEMPORARY_PREFIX ".set-"
#define TEMPORARY TEMPORARY_PREFIX "XXXXXX"

void drop_in_plan_done(struct drop_in_plan *plan)
{
	for (size_t i = 0; i < plan->n; i++) {
		free(plan->files[i].path);
		free(plan->files[i].before);
		free(plan->files[i].after);
	}
	*plan = (struct drop_in_plan){};
}

static bool same(const char *a, const char *b)
{
	return a && b ? streq(a, b) : a == b;
}

bool drop_in_plan_is_empty(const struct drop_in_plan *plan)
{
	for (size_t i = 0; i < plan->n; i++)
		if (!same(plan->files[i].before, plan->files[i].after))
			return false;
	return true;
}

bool drop_in_plans_meet(const struct drop_in_plan *a, const struct drop_in_plan *b)
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

static int sync_dir(const char *path)
{
	_cleanup_(closep) int fd = -EBADF;
	char dir[PATH_MAX];

	if (path_printf(dir, sizeof(dir), "%s", path) < 0)
		return -ENAMETOOLONG;
	*strrchr(dir, '/') = '\0';
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || fsync(fd) < 0 ? negative_errno() : 0;
}

static int write_all(int fd, const char *text)
{
	for (size_t n = strlen(text), done = 0; done < n;) {
		ssize_t k = write(fd, text + done, n - done);

		if (k < 0 && errno != EINTR)
			return negative_errno();
		if (k > 0)
			done += (size_t)k;
	}
	return 0;
}

/* Whole or not at all, and once it is there it stays there: file first, then its name, then the directory. */
static int put(const char *path, const char *text)
{
	_cleanup_(closep) int fd = -EBADF;
	char temporary[PATH_MAX];
	int r;

	if (path_printf(temporary, sizeof(temporary), "%.*s/" TEMPORARY, (int)(strrchr(path, '/') - path),
			path) < 0)
		return -ENAMETOOLONG;
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return negative_errno();
	r = write_all(fd, text);
	if (r >= 0 && (fchmod(fd, 0644) < 0 || fsync(fd) < 0 || rename(temporary, path) < 0))
		r = negative_errno();
	if (r < 0)
		(void)unlink(temporary);
	return r < 0 ? r : sync_dir(path);
}

static int carry_out(const struct drop_in_plan_file *f)
{
	char dir[PATH_MAX];

	if (same(f->before, f->after))
		return 0;
	if (!f->after)
		return unlink(f->path) < 0 && errno != ENOENT ? negative_errno() : sync_dir(f->path);
	if (path_printf(dir, sizeof(dir), "%.*s", (int)(strrchr(f->path, '/') - f->path), f->path) >= 0 &&
	    mkdir(dir, 0755) < 0 && errno != EEXIST)
		return negative_errno();
	return put(f->path, f->after);
}

/*
 * A writer that took too long may be asleep in the file system, and when that wakes, what it was about to do
 * is done, killed or not. So each has a lock for its whole life, and nobody writes before it has gone, be it
 * a service's that has been replaced since. 0: nobody else is there; -ETIMEDOUT.
 */
static int wait_for_writers(const char *state_dir, uint64_t usec)
{
	char dir[PATH_MAX];
	int fd;

	if (path_printf(dir, sizeof(dir), "%s/staging", state_dir) < 0)
		return -ENAMETOOLONG;
	fd = mkdir(dir, 0755) < 0 && errno != EEXIST ? -1 : open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return negative_errno();
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return negative_errno();
		if (usec < 10000)
			return -ETIMEDOUT;
		usec -= 10000;
		(void)usleep(10000);
	}
	return 0; /* with the file open until the process ends */
}

int drop_in_plan_carry_out(const struct drop_in_plan *plan, const struct settings *settings, uint64_t usec)
{
	int r = wait_for_writers(settings->state_dir, usec);

	if (r < 0)
		return r;
	for (size_t i = 0; i < plan->n; i++) {
		r = carry_out(&plan->files[i]);
		if (r >= 0)
			continue;
		/* As it was; the one that failed may have got half-way. */
		for (size_t k = 0; k <= i; k++) {
			const struct drop_in_plan_file back = { .path = plan->files[k].path,
								.before = plan->files[k].after,
								.after = plan->files[k].before };

			(void)carry_out(&back);
		}
		return r;
	}
	return 0;
}

/* A file that is removed is not missed where another directory has one of its name. */
static int stage_removal(const struct settings *settings, const char *path, const char *staged)
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

int drop_in_plan_stage(const struct drop_in_plan *plan, const struct settings *settings, const char *dir)
{
	char path[PATH_MAX], parent[PATH_MAX];

	if (path_printf(parent, sizeof(parent), "%.*s", (int)(strrchr(dir, '/') - dir), dir) < 0)
		return -ENAMETOOLONG;
	if ((mkdir(parent, 0755) < 0 && errno != EEXIST) || mkdir(dir, 0700) < 0)
		return negative_errno();
	for (size_t i = 0; i < plan->n; i++) {
		const struct drop_in_plan_file *f = &plan->files[i];
		_cleanup_(closep) int fd = -EBADF;
		int r;

		if (path_printf(path, sizeof(path), "%s%s", dir, strrchr(f->path, '/')) < 0)
			return -ENAMETOOLONG;
		if (!f->after) {
			r = stage_removal(settings, f->path, path);
			if (r < 0)
				return r;
			continue;
		}
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		r = fd < 0 ? negative_errno() : write_all(fd, f->after);
		if (r < 0)
			return r;
	}
	return 0;
}

/* As mkostemp() makes them. */
static bool is_temporary(const char *name)
{
	const char *rest = startswith(name, TEMPORARY_PREFIX);

	return rest && strspn(rest, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == 6 &&
	       rest[6] == '\0';
}

/* The entries of a directory, or of these only what a writer may have left. */
static void remove_entries(const char *dir, bool only_temporary)
{
	_cleanup_(closedirp) DIR *d = opendir(dir);
	const struct dirent *e;

	while (d && (e = readdir(d)))
		if (!streq(e->d_name, ".") && !streq(e->d_name, "..") &&
		    (!only_temporary || is_temporary(e->d_name)))
			(void)unlinkat(dirfd(d), e->d_name, 0);
}

void staging_remove(const char *dir)
{
	remove_entries(dir, false);
	(void)rmdir(dir);
}

void drop_in_clean(const struct settings *settings)
{
	_cleanup_(closedirp) DIR *d = NULL;
	const struct dirent *e;
	char path[PATH_MAX];

	for (int runtime = 0; runtime <= 1; runtime++) {
		const char *dir = drop_in_dir(settings, runtime);

		if (dir)
			remove_entries(dir, true);
	}
	if (path_printf(path, sizeof(path), "%s/staging", settings->state_dir) < 0)
		return;
	d = opendir(path);
	while (d && (e = readdir(d))) {
		char sub[PATH_MAX];

		if (e->d_name[0] != '.' && path_printf(sub, sizeof(sub), "%s/%s", path, e->d_name) >= 0)
			staging_remove(sub);
	}
}

const char *drop_in_dir(const struct settings *settings, bool runtime)
{
	/* In the order of the contract: /etc, /run, /usr/lib. */
	return settings->n_conf_dirs > (size_t)runtime ? settings->conf_dirs[runtime] : NULL;
}

int drop_in_path(const char *dir, bool runtime, enum drop_in_key by, const char *bus, const char *value,
		 char *buf, size_t size)
{
	static const char *const kind[] = { [KEY_NAME] = "", [KEY_PATH] = "path-", [KEY_ID] = "id-" };
	char b[256], v[256], name[PATH_MAX];

	if (name_escape(bus, b, sizeof(b)) < 0 || name_escape(value, v, sizeof(v)) < 0 ||
	    path_printf(name, sizeof(name), "%s-%s-%s%s.conf", runtime ? "05-run" : "10-set", b, kind[by],
			v) < 0 ||
	    strlen(name) > NAME_MAX)
		return -ENAMETOOLONG;
	return path_printf(buf, size, "%s/%s", dir, name);
}

static bool is_of_set(const char *text, size_t size)
{
	unsigned sections = 0;

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		sections += *line == '[';
	}
	return strlen(text) == size && startswith(text, HEADER) && sections == 1;
}

int drop_in_read(const char *path, char **ret)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	_cleanup_(freep) char *text = NULL;
	size_t size;
	int r;

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	r = fd < 0 ? negative_errno() : read_full(fd, 4096, OURS_MAX, &text, &size);
	if (r == -ELOOP || r == -ENXIO || r == -EISDIR || r == -EFBIG || (text && !is_of_set(text, size)))
		return -EEXIST;
	if (r < 0)
		return r;
	*ret = TAKE_PTR(text);
	return 1;
}

/* A value that matches nothing but itself. Blanks separate values, so one is matched as what it is. */
static void put_literal(FILE *f, const char *value)
{
	for (const char *s = value; *s; s++)
		if (*s == '*' || *s == '?' || *s == '[')
			(void)fprintf(f, "[%c]", *s);
		else if (*s == ' ')
			(void)fputs("[[:blank:]]", f);
		else
			(void)fputc(*s, f);
}

/* Labels have to be UTF-8 without control characters and brackets; the name of the file is. */
static void put_label(FILE *f, const char *text)
{
	for (const char *s = text; *s; s++)
		if (*s > ' ' && *s <= '~' && *s != '[' && *s != ']')
			(void)fputc(*s, f);
		else
			(void)fprintf(f, "\\x%02x", (unsigned char)*s);
}

char *drop_in_text(const char *bus, enum drop_in_key by, const char *value, const char *driver,
		   const struct options *o)
{
	static const char *const key[] = { [KEY_NAME] = "Name", [KEY_PATH] = "Path", [KEY_ID] = "Id" };
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	(void)fputs(HEADER " for SetOverride, removed by ClearOverride; see org.driveroverrides1(5).\n"
			   "[device set-",
		    f);
	put_label(f, bus);
	(void)fputc('-', f);
	put_label(f, value);
	(void)fputs("]\nBus=", f);
	put_literal(f, bus);
	(void)fprintf(f, "\n%s=", key[by]);
	put_literal(f, value);
	(void)fprintf(f, "\nDriver=%s\n", driver);
	if (o->given & OPTION_GROUP)
		(void)fprintf(f, "Group=%s\n", o->group);
	if (o->rebind != REBIND_UNSET)
		(void)fprintf(f, "Rebind=%s\n", rebind_to_string(o->rebind));
	if (o->given & OPTION_MODULE)
		(void)fprintf(f, "Module=%s\n", o->module);
	if (fclose(f) != 0) {
		free(text);
		return NULL;
	}
	return text;
}
