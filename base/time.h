/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The clock that never jumps, and waiting by it. */
#pragma once

#include <stdint.h>

/* CLOCK_MONOTONIC in microseconds. */
uint64_t now_usec(void);

/* Sleeps for that long, through signals. */
void sleep_usec(uint64_t usec);
