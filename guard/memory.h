/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guard's memory. A page that has to be fetched while the kernel waits may never come: from the very disk
 * that is being held, say. So what there is stays, and what a thread needs until the mark is there before its
 * first event.
 */
#pragma once

#include <link.h>
#include <stddef.h>

/*
 * Keeps the program and its libraries in memory, all of them, but for those that only load BPF programs.
 * Other memory stays from the moment when it is first used, so that what will never be used of it, such as
 * most of a stack, costs nothing. Logs a failure.
 */
void memory_lock(void);

/*
 * What that does with the program itself or with one library, for dl_iterate_phdr(): fetches and locks it as
 * a whole, or drops its code and constants.
 */
int memory_lock_object(struct dl_phdr_info *object, size_t size, void *userdata);

/* Constants of the program that nobody will read any more: memory_lock() leaves them out. One piece only. */
void memory_spare(const void *p, size_t size);

/* Uses each page of new memory, which is zero, so that it is there. */
void memory_touch(void *p, size_t size);

/* The same for as much of the calling thread's stack as it takes to decide about a device. */
void memory_touch_stack(void);
