/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The one way to leave a child behind. What can sleep in the kernel runs in a process of its own, for which
 * its parent can stop waiting: a process asleep on a device's lock cannot be timed out from inside, and
 * cannot be killed either. Programs are started here as well.
 */
#pragma once

#include "base/macro.h"

#include <signal.h>
#include <stdbool.h>
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
	int pidfd; /* ours until child_wait() saw the end, or child_abandon() */
	bool is_program;
};

enum child_end {
	CHILD_OK,
	CHILD_FAILED,
	CHILD_TIMED_OUT, /* not ended: wait on, or abandon it */
	CHILD_KILLED,	 /* by a signal, or it crashed */
};

struct child_result {
	enum child_end how;
	int error; /* with CHILD_FAILED: negative errno of the function; of a program its exit status */
};

/* The result as waitid(2) and event loops tell it. */
struct child_result child_result_of(const struct child *child, const siginfo_t *info);

/*
 * The result as an errno, for a caller that only passes it on: 0, the function's own, -ETIMEDOUT,
 * -ECANCELED when it was killed, -EIO when a program failed.
 */
_must_check_ int child_result_errno(struct child_result result);

/* The reason in words, for a result that is not CHILD_OK; of a program its exit status is not in it. */
const char *child_result_text(struct child_result result);

/*
 * Starts fn(userdata) in a process of its own, without stdin and stdout (nobody that waits for the end of a
 * pipe must wait for this process), which dies with the parent. fn returns 0 or negative errno. 0 or negative
 * errno.
 */
_must_check_ int child_start(struct child *child, enum child_memory memory, int (*fn)(void *userdata),
			     void *userdata);

struct child_program {
	const char *const *argv; /* a path, arguments, NULL */
	int out, err;		 /* its stdout and stderr; -1: the parent's */
	bool no_stdin;		 /* /dev/null instead of the parent's */
	int in;			 /* its stdin; 0: as no_stdin says */
	bool dies_with_parent;
};

/*
 * Starts a program with no signal blocked. The parent's memory is not copied, so this is quick and safe in
 * a process that has threads or locked memory. 0 or negative errno, execv(2)'s among them.
 */
_must_check_ int child_start_program(struct child *child, const struct child_program *program);

/* Waits for the end, usec microseconds at most; UINT64_MAX: for ever. */
_must_check_ struct child_result child_wait(struct child *child, uint64_t usec);

/* Both of these; what the start failed with is a failure of the child. */
_must_check_ struct child_result child_run(struct child *child, enum child_memory memory,
					   int (*fn)(void *userdata), void *userdata, uint64_t usec);

/* Kills the process, which works once it comes back from the kernel, and waits no longer. */
void child_abandon(struct child *child);

/* Stops caring about a process that is not to be killed; somebody else reaps it. */
void child_forget(struct child *child);
