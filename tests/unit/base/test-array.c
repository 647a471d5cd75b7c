/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Arrays that grow, and lists. */
#include "base/array.h"
#include "base/list.h"
#include "base/macro.h"
#include "tests/unit/fixtures/suite.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct item {
	struct item *next;
	int value;
};

START_TEST(lists_of_strings_grow)
{
	struct strings l = {};
	char names[100][8];

	for (size_t i = 0; i < ELEMENTSOF(names); i++) {
		(void)snprintf(names[i], sizeof(names[i]), "%zu", i);
		ck_assert_int_eq(strings_add(&l, names[i]), 0);
	}
	ck_assert_uint_eq(l.n, ELEMENTSOF(names));
	for (size_t i = 0; i < ELEMENTSOF(names); i++)
		ck_assert_ptr_eq(l.v[i], names[i]);
	strings_done(&l);
	ck_assert_uint_eq(l.n, 0);
}
END_TEST

START_TEST(arrays_keep_what_is_in_them)
{
	struct item *v = NULL;
	size_t n = 0, allocated = 0;

	while (n < 1000) {
		ck_assert_int_eq(array_reserve(v, allocated, n), 0);
		ck_assert_uint_gt(allocated, n);
		v[n] = (struct item){ .value = (int)n };
		n++;
	}
	/* Room is doubled: few copies, and never more than twice of what is needed. */
	ck_assert_uint_le(allocated, 2 * n);
	for (size_t i = 0; i < n; i++)
		ck_assert_int_eq(v[i].value, (int)i);
	free(v);
}
END_TEST

START_TEST(array_stays_where_there_is_room)
{
	char *v = NULL, *before;
	size_t allocated = 0;

	ck_assert_int_eq(array_reserve(v, allocated, 0), 0);
	before = v;
	ck_assert_int_eq(array_reserve(v, allocated, allocated - 1), 0);
	ck_assert_ptr_eq(v, before);
	free(v);
}
END_TEST

#ifdef __SANITIZE_ADDRESS__
/* What is too large fails as with the C library's own malloc(), and does not end the program. */
const char *__asan_default_options(void) __attribute__((visibility("default")));
const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}
#endif

START_TEST(array_that_is_too_large_stays_as_it_was)
{
	struct item *v = NULL, *before;
	size_t allocated = 0, was;

	ck_assert_int_eq(array_reserve(v, allocated, 0), 0);
	before = v;
	was = allocated;
	ck_assert_int_eq(array_reserve(v, allocated, SIZE_MAX / sizeof(*v) / 2), -ENOMEM);
	ck_assert_ptr_eq(v, before);
	ck_assert_uint_eq(allocated, was);
	free(v);
}
END_TEST

static void assert_list(const struct item *first, const char *expected)
{
	char text[16];
	size_t n = 0;

	for (; first; first = first->next)
		text[n++] = (char)('0' + first->value);
	text[n] = '\0';
	ck_assert_str_eq(text, expected);
}

START_TEST(lists_keep_their_order)
{
	struct item items[4] = { { .value = 0 }, { .value = 1 }, { .value = 2 }, { .value = 3 } },
		    *first = NULL;

	for (int i = 0; i < 3; i++)
		list_append(first, &items[i]);
	assert_list(first, "012");
	ck_assert(list_remove(first, &items[1]));
	assert_list(first, "02");
	ck_assert(!list_remove(first, &items[1]));
	ck_assert(!list_remove(first, &items[3]));
	assert_list(first, "02");
	ck_assert(list_remove(first, &items[0]));
	assert_list(first, "2");
	ck_assert(list_remove(first, &items[2]));
	ck_assert_ptr_null(first);
	items[3].next = NULL;
	list_append(first, &items[3]);
	assert_list(first, "3");
}
END_TEST

SUITE_MAIN("array", 20, lists_of_strings_grow, arrays_keep_what_is_in_them, array_stays_where_there_is_room,
	   array_that_is_too_large_stays_as_it_was, lists_keep_their_order)
