/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Processes that have a device open, by name; see inuse.h. */
#include "inuse-parts.h"

#include <fcntl.h>
#include <sys/stat.h>

int inuse_processes(const struct inuse *u,
	int (*each)(const struct inuse *u, const char *pid, void *userdata), void *userdata)
{
	_cleanup_(closedirp) DIR *dir = NULL;
	char path[PATH_MAX];
	const struct dirent *e;
	int r = 0;

	if (path_join(path, sizeof(path), u->root, "/../proc", NULL) < 0)
		return 0;
	dir = opendir(path);
	while (r == 0 && dir && (e = readdir(dir)))
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9')
			r = each(u, e->d_name, userdata);
	return r;
}

void inuse_process_name(const struct inuse *u, const char *pid, char *buf, size_t size)
{
	char path[PATH_MAX], comm[64] = "";

	if (path_join(path, sizeof(path), u->root, "/../proc/", pid, NULL) >= 0)
		(void)inuse_attr(path, "comm", comm, sizeof(comm));
	if (comm[0])
		(void)snprintf(buf, size, "%s (process %s)", comm, pid);
	else
		(void)snprintf(buf, size, "process %s", pid);
}

struct wanted {
	mode_t type;
	unsigned major, minor;
	char *buf;
	size_t size;
};

static int look_at_files(const struct inuse *u, const char *pid, void *userdata)
{
	_cleanup_(closedirp) DIR *dir = NULL;
	const struct wanted *w = userdata;
	char path[PATH_MAX];
	const struct dirent *e;
	struct statx st;

	if (path_join(path, sizeof(path), u->root, "/../proc/", pid, "/fd", NULL) < 0)
		return 0;
	dir = opendir(path);
	while (dir && (e = readdir(dir))) {
		/* What is known of the file, without a question to a server that may not answer. */
		if (e->d_name[0] == '.' ||
			statx(dirfd(dir), e->d_name, AT_STATX_DONT_SYNC, STATX_TYPE, &st) < 0)
			continue;
		if ((st.stx_mode & S_IFMT) == w->type && st.stx_rdev_major == w->major &&
			st.stx_rdev_minor == w->minor) {
			inuse_process_name(u, pid, w->buf, w->size);
			return 1;
		}
	}
	return 0;
}

void inuse_opener(const struct inuse *u, mode_t type, unsigned major, unsigned minor, char *buf, size_t size)
{
	struct wanted w = { type, major, minor, buf, size };

	buf[0] = '\0';
	(void)inuse_processes(u, look_at_files, &w);
}

int inuse_open(const struct inuse *u, const char *path, const char *node)
{
	char dev[DEV_MAX], who[128];
	unsigned major, minor;
	int r = inuse_number(path, dev, &major, &minor);

	/* Not everything of these classes has a device node. */
	if (r <= 0)
		return r;
	inuse_opener(u, S_IFCHR, major, minor, who, sizeof(who));
	return who[0] ? inuse_say(u, "/dev/%s is open in %s", node, who) : 0;
}

/* A group can be opened once only, by whoever uses any device of it. */
int inuse_vfio_group(const struct inuse *u, const char *group)
{
	static const char *const prefixes[] = { "", "noiommu-" };
	_cleanup_(closep) int fd = -EBADF;
	char class[PATH_MAX], node[PATH_MAX], path[PATH_MAX];
	int r;

	for (size_t i = 0; i < ELEMENTSOF(prefixes); i++) {
		if (path_join(class, sizeof(class), u->root, "/class/vfio/", prefixes[i], group, NULL) < 0 ||
			path_join(node, sizeof(node), "vfio/", prefixes[i], group, NULL) < 0 ||
			path_join(path, sizeof(path), u->root, "/../dev/", node, NULL) < 0)
			return -ENAMETOOLONG;
		if (access(class, F_OK) < 0)
			continue;
		r = inuse_open(u, class, node);
		if (r != 0)
			return r;
		fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
		if (fd < 0 && errno == EBUSY)
			return inuse_say(
				u, "/dev/%s is open in a process that cannot be seen from here", node);
		return 0;
	}
	return 0;
}
