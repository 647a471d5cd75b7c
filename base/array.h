/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Arrays that grow: a pointer, how many elements there are, and for how many there is room. */
#pragma once

#include "base/macro.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* For array_reserve(); v points to the array's pointer. */
_must_check_ static inline int array_reserve_bytes(void *v, size_t *allocated, size_t n, size_t element)
{
	size_t want = *allocated ? *allocated : 8;
	void *old, *grown;

	if (n < *allocated)
		return 0;
	while (want <= n)
		want *= 2;
	memcpy(&old, v, sizeof(old));
	grown = reallocarray(old, want, element);
	if (!grown)
		return -ENOMEM;
	memcpy(v, &grown, sizeof(grown));
	*allocated = want;
	return 0;
}

/*
 * Makes room for one more element behind the n that `array` has, twice as much as before where there is
 * none. 0, or -ENOMEM with the array as it was.
 */
#define array_reserve(array, allocated, n)                                                                   \
	array_reserve_bytes(&(array), &(allocated), (n), sizeof((array)[0]))

/* A growing list of strings; the strings are borrowed (mostly from an arena), the list is owned. */
struct strings {
	const char **v;
	size_t n, allocated;
};

/* 0 or -ENOMEM. */
_must_check_ static inline int strings_add(struct strings *l, const char *s)
{
	int r = array_reserve(l->v, l->allocated, l->n);

	if (r >= 0)
		l->v[l->n++] = s;
	return r;
}

static inline int strings_compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static inline void strings_sort(struct strings *l)
{
	if (l->n > 0)
		qsort(l->v, l->n, sizeof(*l->v), strings_compare);
}

static inline void strings_done(struct strings *l)
{
	free(l->v);
	*l = (struct strings){};
}
