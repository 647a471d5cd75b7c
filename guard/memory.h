/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guard's memory. A page that has to be fetched while the kernel waits may never come: from the very disk
 * that is being held, say. So what there is stays, and what a thread needs until the mark is there before its
 * first event.
 */
#pragma once

#include <stddef.h>

/*
 * Keeps in memory what the program has by now, all of it, and what it gets later from the moment when it is
 * first used. What will not be used of that, such as most of a thread's stack, costs nothing. Logs a failure.
 */
void memory_lock(void);

/* Uses each page of new memory, which is zero, so that it is there. */
void memory_touch(void *p, size_t size);

/* The same for as much of the calling thread's stack as it takes to decide about a device. */
void memory_touch_stack(void);
