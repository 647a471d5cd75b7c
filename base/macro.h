/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the compiler is told in every file: attributes, cleanup, and the size of an array. */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))
/* The result tells of a failure that the caller must handle. */
#define _must_check_ __attribute__((warn_unused_result))
#define _nonnull_(...) __attribute__((nonnull(__VA_ARGS__)))
#define _printf_(a, b) __attribute__((format(printf, a, b)))
#define _pure_ __attribute__((pure))

#define ELEMENTSOF(a) (sizeof(a) / sizeof((a)[0]))

/* The struct of that type whose member `pointer` points to. */
#define container_of(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* The pointer's value, which from now on belongs to whoever takes it. */
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
