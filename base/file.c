/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads and replaces files; see file.h. */
#include "base/file.h"
#include "base/errno.h"
#include "base/macro.h"
#include "base/system.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int dir_open(struct dir_reader *d, const char *path)
{
	d->at = d->n = 0;
	d->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return d->fd < 0 ? negative_errno() : 0;
}

const char *dir_next(struct dir_reader *d)
{
	for (;;) {
		const struct system_dirent *e;

		if (d->at >= d->n) {
			ssize_t n = system_getdents(d->fd, d->buf, sizeof(d->buf));

			if (n <= 0)
				return NULL;
			d->n = (size_t)n;
			d->at = 0;
		}
		e = (const void *)(d->buf + d->at);
		d->at += e->reclen;
		if (e->name[0] != '.')
			return e->name;
	}
}

int read_full(int fd, size_t guess, size_t max, char **ret, size_t *ret_size)
{
	_cleanup_(freep) char *buf = NULL;
	size_t allocated = 0, n = 0;

	for (;;) {
		ssize_t k;

		if (allocated - n < 2) {
			size_t want = allocated ? 2 * allocated : guess + 2;
			char *p;

			if (want > max + 2)
				want = max + 2;
			if (want - n < 2)
				return -EFBIG;
			p = realloc(buf, want);
			if (!p)
				return -ENOMEM;
			buf = p;
			allocated = want;
		}
		k = read(fd, buf + n, allocated - n - 1);
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return negative_errno();
		if (k == 0)
			break;
		n += (size_t)k;
		if (n > max)
			return -EFBIG;
	}
	buf[n] = '\0';
	*ret = TAKE_PTR(buf);
	*ret_size = n;
	return 0;
}

int write_full(int fd, const void *data, size_t n)
{
	for (const char *next = data; n > 0;) {
		ssize_t k = write(fd, next, n);

		if (k < 0 && errno != EINTR)
			return negative_errno();
		if (k > 0) {
			next += k;
			n -= (size_t)k;
		}
	}
	return 0;
}

int dir_sync(const char *path)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? negative_errno() : 0;
}

int dir_make(const char *path)
{
	return mkdir(path, 0755) < 0 && errno != EEXIST ? negative_errno() : 0;
}

int file_draft_write(struct file_draft *ret, const struct file_replacement *how, const void *data, size_t n)
{
	_cleanup_(closep) int fd = -EBADF;
	int r = path_join(ret->path, sizeof(ret->path), how->temporary, NULL);

	if (r < 0)
		return r;
	fd = mkostemp(ret->path, O_CLOEXEC);
	if (fd < 0)
		return negative_errno();
	r = write_full(fd, data, n);
	if (r >= 0 && (fchmod(fd, how->mode) < 0 || (how->times && futimens(fd, how->times) < 0)))
		r = negative_errno();
	if (r < 0) {
		(void)unlink(ret->path);
		return r;
	}
	ret->fd = TAKE_FD(fd);
	return 0;
}

int file_draft_sync(const struct file_draft *draft)
{
	return fsync(draft->fd) < 0 ? negative_errno() : 0;
}

void file_draft_drop(struct file_draft *draft)
{
	(void)unlink(draft->path);
	closep(&draft->fd);
	draft->fd = -EBADF;
}

int file_draft_place(struct file_draft *draft, const struct file_replacement *how)
{
	int r = rename(draft->path, how->path) < 0 ? negative_errno() : 0;

	if (r < 0)
		(void)unlink(draft->path);
	closep(&draft->fd);
	draft->fd = -EBADF;
	return r;
}

int file_replace(const struct file_replacement *how, const void *data, size_t n)
{
	struct file_draft draft;
	char parent[PATH_MAX];
	int r = path_parent(how->path, parent, sizeof(parent));

	if (r >= 0)
		r = file_draft_write(&draft, how, data, n);
	if (r < 0)
		return r;
	if (how->durable)
		r = file_draft_sync(&draft);
	if (r < 0) {
		file_draft_drop(&draft);
		return r;
	}
	r = file_draft_place(&draft, how);
	return r < 0 || !how->durable ? r : dir_sync(parent);
}

int read_first_line(const char *path, char *buf, size_t size)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, size - 1);

	if (n < 0)
		return negative_errno();
	buf[n] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
	return (int)strlen(buf);
}

int read_link_at(int folder, const char *path, char *buf, size_t size)
{
	ssize_t n = readlinkat(folder, path, buf, size - 1);

	if (n < 0)
		return negative_errno();
	if ((size_t)n >= size - 1)
		return -ENAMETOOLONG;
	buf[n] = '\0';
	return 0;
}

int read_link(const char *path, char *buf, size_t size)
{
	return read_link_at(AT_FDCWD, path, buf, size);
}

int read_link_name(const char *path, char *buf, size_t size)
{
	char target[PATH_MAX];
	const char *last;
	int r = read_link(path, target, sizeof(target));

	if (r < 0)
		return r;
	last = path_last(target);
	if (strlen(last) >= size)
		return -ENAMETOOLONG;
	(void)strcpy(buf, last);
	return 0;
}

const char *boot_id(void)
{
	static char id[40];

	if (!id[0]) /* what cannot be read leaves it empty */
		ignore_error(read_first_line("/proc/sys/kernel/random/boot_id", id, sizeof(id)));
	return id;
}
