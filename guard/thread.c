/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guard's threads and their lock; see thread.h. */
#include "guard/thread.h"
#include "base/macro.h"
#include "guard/memory.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#define THREAD_STACK_BYTES (256U * 1024U)

struct thread_start {
	void *(*function)(void *);
	void *userdata;
	struct hold *hold;
	bool is_disowned;
};

/*
 * Whether the table of descriptors that this thread uses is without the hold's links. Their numbers may stand
 * for other files in such a table, so nobody may close them a second time: neither this thread nor one that
 * starts with a copy of the table.
 */
static _Thread_local bool is_disowned;

/*
 * Gives the calling thread, which may sleep in the kernel, a table of its own without the hold's links: a
 * process that is killed lives on in such a thread, and the files that it has open live on with it.
 */
static void thread_own_files(struct hold *hold)
{
	if (unshare(CLONE_FILES) < 0 || is_disowned)
		return;
	hold_disown(hold);
	is_disowned = true;
}

static void *thread_main(void *userdata)
{
	const struct thread_start start = *(struct thread_start *)userdata;

	free(userdata);
	is_disowned = start.is_disowned;
	thread_own_files(start.hold);
	memory_touch_stack();
	return start.function(start.userdata);
}

int thread_start(struct hold *hold, void *(*function)(void *), void *userdata, const struct cpus *cpus)
{
	_cleanup_(freep) struct thread_start *start = malloc(sizeof(*start));
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	if (!start)
		return -ENOMEM;
	*start = (struct thread_start){
		.function = function, .userdata = userdata, .hold = hold, .is_disowned = is_disowned
	};
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, THREAD_STACK_BYTES);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	r = -pthread_create(&thread, &attr, thread_main, start);
	(void)pthread_attr_destroy(&attr);
	if (r < 0)
		return r;
	if (cpus)
		(void)pthread_setaffinity_np(thread, cpus->size, cpus->set);
	(void)TAKE_PTR(start); /* the thread frees it */
	return 0;
}

int priority_lock_init(pthread_mutex_t *lock)
{
	pthread_mutexattr_t attr;
	int r = -pthread_mutexattr_init(&attr);

	if (r < 0)
		return r;
	(void)pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
	r = -pthread_mutex_init(lock, &attr);
	(void)pthread_mutexattr_destroy(&attr);
	return r;
}
