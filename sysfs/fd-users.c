/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Processes that have a device open, by name; see fd-users.h. */
#include "sysfs/fd-users.h"
#include "base/file.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/system.h"
#include "base/text.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int fd_users_each_process(const char *sysfs, int (*each)(const char *pid, void *userdata), void *userdata)
{
	_cleanup_(closedirp) DIR *dir = NULL;
	char path[PATH_MAX];
	const struct dirent *e;
	int r = 0;

	if (path_join(path, sizeof(path), sysfs, "/../proc", NULL) < 0)
		return 0;
	dir = opendir(path);
	while (r == 0 && dir && (e = readdir(dir)))
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9')
			r = each(e->d_name, userdata);
	return r;
}

void fd_users_process_name(const char *sysfs, const char *pid, char *buf, size_t size)
{
	char path[PATH_MAX], comm[64];

	if (path_join(path, sizeof(path), sysfs, "/../proc/", pid, "/comm", NULL) >= 0 &&
	    read_first_line(path, comm, sizeof(comm)) > 0)
		(void)snprintf(buf, size, "%s (process %s)", comm, pid);
	else
		(void)snprintf(buf, size, "process %s", pid);
}

struct wanted_nodes {
	const char *sysfs;
	const struct node *v;
	size_t n;
	char (*users)[FD_USER_MAX]; /* of each node, or of any: the first element */
	bool any;
	size_t n_open;
};

/* The field of a process's stat behind its name, which may have any bytes in it: the 3rd is the state. */
static const char *stat_field(const char *text, unsigned field)
{
	const char *s = strrchr(text, ')');

	for (unsigned i = 2; s && i < field; i++) {
		s = strchr(s, ' ');
		s = s ? s + 1 : NULL;
	}
	return s;
}

/* A person who is logged in at a terminal, as opposed to a getty, or to a program that reads a serial line.
 */
static bool process_is_login(const struct wanted_nodes *w, const struct node *node, const char *pid)
{
	/* As new_encode_dev() of the kernel writes it. */
	const unsigned tty = (node->minor & 0xff) | node->major << 8 | (node->minor & ~0xffU) << 12;
	char path[PATH_MAX], text[1024], comm[64];
	const char *field;

	if (path_join(path, sizeof(path), w->sysfs, "/../proc/", pid, "/stat", NULL) < 0 ||
	    read_first_line(path, text, sizeof(text)) <= 0)
		return false;
	field = stat_field(text, 7);
	if (!field || strtoul(field, NULL, 10) != tty)
		return false;
	return path_join(path, sizeof(path), w->sysfs, "/../proc/", pid, "/comm", NULL) < 0 ||
	       read_first_line(path, comm, sizeof(comm)) <= 0 || !strstr(comm, "getty");
}

/* By the name that udev's workers give themselves, and by their user: anybody can take a name. */
static bool process_is_udev(const struct wanted_nodes *w, const char *pid)
{
	char path[PATH_MAX], comm[64];
	struct stat st;

	return path_join(path, sizeof(path), w->sysfs, "/../proc/", pid, NULL) >= 0 && stat(path, &st) >= 0 &&
	       st.st_uid == 0 &&
	       path_join(path, sizeof(path), w->sysfs, "/../proc/", pid, "/comm", NULL) >= 0 &&
	       read_first_line(path, comm, sizeof(comm)) > 0 &&
	       (streq(comm, "(udev-worker)") || streq(comm, "systemd-udevd"));
}

static bool node_is(const struct node *node, const struct statx *st)
{
	return (st->stx_mode & S_IFMT) == node->type && st->stx_rdev_major == node->major &&
	       st->stx_rdev_minor == node->minor;
}

static void process_has_file(struct wanted_nodes *w, const char *pid, const struct statx *st)
{
	for (size_t i = 0; i < w->n; i++) {
		char *user = w->users[w->any ? 0 : i];

		if (user[0] || !node_is(&w->v[i], st) ||
		    (w->v[i].needs_login && !process_is_login(w, &w->v[i], pid)) || process_is_udev(w, pid))
			continue;
		fd_users_process_name(w->sysfs, pid, user, FD_USER_MAX);
		w->n_open++;
	}
}

static bool wanted_nodes_are_found(const struct wanted_nodes *w)
{
	return w->n_open >= (w->any ? 1 : w->n);
}

static int process_has_nodes(const char *pid, void *userdata)
{
	_cleanup_(closedirp) DIR *dir = NULL;
	struct wanted_nodes *w = userdata;
	char path[PATH_MAX];
	const struct dirent *e;
	struct statx st;

	if (path_join(path, sizeof(path), w->sysfs, "/../proc/", pid, "/fd", NULL) < 0)
		return 0;
	dir = opendir(path);
	while (dir && !wanted_nodes_are_found(w) && (e = readdir(dir)))
		if (e->d_name[0] != '.' && system_statx_type(dirfd(dir), e->d_name, &st) >= 0 &&
		    (S_ISBLK(st.stx_mode) || S_ISCHR(st.stx_mode)))
			process_has_file(w, pid, &st);
	return wanted_nodes_are_found(w);
}

int fd_users_find_opener(const char *sysfs, const struct node *v, size_t n, char buf[static FD_USER_MAX])
{
	struct wanted_nodes w = { sysfs, v, n, (char(*)[FD_USER_MAX])buf, true, 0 };

	buf[0] = '\0';
	return n > 0 && fd_users_each_process(sysfs, process_has_nodes, &w) > 0;
}

void fd_users_find_openers(const char *sysfs, const struct node *v, size_t n, char (*users)[FD_USER_MAX])
{
	struct wanted_nodes w = { sysfs, v, n, users, false, 0 };

	for (size_t i = 0; i < n; i++)
		users[i][0] = '\0';
	if (n > 0)
		(void)fd_users_each_process(sysfs, process_has_nodes, &w);
}
