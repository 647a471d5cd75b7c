/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Small things that every folder needs: cleanup attributes, an arena, file names that are safe to make
 * from any bytes. Nothing here knows what a driver or a device is.
 */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))
#define _printf_(a, b) __attribute__((format(printf, a, b)))
#define _pure_ __attribute__((pure))
#define ELEMENTSOF(a) (sizeof(a) / sizeof((a)[0]))

#define TAKE_PTR(p)                                                                                          \
	({                                                                                                   \
		__typeof__(p) *_pp = &(p);                                                                   \
		__typeof__(p) _v = *_pp;                                                                     \
		*_pp = NULL;                                                                                 \
		_v;                                                                                          \
	})

#define TAKE_FD(fd)                                                                                          \
	({                                                                                                   \
		int *_pfd = &(fd);                                                                           \
		int _f = *_pfd;                                                                              \
		*_pfd = -EBADF;                                                                              \
		_f;                                                                                          \
	})

static inline void freep(void *p)
{
	free(*(void **)p);
}

static inline void closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void fclosep(FILE **f)
{
	if (*f)
		fclose(*f);
}

static inline void closedirp(DIR **d)
{
	if (*d)
		closedir(*d);
}

/* errno as a result; negative for certain, which also spares a static analyser its doubts. */
static inline int negative_errno(void)
{
	int r = -errno;

	return r < 0 ? r : -EIO;
}

static inline bool streq(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

/* The rest of s after prefix, or NULL when s does not start with it. */
static inline const char *startswith(const char *s, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(s, prefix, n) == 0 ? s + n : NULL;
}

/* What a hex digit is worth, -1: it is none. Without the locale's tables, which isxdigit() looks things up
 * in. */
static inline int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The decimal number that s begins with; 0: none. */
static inline uint64_t number_of(const char *s)
{
	uint64_t n = 0;

	while (*s >= '0' && *s <= '9')
		n = n * 10 + (uint64_t)(*s++ - '0');
	return n;
}

/*
 * Memory that is given back all at once. A policy is thousands of short strings that live and die
 * together, and it is read anew for every device event: one allocation for many is what keeps that cheap.
 */
struct arena {
	struct arena_block *blocks;
	char *next;
	size_t left;
	size_t grown; /* the last block's size */
};

/*
 * Makes room for about size bytes at once, with its pages in place: for one who knows that they will be
 * used, a page fault for each of them would cost more than filling it. It being refused does no harm.
 */
void arena_reserve(struct arena *a, size_t size);

/* size zeroed bytes, aligned for pointers and 64-bit numbers; NULL when out of memory. Lives until
 * arena_done(). */
void *arena_alloc(struct arena *a, size_t size);
/* A copy of the n bytes at s with a NUL behind; NULL when out of memory. */
char *arena_strndup(struct arena *a, const char *s, size_t n);
char *arena_strdup(struct arena *a, const char *s);
char *arena_printf(struct arena *a, const char *format, ...) _printf_(2, 3);
void arena_done(struct arena *a);
/* Takes all of it back but keeps the oldest block: who never needs more than that allocates once. */
void arena_reset(struct arena *a);

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

/* A growing list of strings; the strings are borrowed (mostly from an arena), the list is owned. */
struct strings {
	const char **v;
	size_t n, allocated;
};

int strings_add(struct strings *l, const char *s);
void strings_done(struct strings *l);

/* Could be the name of a file in a folder: no path, and not the folder itself or the one above. */
bool is_file_name(const char *s) _pure_;

/*
 * Writes name to buf with every byte outside [A-Za-z0-9._:-] as \xHH, as the contract has it for file names
 * made from device names; a leading dot is escaped as well, so that no name is hidden, `.` or `..`.
 * Returns 0, or -ENAMETOOLONG when size does not suffice.
 */
int name_escape(const char *name, char *buf, size_t size);

/*
 * Puts strings together, up to a final NULL: 0, or -ENAMETOOLONG with an empty buf. The first printf() of a
 * process costs as much as reading a small policy, so what runs at every device event does without.
 */
int path_join(char *buf, size_t size, const char *first, ...) __attribute__((sentinel));

/* Copies what fits; for texts that are shorter than their arrays by the rules of policy files. */
static inline void text_copy(char *buf, size_t size, const char *s)
{
	size_t n = strnlen(s, size - 1);

	memcpy(buf, s, n);
	buf[n] = '\0';
}

/* n in decimal digits; buf has room for any. Returns buf. */
char *number_to_text(unsigned n, char buf[static 16]);

/* snprintf() into an array that fails instead of cutting: 0 or -ENAMETOOLONG. */
int path_printf(char *buf, size_t size, const char *format, ...) _printf_(3, 4);

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

/* FNV-1a over n bytes, starting from h (FNV_BASIS for a new one): identity within one boot, no security. */
#define FNV_BASIS UINT64_C(0xcbf29ce484222325)
uint64_t fnv1a(uint64_t h, const void *data, size_t n);

/* This boot's id as the kernel prints it (36 characters), from /proc; "" when it cannot be read. */
const char *boot_id(void);
