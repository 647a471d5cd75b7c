/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* On which CPUs the guard's threads run, by a kernel that has the CPUs which the test says. */
#include "guard/cpus.h"
#include "base/macro.h"
#include "guard/worker.h"
#include "tests/unit/fixtures/fake-hold.h"
#include "tests/unit/fixtures/mock-sysfs.h"
#include "tests/unit/fixtures/suite.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define IDS_MAX 8192

/* The kernel: how many CPUs the machine may have, which are online and allowed, and what it was asked for. */
static size_t possible;
static bool online[IDS_MAX], asked_for[IDS_MAX];
static int refusal;
/* Where a standby thread was put last, by its recheck delay: the first one that is placed is 0. */
static atomic_int n_moves, n_begun;
static atomic_bool may_begin;
static bool places[STANDBY_THREADS][IDS_MAX];

static void copy_set(bool to[static IDS_MAX], const cpu_set_t *set, size_t size)
{
	for (size_t i = 0; i < IDS_MAX; i++)
		to[i] = i < size * 8 && CPU_ISSET_S(i, size, set);
}

/* In place of the C library's. */
int sched_setaffinity(pid_t tid, size_t size, const cpu_set_t *set)
{
	if (tid != 0)
		copy_set(places[atomic_fetch_add(&n_moves, 1) % STANDBY_THREADS], set, size);
	else if (refusal) {
		errno = refusal;
		return -1;
	} else
		copy_set(asked_for, set, size);
	return 0;
}

int pthread_setaffinity_np(pthread_t thread, size_t size, const cpu_set_t *set)
{
	(void)thread;
	copy_set(places[atomic_fetch_add(&n_moves, 1) % STANDBY_THREADS], set, size);
	return 0;
}

int sched_getaffinity(pid_t tid, size_t size, cpu_set_t *set)
{
	(void)tid;
	if (size * 8 < possible) {
		errno = EINVAL;
		return -1;
	}
	CPU_ZERO_S(size, set);
	for (size_t i = 0; i < possible; i++)
		if (online[i])
			CPU_SET_S(i, size, set);
	return 0;
}

/* The first thing that a standby thread asks for. */
pid_t gettid(void)
{
	while (!atomic_load(&may_begin))
		(void)usleep(1000);
	return getpid();
}

/* Nothing is ever late. */
struct hold_late *hold_late_new(struct hold *h)
{
	return (struct hold_late *)h;
}

int hold_late_wait(struct hold_late *late, struct hold_late_device *ret)
{
	(void)late;
	(void)ret;
	atomic_fetch_add(&n_begun, 1);
	for (;;)
		(void)pause();
}

/* A machine with CPUs first, first + step, …, below end. */
static void machine_set(size_t possible_cpus, size_t first, size_t step, size_t end)
{
	possible = possible_cpus;
	for (size_t i = 0; i < IDS_MAX; i++)
		online[i] = i >= first && i < end && (i - first) % step == 0;
}

START_TEST(halves_are_disjoint_and_are_all_cpus_together)
{
	static const struct {
		size_t possible, first, step, end;
		int halves[2];
	} machines[] = {
		{ 2, 0, 1, 2, { 1, 1 } },
		{ 4, 0, 1, 4, { 2, 2 } },
		{ 64, 0, 1, 64, { 32, 32 } },
		/* One of them is offline. */
		{ 4, 0, 1, 3, { 2, 1 } },
		/* The second thread of each core is off. */
		{ 16, 0, 2, 16, { 4, 4 } },
		{ 5000, 3, 7, 5000, { 357, 357 } },
	};

	for (size_t m = 0; m < ELEMENTSOF(machines); m++) {
		struct cpus all, halves[2];

		machine_set(machines[m].possible, machines[m].first, machines[m].step, machines[m].end);
		ck_assert_int_eq(cpus_take_all(&all), 0);
		for (unsigned h = 0; h < 2; h++) {
			ck_assert_int_eq(cpus_half(&all, h, &halves[h]), 0);
			ck_assert_int_eq(cpus_count(&halves[h]), machines[m].halves[h]);
		}
		for (size_t i = 0; i < machines[m].possible; i++)
			ck_assert_int_eq(!!CPU_ISSET_S(i, halves[0].size, halves[0].set) +
						 !!CPU_ISSET_S(i, halves[1].size, halves[1].set),
					 online[i]);
		cpus_done(&halves[0]);
		cpus_done(&halves[1]);
		cpus_done(&all);
	}
}
END_TEST

START_TEST(both_halves_of_a_single_cpu_are_that_one)
{
	struct cpus all, half;

	machine_set(4, 2, 1, 3);
	ck_assert_int_eq(cpus_take_all(&all), 0);
	for (unsigned h = 0; h < 2; h++) {
		ck_assert_int_eq(cpus_half(&all, h, &half), 0);
		ck_assert(cpus_equal(&all, &half));
		cpus_done(&half);
	}
	cpus_done(&all);
}
END_TEST

START_TEST(all_cpus_that_there_may_be_are_asked_for)
{
	struct cpus all;

	machine_set(3000, 0, 1, 64);
	ck_assert_int_eq(cpus_take_all(&all), 0);
	ck_assert_int_eq(cpus_count(&all), 64);
	for (size_t i = 0; i < 3000; i++)
		ck_assert(asked_for[i]);
	cpus_done(&all);
	/* A sandbox without that call: those that it has are used. */
	refusal = EPERM;
	ck_assert_int_eq(cpus_take_all(&all), 0);
	ck_assert_int_eq(cpus_count(&all), 64);
	cpus_done(&all);
	refusal = 0;
}
END_TEST

static void check_places(const char *first, const char *second)
{
	const char *const expected[] = { first, second };

	for (size_t t = 0; t < STANDBY_THREADS; t++)
		for (size_t i = 0; i < IDS_MAX; i++)
			ck_assert_int_eq(places[t][i], i < 10 && strchr(expected[t], '0' + (char)i) != NULL);
}

static void follow_cpus(struct guard *g, int moves)
{
	standby_follow_cpus(g);
	ck_assert_int_eq(atomic_load(&n_moves), moves);
	standby_follow_cpus(g); /* nothing has changed */
	ck_assert_int_eq(atomic_load(&n_moves), moves);
}

START_TEST(standby_threads_follow_cpus_that_come_and_go)
{
	struct mock *m = mock_new();
	static struct guard g; /* its threads end with this process */

	g = (struct guard){ .settings = &m->settings, .hold = hold_new(1000) };
	machine_set(8, 0, 1, 1);
	standby_follow_cpus(&g); /* a single CPU: there is no need of them */
	ck_assert_ptr_null(g.standby[0]);
	machine_set(8, 0, 1, 4);
	follow_cpus(&g, 2);
	ck_assert(g.standby[0] && g.standby[1]);
	check_places("02", "13");
	machine_set(8, 0, 1, 7);
	follow_cpus(&g, 2); /* threads that have not begun yet cannot be moved */
	atomic_store(&may_begin, true);
	while (atomic_load(&n_begun) < STANDBY_THREADS)
		(void)usleep(1000);
	follow_cpus(&g, 4);
	check_places("0246", "135");
	machine_set(8, 0, 2, 8);
	follow_cpus(&g, 6);
	check_places("04", "26");
	machine_set(8, 5, 1, 6);
	follow_cpus(&g, 8);
	check_places("5", "5");
}
END_TEST

SUITE_MAIN("cpus", 30, halves_are_disjoint_and_are_all_cpus_together,
	   both_halves_of_a_single_cpu_are_that_one, all_cpus_that_there_may_be_are_asked_for,
	   standby_threads_follow_cpus_that_come_and_go)
