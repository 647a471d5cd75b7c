/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Clocks that never jump, and waiting by one of them. */
#pragma once

#include <stdint.h>

/* CLOCK_MONOTONIC in microseconds. */
uint64_t now_usec(void);

/* The same of CLOCK_BOOTTIME, which goes on while the machine sleeps. */
uint64_t boottime_usec(void);

/* Sleeps for that long, through signals. */
void sleep_usec(uint64_t usec);
