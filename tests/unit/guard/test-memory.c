/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guard's memory is there before it is needed, and not where it will not be needed. */
#include "guard/memory.h"
#include "base/macro.h"
#include "tests/unit/fixtures/suite.h"
#include "tests/unit/fixtures/worker-fixture.h"

#include <link.h>
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

/* What was asked of the kernel, in order. */
static struct request {
	char what; /* 'l'ock, 'u'nlock, 'd'rop */
	uintptr_t start, end;
} requests[1024];
static size_t n_requests;
static int all_flags;

static int request_note(char what, const void *p, size_t size)
{
	ck_assert_uint_lt(n_requests, ELEMENTSOF(requests));
	requests[n_requests++] = (struct request){ what, (uintptr_t)p, (uintptr_t)p + size };
	return 0;
}

/* In place of the C library's. */
int mlockall(int flags)
{
	all_flags = flags;
	return 0;
}

int mlock(const void *p, size_t size)
{
	return request_note('l', p, size);
}

int munlock(const void *p, size_t size)
{
	return request_note('u', p, size);
}

int madvise(void *p, size_t size, int advice)
{
	ck_assert_int_eq(advice, MADV_DONTNEED);
	return request_note('d', p, size);
}

static size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

/* What was asked last about the page that an address is in; '-': nothing was. */
static char page_state(uintptr_t address)
{
	char state = '-';

	for (size_t i = 0; i < n_requests; i++)
		if (requests[i].start / page_size() <= address / page_size() && address < requests[i].end)
			state = requests[i].what;
	return state;
}

/* Of the ten pages of a library of code, constants and variables, whose segments begin and end within pages.
 */
static const char *library_states(const char *path)
{
	static char text[11];
	const size_t page = page_size();
	const ElfW(Phdr) segments[] = {
		{ .p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_vaddr = 0, .p_memsz = 2 * page },
		{ .p_type = PT_LOAD, .p_flags = PF_R, .p_vaddr = 4 * page + 16, .p_memsz = 2 * page },
		{ .p_type = PT_LOAD, .p_flags = PF_R | PF_W, .p_vaddr = 9 * page + 8, .p_memsz = 100 },
		{ .p_type = PT_DYNAMIC, .p_flags = PF_R | PF_W, .p_vaddr = 7 * page, .p_memsz = 50 },
	};
	struct dl_phdr_info library = { .dlpi_name = path,
					.dlpi_addr = 1024 * page,
					.dlpi_phdr = segments,
					.dlpi_phnum = ELEMENTSOF(segments) };

	n_requests = 0;
	ck_assert_int_eq(memory_lock_object(&library, sizeof(library), NULL), 0);
	for (size_t i = 0; i < 10; i++)
		text[i] = page_state((1024 + i) * page);
	return text;
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

START_TEST(program_is_fetched_and_locked_and_other_memory_when_it_is_used)
{
	memory_lock();
	ck_assert_int_eq(all_flags, MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
	ck_assert_int_eq(page_state((uintptr_t)memory_lock), 'l');
	ck_assert_int_eq(page_state((uintptr_t)&n_requests), 'l');
}
END_TEST

START_TEST(libraries_are_locked_but_for_those_that_only_load_programs)
{
	static const char *const locked[] = { "", "/lib/x86_64-linux-gnu/libc.so.6", "/lib/libbpf.so.1",
					      "/lib/libelfin.so.1" },
				 *const dropped[] = { "/lib/x86_64-linux-gnu/libelf-0.188.so", "libelf.so.1",
						      "/lib/libz.so.1", "/usr/lib/libzstd.so.1" };

	for (size_t i = 0; i < ELEMENTSOF(locked); i++)
		ck_assert_str_eq(library_states(locked[i]), "ll--lll--l");
	for (size_t i = 0; i < ELEMENTSOF(dropped); i++) {
		ck_assert_str_eq(library_states(dropped[i]), "dd--ddd---");
		/* The kernel does not drop what is locked; and the list of segments is in the first one. */
		ck_assert_uint_eq(n_requests, 4);
		for (size_t k = 0; k < n_requests; k += 2) {
			ck_assert_int_eq(requests[k].what, 'u');
			ck_assert_uint_eq(requests[k].start, requests[k + 1].start);
			ck_assert_uint_eq(requests[k].end, requests[k + 1].end);
		}
		ck_assert_uint_eq(requests[3].start, 1024 * page_size());
	}
}
END_TEST

START_TEST(whole_pages_of_constants_that_are_spared_are_dropped)
{
	static const char constants[4 * 65536] = "x";
	const uintptr_t page = page_size(), first = (uintptr_t)constants / page * page + page;

	memory_spare((const void *)(first - 1), 2 * page);
	memory_lock();
	ck_assert_int_eq(page_state(first - 1), 'l');
	ck_assert_int_eq(page_state(first), 'd');
	ck_assert_int_eq(page_state(first + page), 'l');
	n_requests = 0;
	memory_spare((const void *)(first + 1), 2 * page - 2);
	memory_lock();
	ck_assert_int_eq(page_state(first), 'l');
	ck_assert_int_eq(page_state(first + page), 'l');
	memory_spare(NULL, 0);
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
		ck_assert_uint_eq(pages_there(&w[i]->cache, &w[i]->cache + 1, &all), all);
		ck_assert_uint_eq(pages_there(w[i]->arena.next, w[i]->arena.next + w[i]->arena.left, &all),
				  all);
	}
	for (size_t i = 0; i < ELEMENTSOF(w); i++)
		worker_free(w[i]);
	worker_fixture_done(&t);
}
END_TEST

SUITE_MAIN("memory", 30, program_is_fetched_and_locked_and_other_memory_when_it_is_used,
	   libraries_are_locked_but_for_those_that_only_load_programs,
	   whole_pages_of_constants_that_are_spared_are_dropped, memory_that_is_touched_is_there,
	   stack_of_a_thread_is_there_as_far_as_a_decision_needs_it,
	   memory_of_a_worker_is_there_before_its_first_event)
