/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How late a real-time thread gets to run: fifo-delay PRIORITY CPU. It is of class SCHED_FIFO, stays on that
 * CPU and wants to run each millisecond, until SIGTERM. Then it prints how often it ran, and its longest
 * delay in microseconds.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#define PERIOD_NS 1000000
#define SECOND_NS 1000000000

static volatile sig_atomic_t is_over;

static void end(int number)
{
	(void)number;
	is_over = 1;
}

static int64_t now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * SECOND_NS + t.tv_nsec;
}

int main(int argc, char **argv)
{
	struct sched_param priority = {};
	int64_t longest_ns = 0, due_ns;
	unsigned long often = 0;
	cpu_set_t cpu;

	if (argc != 3) {
		(void)fputs("fifo-delay PRIORITY CPU\n", stderr);
		return 2;
	}
	priority.sched_priority = atoi(argv[1]);
	CPU_ZERO(&cpu);
	CPU_SET((size_t)atoi(argv[2]), &cpu);
	(void)signal(SIGTERM, end);
	if (mlockall(MCL_CURRENT | MCL_FUTURE) < 0 || sched_setaffinity(0, sizeof(cpu), &cpu) < 0 ||
	    sched_setscheduler(0, SCHED_FIFO, &priority) < 0) {
		perror("fifo-delay");
		return 1;
	}
	for (due_ns = now_ns() + PERIOD_NS; !is_over; often++) {
		const struct timespec due = { .tv_sec = due_ns / SECOND_NS, .tv_nsec = due_ns % SECOND_NS };
		int64_t woken_ns;

		if (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL) == EINTR)
			continue;
		woken_ns = now_ns();
		if (woken_ns - due_ns > longest_ns)
			longest_ns = woken_ns - due_ns;
		due_ns += PERIOD_NS * ((woken_ns - due_ns) / PERIOD_NS + 1);
	}
	(void)printf("%lu %ld\n", often, (long)(longest_ns / 1000));
	return 0;
}
