/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory that is given back all at once; see arena.h. */
#include "base/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* A device needs a few hundred bytes, a policy of a thousand rules some hundred thousand. */
#define ARENA_BLOCK_MIN 1000U
#define ARENA_BLOCK_MAX (64U * 1024U)
#define ARENA_ALIGN alignof(uint64_t)

struct arena_block {
	struct arena_block *next;
	size_t size;
	size_t mapped; /* bytes from mmap(); 0: from calloc() */
	char data[];
};

static void arena_add_block(struct arena *a, struct arena_block *b, size_t size)
{
	b->next = a->blocks;
	b->size = size;
	a->blocks = b;
	a->next = b->data;
	a->left = size;
}

void arena_reserve(struct arena *a, size_t size)
{
	struct arena_block *b;

	if (size < ARENA_BLOCK_MAX)
		return;
	size += sizeof(*b);
	b = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (b == MAP_FAILED)
		return;
	b->mapped = size;
	arena_add_block(a, b, size - sizeof(*b));
}

void *arena_alloc(struct arena *a, size_t size)
{
	void *p;

	if (size > SIZE_MAX / 2)
		return NULL;
	size = (size + ARENA_ALIGN - 1) & ~(ARENA_ALIGN - 1);

	if (size > a->left) {
		size_t want = a->grown ? 2 * a->grown : ARENA_BLOCK_MIN;
		struct arena_block *b;

		if (want > ARENA_BLOCK_MAX)
			want = ARENA_BLOCK_MAX;
		a->grown = want;
		if (want < size)
			want = size;
		b = calloc(1, sizeof(*b) + want);
		if (!b)
			return NULL;
		arena_add_block(a, b, want);
	}
	p = a->next;
	a->next += size;
	a->left -= size;
	return p;
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
	char *p = arena_alloc(a, n + 1);

	if (p)
		memcpy(p, s, n);
	return p;
}

char *arena_strdup(struct arena *a, const char *s)
{
	return arena_strndup(a, s, strlen(s));
}

char *arena_printf(struct arena *a, const char *format, ...)
{
	va_list ap;
	char *p;
	int n;

	va_start(ap, format);
	n = vsnprintf(NULL, 0, format, ap);
	va_end(ap);
	if (n < 0)
		return NULL;

	p = arena_alloc(a, (size_t)n + 1);
	if (!p)
		return NULL;
	va_start(ap, format);
	(void)vsnprintf(p, (size_t)n + 1, format, ap);
	va_end(ap);
	return p;
}

static void arena_free_blocks(struct arena_block *b, const struct arena_block *end)
{
	while (b != end) {
		struct arena_block *next = b->next;

		if (b->mapped)
			(void)munmap(b, b->mapped);
		else
			free(b);
		b = next;
	}
}

void arena_done(struct arena *a)
{
	arena_free_blocks(a->blocks, NULL);
	*a = (struct arena){};
}

void arena_reset(struct arena *a)
{
	struct arena_block *oldest = a->blocks;
	size_t used;

	if (!oldest)
		return;
	used = (size_t)(a->next - oldest->data);
	while (oldest->next) {
		oldest = oldest->next;
		used = oldest->size;
	}
	arena_free_blocks(a->blocks, oldest);
	memset(oldest->data, 0, used);
	*a = (struct arena){ .blocks = oldest, .next = oldest->data, .left = oldest->size };
}
