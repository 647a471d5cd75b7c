/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Work in a process of its own, watched by the event loop: a function of ours that may sleep in the kernel
 * (any read of a device's files may), or a program. The loop never waits for it. A process that does not end
 * in time is left behind, and reaped whenever it ends.
 */
#pragma once

#include "base/child.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <systemd/sd-event.h>

struct task;

/* What a function may tell while it works, in memory that both sides see. */
struct task_note {
	char bus[64];
	char name[256]; /* of the device whose files it is reading; "": of none */
};

/*
 * out has what was written, with a NUL behind. All of it is gone when the function returns. What could not be
 * read is as good as not written: then the result is CHILD_KILLED.
 */
typedef void (*task_done_t)(void *userdata, struct child_result result, const char *out, size_t size,
			    const struct task_note *note);

/*
 * Runs fn(out, note, arg) in a copy of this process, without any of its file descriptors: a bus connection
 * that a hanging child kept open would outlive the service. The child dies with the service. fn returns 0 or
 * negative errno. usec is for each device that it notes.
 */
int task_fork(sd_event *event, int (*fn)(FILE *out, struct task_note *note, void *arg), void *arg,
	      uint64_t usec, task_done_t done, void *userdata, struct task **ret);

/* Runs a program, whose stdout is what it writes. It is never killed: it may be half-way with a device. */
int task_spawn(sd_event *event, const char *const *argv, uint64_t usec, task_done_t done, void *userdata,
	       struct task **ret);

/*
 * Starts a program ahead of need: it waits at its stdin for what it is to do, for as long as usec. done: it
 * has ended without having been given that.
 */
int task_prepare(sd_event *event, const char *const *argv, uint64_t usec, task_done_t done, void *userdata,
		 struct task **ret);
/*
 * Gives it that, and from then on it is as task_spawn() would have started it. Negative errno: it has not got
 * it, and waits on.
 */
int task_begin_prepared(struct task *task, const char *request, size_t size, uint64_t usec, task_done_t done,
			void *userdata);
/* It is not needed, and ends by itself. NULL is fine. */
struct task *task_dismiss(struct task *task);

/* Stops caring: done is not called any more. NULL is fine. */
struct task *task_forget(struct task *task);

/* How many processes were left behind, as a rule in the kernel, and have not ended since. */
unsigned tasks_left_behind(void);
/* Calls changed(userdata) whenever that number may have changed. */
void tasks_watch_left_behind(void (*changed)(void *userdata), void *userdata);
