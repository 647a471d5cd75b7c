/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How the guard's threads are started, and the lock that threads of unequal priority share. */
#pragma once

#include "guard/cpus.h"
#include "guard/hold.h"

#include <pthread.h>

/*
 * Starts a thread that nobody joins, on these CPUs (NULL: on the caller's). It runs with a table of
 * descriptors of its own, which starts as a copy of the caller's without those that keep the hold's programs
 * attached (see hold_disown()). 0 or negative errno.
 */
int thread_start(struct hold *hold, void *(*function)(void *), void *userdata, const struct cpus *cpus);

/* A lock whose owner runs with the priority of the most urgent thread that waits for it. 0 or negative errno.
 */
int priority_lock_init(pthread_mutex_t *lock);
