/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How long the kernel waits for the guard at most. A quarter of a second, and more only where this machine
 * has shown that the guard needs more; never so long that the kernel takes the wait for a lockup.
 */
#pragma once

#include <stdint.h>

struct guard;

#define LIMIT_USEC_MAX 2000000U

/*
 * The longest wait that this kernel's lockup detectors stand with room to spare. root: "" for this machine.
 */
uint64_t limit_ceiling_usec(const char *root);

/* The limit where holds needed so long at most. */
uint64_t limit_for_need_usec(uint64_t needed_usec, uint64_t ceiling_usec);

/* The limit at the start: wanted_usec, or that for no need where it is 0. Later guard_follow_limit() changes
 * only that. */
uint64_t guard_first_limit(struct guard *g, uint64_t wanted_usec);

/* Raises the limit, and the time for which an ending guard is waited for, where holds have needed longer than
 * before. For the main thread. */
void guard_follow_limit(struct guard *g);
