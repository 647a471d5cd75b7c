/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files of the state directory, whatever is in them; see state-file.h. */
#include "state/state-file.h"
#include "base/errno.h"
#include "base/file.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A temporary file lives for microseconds; one of this age was left by a program that was killed. */
#define TEMPORARY_SEC 60
/* The list of the devices of a large machine has some ten thousand bytes. */
#define STATE_FILE_MAX (16U * 1024U * 1024U)

int state_dir_make(const char *state_dir, const char *sub)
{
	char path[PATH_MAX];

	/* The parent is /run, or a test's own folder: only one level is ours to make. */
	int r = dir_make(state_dir);

	if (r >= 0)
		r = path_printf(path, sizeof(path), "%s/%s", state_dir, sub);
	return r < 0 ? r : dir_make(path);
}

int state_file_replace(const char *state_dir, const char *sub, const char *path, const char *text,
		       size_t size, const struct timespec *times, mode_t mode)
{
	char temporary[PATH_MAX];
	const struct file_replacement how = {
		.path = path, .temporary = temporary, .times = times, .mode = mode
	};
	int r = path_printf(temporary, sizeof(temporary), "%s/tmp/XXXXXX", state_dir);

	if (r < 0)
		return r;
	r = file_replace(&how, text, size);
	if (r != -ENOENT)
		return r;
	r = state_dir_make(state_dir, "tmp");
	if (r >= 0)
		r = state_dir_make(state_dir, sub);
	return r < 0 ? r : file_replace(&how, text, size);
}

int state_file_read(const char *path, char **ret)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	size_t size;

	return fd < 0 ? negative_errno() : read_full(fd, 4096, STATE_FILE_MAX, ret, &size);
}

int state_write(const char *state_dir, const char *name, const char *text)
{
	char path[PATH_MAX];
	int r = path_printf(path, sizeof(path), "%s/%s", state_dir, name);

	return r < 0 ? r : state_file_replace(state_dir, "", path, text, strlen(text), NULL, 0644);
}

int state_remove(const char *state_dir, const char *name)
{
	char path[PATH_MAX];
	int r = path_join(path, sizeof(path), state_dir, "/", name, NULL);

	if (r < 0)
		return r;
	return unlink(path) < 0 && errno != ENOENT ? negative_errno() : 0;
}

void state_dir_remove_temporary(const char *state_dir)
{
	_cleanup_(closedirp) DIR *dir = NULL;
	const struct dirent *e;
	char path[PATH_MAX];
	struct stat st;

	if (path_printf(path, sizeof(path), "%s/tmp", state_dir) < 0)
		return;
	dir = opendir(path);
	while (dir && (e = readdir(dir)))
		if (fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) >= 0 && S_ISREG(st.st_mode) &&
		    st.st_mtim.tv_sec < time(NULL) - TEMPORARY_SEC)
			(void)unlinkat(dirfd(dir), e->d_name, 0);
}

int state_device_path(const char *state_dir, const char *folder, const char *bus, const char *name, char *buf,
		      size_t size)
{
	char b[256], n[256];

	if (name_escape(bus, b, sizeof(b)) < 0 || name_escape(name, n, sizeof(n)) < 0)
		return -ENAMETOOLONG;
	return path_join(buf, size, state_dir, folder, b, ":", n, NULL);
}
