/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* For LD_PRELOAD: the time from one wait for events to the next; see loop-time.h. */
#include "tests/bench/loop-time.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PUBLIC __attribute__((visibility("default")))

static struct loop_time *loop_time;
static uint64_t cpu_since, wall_since;

static uint64_t clock_nsec(clockid_t clock)
{
	struct timespec t;

	(void)clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

static void loop_time_open(void)
{
	const char *path = getenv("LOOP_TIME_FILE");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *p = fd >= 0 ? mmap(NULL, sizeof(*loop_time), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
			  : MAP_FAILED;

	if (fd >= 0)
		(void)close(fd);
	if (p == MAP_FAILED)
		_exit(127);
	loop_time = p;
}

static void round_ended(void)
{
	uint64_t cpu = clock_nsec(CLOCK_THREAD_CPUTIME_ID) - cpu_since,
		 wall = clock_nsec(CLOCK_MONOTONIC) - wall_since;
	unsigned i = 0;

	while (i < LOOP_TIME_BUCKETS - 1 && cpu > (UINT64_C(1000) << i))
		i++;
	loop_time->rounds++;
	loop_time->cpu_nsec += cpu;
	loop_time->bucket[i]++;
	if (cpu > loop_time->cpu_nsec_most)
		loop_time->cpu_nsec_most = cpu;
	if (wall > loop_time->wall_nsec_most)
		loop_time->wall_nsec_most = wall;
}

static void wait_begins(void)
{
	if (!loop_time)
		loop_time_open();
	else
		round_ended();
}

static void wait_ended(void)
{
	cpu_since = clock_nsec(CLOCK_THREAD_CPUTIME_ID);
	wall_since = clock_nsec(CLOCK_MONOTONIC);
}

/* sd-event waits by one of these. */
PUBLIC int epoll_wait(int fd, struct epoll_event *events, int max, int timeout)
{
	static int (*next)(int fd, struct epoll_event *events, int max, int timeout);
	int r;

	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "epoll_wait");
	wait_begins();
	r = next(fd, events, max, timeout);
	wait_ended();
	return r;
}

PUBLIC int epoll_pwait2(int fd, struct epoll_event *events, int max, const struct timespec *timeout,
			const sigset_t *mask)
{
	static int (*next)(int fd, struct epoll_event *events, int max, const struct timespec *timeout,
			   const sigset_t *mask);
	int r;

	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "epoll_pwait2");
	wait_begins();
	r = next(fd, events, max, timeout, mask);
	wait_ended();
	return r;
}
