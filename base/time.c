/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Clocks that never jump; see time.h. */
#include "base/time.h"

#include <errno.h>
#include <stdint.h>
#include <time.h>

static uint64_t clock_read_usec(clockid_t clock)
{
	struct timespec t;

	(void)clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000U + (uint64_t)t.tv_nsec / 1000U;
}

uint64_t now_usec(void)
{
	return clock_read_usec(CLOCK_MONOTONIC);
}

uint64_t boottime_usec(void)
{
	return clock_read_usec(CLOCK_BOOTTIME);
}

void sleep_usec(uint64_t usec)
{
	struct timespec left = { (time_t)(usec / 1000000U), (long)(usec % 1000000U) * 1000L };

	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR)
		;
}
