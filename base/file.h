/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads and replaces files, links and folders. */
#pragma once

#include "base/macro.h"

#include <stddef.h>

/*
 * The names in a folder, hidden ones left out, without the memory that opendir() allocates for it. A name is
 * good until the next call.
 */
struct dir_reader {
	int fd;
	size_t at, n; /* in buf */
	char buf[2048] __attribute__((aligned(8)));
};

/* 0 or negative errno. */
int dir_open(struct dir_reader *d, const char *path);

/* NULL: there are no more, or they cannot be read. */
const char *dir_next(struct dir_reader *d);

static inline void dir_close(struct dir_reader *d)
{
	closep(&d->fd);
}

/*
 * Reads all of an open file, at most max bytes. *ret is malloc()ed with a NUL behind its *ret_size bytes.
 * -EFBIG when there is more. `guess` is how large it probably is. Loops over short reads.
 */
int read_full(int fd, size_t guess, size_t max, char **ret, size_t *ret_size);

/* The first line of a file, cut off where buf ends. Its length, or negative errno with buf untouched. */
int read_first_line(const char *path, char *buf, size_t size);

/* Where a symbolic link points to, and the last name in that. 0, -ENAMETOOLONG, or another negative errno. */
int read_link(const char *path, char *buf, size_t size);
int read_link_name(const char *path, char *buf, size_t size);

/* This boot's id as the kernel prints it (36 characters), from /proc; "" when it cannot be read. */
const char *boot_id(void);
