/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guard's memory is there before it is needed, and not where it will not be needed. */
#include "guard/memory.h"
#include "base/macro.h"
#include "tests/unit/fixtures/suite.h"
#include "tests/unit/fixtures/worker-fixture.h"

#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

static int locks[8];
static size_t n_locks;

/* In place of the C library's. */
int mlockall(int flags)
{
	locks[n_locks++] = flags;
	return 0;
}

static size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

/* How many of the pages between two addresses are there, of those that are whole. */
static size_t pages_there(const volatile void *from, const volatile void *to, size_t *ret_all)
{
	const uintptr_t size = page_size(), first = ((uintptr_t)from + size - 1) / size * size,
			end = (uintptr_t)to / size * size;
	unsigned char there[256] = {};
	size_t n = 0, all = (end - first) / size;

	ck_assert_uint_le(all, sizeof(there));
	ck_assert_int_eq(mincore((void *)first, end - first, there), 0);
	for (size_t i = 0; i < all; i++)
		n += there[i] & 1;
	*ret_all = all;
	return n;
}

START_TEST(what_there_is_is_locked_at_once_and_what_comes_when_it_is_used)
{
	memory_lock();
	ck_assert_uint_eq(n_locks, 2);
	ck_assert_int_eq(locks[0], MCL_CURRENT);
	ck_assert_int_eq(locks[1], MCL_FUTURE | MCL_ONFAULT);
}
END_TEST

START_TEST(memory_that_is_touched_is_there)
{
	const size_t size = 20 * page_size();
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t all;

	ck_assert_ptr_ne(p, MAP_FAILED);
	ck_assert_uint_eq(pages_there(p, p + size, &all), 0);
	/* From the middle of the first page to the first byte of the last one. */
	memory_touch(p + page_size() / 2, size - page_size() / 2 - page_size() + 1);
	ck_assert_uint_eq(pages_there(p, p + size, &all), 20);
	(void)munmap(p, size);
}
END_TEST

struct stack {
	int done;
	size_t there, near; /* of the pages that a decision may need */
	size_t bottom;	    /* of those that nobody needs */
};

static void *look_at_stack(void *userdata)
{
	struct stack *s = userdata;
	char *const here = __builtin_frame_address(0);
	const size_t page = page_size();
	pthread_attr_t attr;
	void *bottom;
	size_t size, all;

	s->there = pages_there(here - 32 * 1024, here, &s->near);
	ck_assert_int_eq(pthread_getattr_np(pthread_self(), &attr), 0);
	ck_assert_int_eq(pthread_attr_getstack(&attr, &bottom, &size), 0);
	s->bottom = pages_there((char *)bottom, (char *)bottom + 8 * page, &all);
	(void)pthread_attr_destroy(&attr);
	(void)eventfd_write(s->done, 1);
	return NULL;
}

START_TEST(stack_of_a_thread_is_there_as_far_as_a_decision_needs_it)
{
	struct stack s = { .done = eventfd(0, EFD_CLOEXEC) };
	struct hold *hold = hold_new(1000);
	eventfd_t n;

	ck_assert_int_eq(thread_start(hold, look_at_stack, &s, NULL), 0);
	ck_assert_int_eq(eventfd_read(s.done, &n), 0);
	ck_assert_uint_gt(s.near, 0);
	ck_assert_uint_eq(s.there, s.near);
	ck_assert_uint_eq(s.bottom, 0);
	hold_free(hold);
}
END_TEST

/* So many that some get new memory, and not what was freed: only that is not there by itself. */
START_TEST(memory_of_a_worker_is_there_before_its_first_event)
{
	struct worker_fixture t;
	struct worker *w[16];
	size_t all;

	worker_fixture_new(&t, POLICY_BY_ID);
#ifdef __GLIBC__
	(void)mallopt(M_MMAP_THRESHOLD, 4096);
	(void)mallopt(M_PERTURB, 0); /* meson has it fill all memory */
#endif
	for (size_t i = 0; i < ELEMENTSOF(w); i++) {
		w[i] = worker_new(&t.g);
		ck_assert_uint_gt(w[i]->arena.left, 16 * 1024);
		ck_assert_uint_eq(pages_there(w[i]->message, w[i]->message + UEVENT_SIZE, &all), all);
		ck_assert_uint_eq(pages_there(w[i]->override, w[i]->override + OVERRIDE_MAX, &all), all);
		ck_assert_uint_eq(pages_there(w[i]->arena.next, w[i]->arena.next + w[i]->arena.left, &all),
				  all);
	}
	for (size_t i = 0; i < ELEMENTSOF(w); i++)
		worker_free(w[i]);
	worker_fixture_done(&t);
}
END_TEST

SUITE_MAIN("memory", 30, what_there_is_is_locked_at_once_and_what_comes_when_it_is_used,
	   memory_that_is_touched_is_there, stack_of_a_thread_is_there_as_far_as_a_decision_needs_it,
	   memory_of_a_worker_is_there_before_its_first_event)
