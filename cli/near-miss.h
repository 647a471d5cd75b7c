/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names that a person may have meant who wrote one that is none. */
#pragma once

#include <stddef.h>

#define NEAR_MISS_MAX 4

struct near_miss {
	const char *wanted;
	const char *names[NEAR_MISS_MAX]; /* the nearest first; borrowed */
	size_t distances[NEAR_MISS_MAX];
	size_t n;
};

struct near_miss near_miss_of(const char *wanted);
/* Takes the name in, if it is near enough. */
void near_miss_try(struct near_miss *m, const char *name);

/* How many letters are to be changed, left out or added to make b of a; case counts for nothing. */
size_t edit_distance(const char *a, const char *b);
