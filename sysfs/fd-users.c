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
	char *buf;
	size_t size;
	size_t found;
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

static int process_has_node(const char *pid, void *userdata)
{
	_cleanup_(closedirp) DIR *dir = NULL;
	struct wanted_nodes *w = userdata;
	char path[PATH_MAX];
	const struct dirent *e;
	struct statx st;

	if (path_join(path, sizeof(path), w->sysfs, "/../proc/", pid, "/fd", NULL) < 0)
		return 0;
	dir = opendir(path);
	while (dir && (e = readdir(dir))) {
		if (e->d_name[0] == '.' || system_statx_type(dirfd(dir), e->d_name, &st) < 0 ||
		    (!S_ISBLK(st.stx_mode) && !S_ISCHR(st.stx_mode)))
			continue;
		for (size_t i = 0; i < w->n; i++) {
			if (!node_is(&w->v[i], &st) ||
			    (w->v[i].needs_login && !process_is_login(w, &w->v[i], pid)) ||
			    process_is_udev(w, pid))
				continue;
			fd_users_process_name(w->sysfs, pid, w->buf, w->size);
			w->found = i;
			return 1;
		}
	}
	return 0;
}

int fd_users_find_opener(const char *sysfs, const struct node *v, size_t n, char *buf, size_t size,
			 size_t *ret_node)
{
	struct wanted_nodes w = { sysfs, v, n, buf, size, 0 };

	buf[0] = '\0';
	if (n == 0 || fd_users_each_process(sysfs, process_has_node, &w) <= 0)
		return 0;
	if (ret_node)
		*ret_node = w.found;
	return 1;
}
