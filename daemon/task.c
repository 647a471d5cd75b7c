/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Work in a process of its own; see task.h. */
#include "daemon/task.h"
#include "base/errno.h"
#include "base/list.h"
#include "base/macro.h"
#include "base/system.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <systemd/sd-event.h>
#include <time.h>
#include <unistd.h>

/* Two thousand devices are half a megabyte. */
#define OUTPUT_MAX (64U * 1024U * 1024U)

/* What the child of a function writes, and its parent reads. */
struct task_shared {
	struct task_note note;
	int error; /* that the function returned: 0, or as an exit status */
	_Atomic(bool) has_returned;
};

struct task {
	struct task *next;		      /* among those that were left behind */
	sd_event_source *source, *io, *timer; /* source: of the process's end; it owns the pidfd */
	struct task_shared *shared;	      /* with the child; NULL for programs */
	struct task_note noted;		      /* what it said when we last looked */
	uint64_t usec;
	task_done_t done;
	void *userdata;
	char *out;
	size_t size, allocated;
	struct child child;
	int fd;
	int in; /* the stdin of a program that waits for what it is to do; else -EBADF */
	bool may_kill, in_second_half, has_ended;
};

/* Those that were left behind and have not ended. The one place that knows of them. */
static struct {
	struct task *first;
	unsigned n;
	void (*changed)(void *userdata);
	void *userdata;
} left_behind;

static void left_behind_tell(void)
{
	if (left_behind.changed)
		left_behind.changed(left_behind.userdata);
}

unsigned tasks_left_behind(void)
{
	return left_behind.n;
}

void tasks_watch_left_behind(void (*changed)(void *userdata), void *userdata)
{
	left_behind.changed = changed;
	left_behind.userdata = userdata;
}

static void task_release(struct task *t)
{
	t->io = sd_event_source_disable_unref(t->io);
	t->timer = sd_event_source_disable_unref(t->timer);
	closep(&t->fd);
	closep(&t->in);
	t->fd = t->in = -EBADF;
	free(TAKE_PTR(t->out));
	if (t->shared)
		(void)munmap(TAKE_PTR(t->shared), sizeof(*t->shared));
}

static void task_free(void *userdata)
{
	struct task *t = userdata;

	if (list_remove(left_behind.first, t)) {
		left_behind.n--;
		left_behind_tell();
	}
	task_release(t);
	free(t);
}

/* A child that did not come back may be in the middle of writing it. */
static void task_take_note(struct task *t)
{
	if (!t->shared)
		return;
	t->noted = t->shared->note;
	t->noted.bus[sizeof(t->noted.bus) - 1] = t->noted.name[sizeof(t->noted.name) - 1] = '\0';
}

/* From here on the event source of the process's end is all that is left, and frees the rest when it fires.
 */
static void task_leave_behind(struct task *t)
{
	if (t->may_kill)
		(void)sd_event_source_send_child_signal(t->source, SIGKILL, NULL, 0);
	task_take_note(t);
	if (!t->has_ended) {
		t->next = left_behind.first;
		left_behind.first = t;
		left_behind.n++;
		left_behind_tell();
	}
	task_release(t);
	t->done = NULL;
	(void)sd_event_source_set_floating(t->source, true);
	(void)sd_event_source_unref(t->source);
}

struct task *task_forget(struct task *task)
{
	if (task)
		task_leave_behind(task);
	return NULL;
}

static int task_read(struct task *t)
{
	for (;;) {
		ssize_t n;

		if (t->allocated - t->size < 4096) {
			size_t want = t->allocated ? 2 * t->allocated : 8192;
			char *p = want > OUTPUT_MAX ? NULL : realloc(t->out, want);

			if (!p)
				return -ENOMEM;
			t->out = p;
			t->allocated = want;
		}
		n = read(t->fd, t->out + t->size, t->allocated - t->size - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 1 : negative_errno();
		if (n == 0)
			return 0;
		t->size += (size_t)n;
	}
}

static void task_finish(struct task *t, struct child_result result)
{
	task_done_t done = t->done;
	void *userdata = t->userdata;
	_cleanup_(freep) char *out = NULL;
	struct task_note note;
	size_t size = t->size;

	if (t->out)
		t->out[t->size] = '\0';
	out = TAKE_PTR(t->out);
	task_take_note(t);
	note = t->noted;
	task_leave_behind(t);
	done(userdata, result, out ? out : "", out ? size : 0, &note);
}

static int on_child(sd_event_source *s, const siginfo_t *info, void *userdata)
{
	struct task *t = userdata;
	int r;

	if (!t->done) {
		/* It was left behind, and has ended at last: the loop drops the source, which frees the task.
		 */
		(void)sd_event_source_set_floating(s, false);
		return 0;
	}
	r = t->fd >= 0 ? task_read(t) : 0;
	t->may_kill = false;
	t->has_ended = true;
	task_finish(t,
		    r < 0 ? (struct child_result){ .how = CHILD_KILLED } : child_result_of(&t->child, info));
	(void)sd_event_source_set_floating(s, false);
	return 0;
}

/* The function has done all that it had to: the process only has to end, and nobody waits for that. */
static void task_take_return(struct task *t)
{
	const int error = t->shared->error;

	t->may_kill = false;
	t->has_ended = true;
	task_finish(t, error ? (struct child_result){ CHILD_FAILED, -error }
			     : (struct child_result){ CHILD_OK, 0 });
}

static int on_output(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
	struct task *t = userdata;
	int r = task_read(t);

	(void)fd;
	(void)revents;
	if (r < 0)
		task_finish(t, (struct child_result){ .how = CHILD_KILLED });
	else if (r == 0 && t->shared && atomic_load(&t->shared->has_returned))
		task_take_return(t);
	else if (r == 0) /* the end of its output; what counts is the end of the process */
		(void)sd_event_source_set_enabled(s, SD_EVENT_OFF);
	return 0;
}

/*
 * Progress since the last check extends the deadline by half the time; a child without progress is thus
 * detected within all of it.
 */
static int on_deadline(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct task *t = userdata;
	siginfo_t ended = {};
	bool gets_on = false;

	(void)usec;
	if (waitid((idtype_t)P_PIDFD, (id_t)sd_event_source_get_child_pidfd(t->source), &ended,
		   WEXITED | WNOHANG | WNOWAIT) == 0 &&
	    ended.si_pid != 0)
		return 0; /* just in time: the loop is about to tell */
	if (t->shared) {
		gets_on = memcmp(&t->noted, &t->shared->note, sizeof(t->noted)) != 0;
		if (!t->shared->note.name[0] && !t->in_second_half)
			gets_on = t->in_second_half = true; /* about no device: all of its time */
	}
	if (gets_on) {
		t->noted = t->shared->note;
		(void)sd_event_source_set_time_relative(s, t->usec / 2);
		return sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
	}
	task_finish(t, (struct child_result){ .how = CHILD_TIMED_OUT });
	return 0;
}

static struct task *task_new(task_done_t done, void *userdata)
{
	struct task *t = calloc(1, sizeof(*t));

	if (t) {
		t->done = done;
		t->userdata = userdata;
		t->fd = t->in = -EBADF;
		t->child.pidfd = -EBADF;
	}
	return t;
}

/* The process runs: has the loop watch it. */
static int task_watch(struct task *t, sd_event *event)
{
	int r = sd_event_add_child_pidfd(event, &t->source, t->child.pidfd, WEXITED, on_child, t);

	if (r < 0)
		return r;
	(void)sd_event_source_set_child_pidfd_own(t->source, true);
	t->child.pidfd = -EBADF;
	/* After what it wrote. */
	(void)sd_event_source_set_priority(t->source, SD_EVENT_PRIORITY_NORMAL + 1);
	(void)sd_event_source_set_destroy_callback(t->source, task_free);
	r = sd_event_add_io(event, &t->io, t->fd, EPOLLIN, on_output, t);
	if (r >= 0)
		r = sd_event_add_time_relative(event, &t->timer, CLOCK_MONOTONIC,
					       t->shared ? t->usec / 2 : t->usec, 10000, on_deadline, t);
	return r;
}

/* Takes the task, and the pipe's end that the parent reads. */
static int task_start(struct task *t, sd_event *event, int fd, uint64_t usec, struct task **ret)
{
	int r;

	t->fd = fd;
	t->usec = usec;
	r = task_watch(t, event);
	if (r >= 0)
		*ret = t;
	else if (t->source)
		task_leave_behind(t);
	else {
		/* Nothing will reap it before the service ends, which is soon without memory. */
		if (t->may_kill)
			child_abandon(&t->child);
		else
			child_forget(&t->child);
		task_free(t);
	}
	return r < 0 ? r : 0;
}

static _Noreturn void task_run_function(int fd, int (*fn)(FILE *out, struct task_note *note, void *arg),
					struct task_shared *shared, void *arg)
{
	sigset_t none;
	FILE *out;
	int r;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (fd != 3)
		(void)dup2(fd, 3);
	(void)system_close_from(4);
	out = fdopen(3, "w");
	r = out ? fn(out, &shared->note, arg) : -ENOMEM;
	if (out && fflush(out) != 0 && r >= 0)
		r = negative_errno();
	shared->error = r < 0 && r > -125 ? -r : r < 0 ? EIO : 0;
	atomic_store(&shared->has_returned, true);
	/* The parent goes on at the end of what it reads, while the kernel gives back all of this process. */
	(void)close(3);
	_exit(shared->error);
}

int task_fork(sd_event *event, int (*fn)(FILE *out, struct task_note *note, void *arg), void *arg,
	      uint64_t usec, task_done_t done, void *userdata, struct task **ret)
{
	struct task *t = task_new(done, userdata);
	pid_t parent = getpid();
	int fds[2], r = 0;

	if (!t)
		return -ENOMEM;
	t->may_kill = true;
	t->shared = mmap(NULL, sizeof(*t->shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (t->shared == MAP_FAILED || pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0) {
		r = negative_errno();
		if (t->shared == MAP_FAILED)
			t->shared = NULL;
		task_free(t);
		return r;
	}
	t->child.pid = fork();
	if (t->child.pid == 0) {
		/* If the service has died before this, its death is not signalled any more. */
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(ECANCELED);
		(void)fcntl(fds[1], F_SETFL, 0);
		task_run_function(fds[1], fn, t->shared, arg);
	}
	if (t->child.pid < 0)
		r = negative_errno();
	(void)close(fds[1]);
	if (r >= 0)
		t->child.pidfd = system_pidfd_open(t->child.pid);
	if (r >= 0 && t->child.pidfd < 0) {
		r = negative_errno();
		(void)kill(t->child.pid, SIGKILL);
	}
	if (r < 0) {
		(void)close(fds[0]);
		task_free(t);
		return r;
	}
	return task_start(t, event, fds[0], usec, ret);
}

/* in: the program's stdin; 0: it has none. Takes the task. */
static int task_start_program(struct task *t, sd_event *event, const char *const *argv, int in, uint64_t usec,
			      struct task **ret)
{
	int fds[2], r = 0;

	if (pipe2(fds, O_CLOEXEC) < 0) {
		r = negative_errno();
		task_free(t);
		return r;
	}
	(void)fcntl(fds[0], F_SETFL, O_NONBLOCK);
	r = child_start_program(
		&t->child, &(struct child_program){
				   .argv = argv, .in = in, .out = fds[1], .err = -1, .no_stdin = in == 0 });
	(void)close(fds[1]);
	if (r < 0) {
		(void)close(fds[0]);
		task_free(t);
		return r;
	}
	return task_start(t, event, fds[0], usec, ret);
}

int task_spawn(sd_event *event, const char *const *argv, uint64_t usec, task_done_t done, void *userdata,
	       struct task **ret)
{
	struct task *t = task_new(done, userdata);

	return t ? task_start_program(t, event, argv, 0, usec, ret) : -ENOMEM;
}

int task_prepare(sd_event *event, const char *const *argv, uint64_t usec, task_done_t done, void *userdata,
		 struct task **ret)
{
	struct task *t = task_new(done, userdata);
	int fds[2], r;

	if (!t)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0) {
		r = negative_errno();
		task_free(t);
		return r;
	}
	t->in = fds[0];
	r = task_start_program(t, event, argv, fds[1], usec, ret);
	(void)close(fds[1]);
	return r;
}

int task_begin_prepared(struct task *t, const char *request, size_t size, uint64_t usec, task_done_t done,
			void *userdata)
{
	/* The socket is empty, so what it does not take at once is more than it ever does. */
	ssize_t n = send(t->in, request, size, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0)
		return negative_errno();
	if ((size_t)n < size)
		return -EMSGSIZE;
	closep(&t->in);
	t->in = -EBADF;
	t->done = done;
	t->userdata = userdata;
	(void)sd_event_source_set_time_relative(t->timer, usec);
	(void)sd_event_source_set_enabled(t->timer, SD_EVENT_ONESHOT);
	return 0;
}

struct task *task_dismiss(struct task *task)
{
	if (!task)
		return NULL;
	task->has_ended = true; /* it does at the end of its input */
	return task_forget(task);
}
