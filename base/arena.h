/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory that is given back all at once. A policy is thousands of short strings that live and die
 * together, and it is read anew for every device event: one allocation for many is what keeps that cheap.
 */
#pragma once

#include "base/macro.h"

#include <stddef.h>

struct arena {
	struct arena_block *blocks;
	char *next;
	size_t left;
	size_t grown; /* the last block's size */
};

/*
 * Makes room for about size bytes at once, with its pages in place: for a caller that knows that they will
 * be used, a page fault for each of them would cost more than filling it. A refusal does no harm.
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

/* Takes all of it back but keeps the oldest block: a user that never needs more than that allocates once. */
void arena_reset(struct arena *a);
