/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads and replaces files, links and folders. */
#pragma once

#include "base/macro.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct timespec;

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
_must_check_ int dir_open(struct dir_reader *d, const char *path);

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
_must_check_ int read_full(int fd, size_t guess, size_t max, char **ret, size_t *ret_size);

/* Writes all n bytes, through interrupted and short writes. 0 or negative errno. */
_must_check_ int write_full(int fd, const void *data, size_t n);

/* How file_replace() does it. */
struct file_replacement {
	const char *path;
	/* A template for mkostemp(3) on the same file system: what a killed process leaves has such a name.
	 */
	const char *temporary;
	const struct timespec *times; /* as futimens(2) takes them; NULL: now */
	mode_t mode;
	bool durable; /* on the disk when this returns: first the content, then the name, then its folder */
};

/*
 * Puts n bytes in the place of a file, at once and whole: a reader sees the old file or the new one. Folders
 * must exist (-ENOENT). 0 or negative errno; then the old file is still there, unless only its folder could
 * not be synced.
 */
_must_check_ int file_replace(const struct file_replacement *how, const void *data, size_t n);

/*
 * The same in steps, for several files that are to be replaced at the same time: what can fail comes first,
 * and the disk is waited for once. Each is zeroed by whoever makes it; fd is open as long as there is a
 * draft.
 */
struct file_draft {
	int fd;
	char path[PATH_MAX];
};

/* The content, under a temporary name. */
_must_check_ int file_draft_write(struct file_draft *ret, const struct file_replacement *how,
				  const void *data, size_t n);
/* Waits for the disk. 0 or negative errno. */
_must_check_ int file_draft_sync(const struct file_draft *draft);
/* Puts it in the file's place; its folder is not synced. In any case there is no draft afterwards. */
_must_check_ int file_draft_place(struct file_draft *draft, const struct file_replacement *how);
void file_draft_drop(struct file_draft *draft);

/* Has a folder's entries written to the disk. 0 or negative errno. */
_must_check_ int dir_sync(const char *path);

/* Makes one folder, 0755, unless there is something of that name. 0 or negative errno. */
_must_check_ int dir_make(const char *path);

/* The first line of a file, cut off where buf ends. Its length, or negative errno with buf untouched. */
_must_check_ int read_first_line(const char *path, char *buf, size_t size);

/* Where a symbolic link points to, and the last name in that. 0, -ENAMETOOLONG, or another negative errno. */
_must_check_ int read_link(const char *path, char *buf, size_t size);
_must_check_ int read_link_at(int folder, const char *path, char *buf, size_t size);
_must_check_ int read_link_name(const char *path, char *buf, size_t size);

/* This boot's id as the kernel prints it (36 characters), from /proc; "" when it cannot be read. */
const char *boot_id(void);
