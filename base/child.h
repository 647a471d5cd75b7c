/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The one place where something runs that can sleep in the kernel: in a process of its own, which its
 * parent can stop waiting for. A process asleep on a device's lock cannot be timed out from inside, and
 * not be killed either; the parent leaves it behind.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

enum child_memory {
	/* A copy of the parent's: what the child does to it is lost, whenever it ends. */
	CHILD_COPY,
	/*
	 * The parent's own, which makes the start four times as fast. After a time-out the parent may only
	 * read what the child has marked as written, and exit: the child may hold any lock.
	 */
	CHILD_SHARED,
};

struct child {
	pid_t pid;
	int pidfd;
};

/*
 * Starts fn(userdata) in a process of its own, without stdin and stdout (nobody who waits for the end of a
 * pipe shall wait for it). What fn returns, 0 or negative errno, becomes its result. 0 or negative errno.
 */
int child_start(struct child *b, enum child_memory memory, int (*fn)(void *userdata), void *userdata);

/*
 * Waits for the end, usec microseconds at most. 0: ended, with fn's result in *ret_result (-ECANCELED: it
 * was killed or crashed); -ETIMEDOUT: not ended, wait on or give up; other negative errno.
 */
int child_wait(struct child *b, uint64_t usec, int *ret_result);

/* Kills the process, which works once it comes back from the kernel, and waits no longer. */
void child_abandon(struct child *b);
