/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How long a program's event loop works at one go, which is how long a call waits in it at most, measured
 * inside the program: CPU time does not depend on what else the machine does. Preload loop-time.so; the
 * environment variable LOOP_TIME_FILE names a file of the size of struct loop_time, which is kept up to date.
 */
#pragma once

#include <stdint.h>

#define LOOP_TIME_BUCKETS 24U

struct loop_time {
	uint64_t rounds; /* from one wait for events to the next */
	uint64_t cpu_nsec, cpu_nsec_most;
	uint64_t wall_nsec_most;
	uint64_t bucket[LOOP_TIME_BUCKETS]; /* rounds of up to 2^i microseconds of CPU time */
};
