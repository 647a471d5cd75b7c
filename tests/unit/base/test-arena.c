/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory that is given back at once. */
#include "base/arena.h"
#include "base/macro.h"
#include "tests/unit/fixtures/suite.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

START_TEST(arena_gives_zeroed_memory_of_any_size)
{
	static const size_t sizes[] = { 1, 16, 31, 100, 40000, 3, 5000000, 8 };
	struct arena a = {};
	char *p[ELEMENTSOF(sizes)];

	arena_reserve(&a, 100000);
	for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
		p[i] = arena_alloc(&a, sizes[i]);
		ck_assert_ptr_nonnull(p[i]);
		ck_assert_uint_eq((uintptr_t)p[i] % _Alignof(uint64_t), 0);
		/* All bytes are the first one, and that is 0. */
		ck_assert(p[i][0] == 0 && memcmp(p[i], p[i] + 1, sizes[i] - 1) == 0);
		memset(p[i], (int)i + 1, sizes[i]);
	}
	for (size_t i = 0; i < ELEMENTSOF(sizes); i++)
		ck_assert(p[i][0] == (char)(i + 1) && p[i][sizes[i] - 1] == (char)(i + 1));
	ck_assert_ptr_null(arena_alloc(&a, SIZE_MAX - 8));
	ck_assert_str_eq(arena_printf(&a, "%s-%d", "a", 7), "a-7");
	arena_done(&a);
}
END_TEST

START_TEST(arena_that_is_reset_keeps_its_oldest_block)
{
	struct arena a = {};
	char *first, *again;

	arena_reset(&a); /* nothing to do */
	first = arena_alloc(&a, 2000);
	arena_reset(&a);
	for (int round = 0; round < 3; round++) {
		again = arena_alloc(&a, 500);
		ck_assert_ptr_eq(again, first);
		for (size_t i = 0; i < 500; i++)
			ck_assert_int_eq(again[i], 0);
		memset(again, 0xff, 500);
		if (round == 1) /* does not fit any more: further blocks, which go */
			memset(arena_alloc(&a, 100000), 0xff, 100000);
		arena_reset(&a);
	}
	arena_done(&a);
}
END_TEST

SUITE_MAIN("arena", 20, arena_gives_zeroed_memory_of_any_size, arena_that_is_reset_keeps_its_oldest_block)
