/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Processes that have a device open, by name; see fd-users.h. */
#include "sysfs/fd-users.h"
#include "base/file.h"
#include "base/macro.h"
#include "base/path.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
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

struct wanted {
	const char *sysfs;
	const struct node *v;
	size_t n;
	char *buf;
	size_t size;
};

static int look_at_files(const char *pid, void *userdata)
{
	_cleanup_(closedirp) DIR *dir = NULL;
	const struct wanted *w = userdata;
	char path[PATH_MAX];
	const struct dirent *e;
	struct statx st;

	if (path_join(path, sizeof(path), w->sysfs, "/../proc/", pid, "/fd", NULL) < 0)
		return 0;
	dir = opendir(path);
	while (dir && (e = readdir(dir))) {
		/* What is known of the file, without a question to a server that may not answer. */
		if (e->d_name[0] == '.' ||
		    statx(dirfd(dir), e->d_name, AT_STATX_DONT_SYNC, STATX_TYPE, &st) < 0)
			continue;
		for (size_t i = 0; i < w->n; i++)
			if ((st.stx_mode & S_IFMT) == w->v[i].type && st.stx_rdev_major == w->v[i].major &&
			    st.stx_rdev_minor == w->v[i].minor) {
				fd_users_process_name(w->sysfs, pid, w->buf, w->size);
				return 1;
			}
	}
	return 0;
}

void fd_users_find_opener(const char *sysfs, const struct node *v, size_t n, char *buf, size_t size)
{
	struct wanted w = { sysfs, v, n, buf, size };

	buf[0] = '\0';
	(void)fd_users_each_process(sysfs, look_at_files, &w);
}
