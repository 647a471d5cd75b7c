/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Work in a process of its own; see task.h. */
#include "daemon/task.h"
#include "base/errno.h"
#include "base/macro.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Two thousand devices are half a megabyte. */
#define OUTPUT_MAX (64U * 1024U * 1024U)

struct task {
	sd_event_source *child, *io, *timer;
	struct task_note *note; /* shared with the child; NULL for programs */
	struct task_note noted; /* what it said when we last looked */
	uint64_t usec;
	task_done_t done;
	void *userdata;
	char *out;
	size_t size, allocated;
	pid_t pid;
	int fd;
	bool may_kill, in_second_half;
};

static void release(struct task *t)
{
	t->io = sd_event_source_disable_unref(t->io);
	t->timer = sd_event_source_disable_unref(t->timer);
	if (t->fd >= 0)
		(void)close(t->fd);
	t->fd = -EBADF;
	free(TAKE_PTR(t->out));
	if (t->note)
		(void)munmap(TAKE_PTR(t->note), sizeof(*t->note));
}

static void free_task(void *userdata)
{
	struct task *t = userdata;

	release(t);
	free(t);
}

/* From here on the child's own event source is all that is left, and frees the rest when it fires. */
static void leave_behind(struct task *t)
{
	if (t->may_kill)
		(void)kill(t->pid, SIGKILL);
	release(t);
	t->done = NULL;
	(void)sd_event_source_set_floating(t->child, true);
	(void)sd_event_source_unref(t->child);
}

struct task *task_forget(struct task *task)
{
	if (task)
		leave_behind(task);
	return NULL;
}

static int read_more(struct task *t)
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

static void finish(struct task *t, int result)
{
	task_done_t done = t->done;
	void *userdata = t->userdata;
	_cleanup_(freep) char *out = NULL;
	struct task_note note = {};
	size_t size = t->size;

	if (t->out)
		t->out[t->size] = '\0';
	out = TAKE_PTR(t->out);
	if (t->note) {
		note = *t->note;
		/* A child that did not come back may be in the middle of it. */
		note.bus[sizeof(note.bus) - 1] = note.name[sizeof(note.name) - 1] = '\0';
	}
	leave_behind(t);
	done(userdata, result, out ? out : "", out ? size : 0, &note);
}

static int on_child(sd_event_source *s, const siginfo_t *info, void *userdata)
{
	struct task *t = userdata;
	int r;

	if (!t->done) {
		/* Left behind, and back at last: the loop lets go of the source, which frees the task. */
		(void)sd_event_source_set_floating(s, false);
		return 0;
	}
	r = t->fd >= 0 ? read_more(t) : 0;
	t->may_kill = false;
	finish(t, r < 0 ? r : info->si_code == CLD_EXITED ? info->si_status : -ECANCELED);
	(void)sd_event_source_set_floating(s, false);
	return 0;
}

static int on_io(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
	struct task *t = userdata;
	int r = read_more(t);

	(void)fd;
	(void)revents;
	if (r < 0)
		finish(t, r);
	else if (r == 0) /* its end; what counts is the process */
		(void)sd_event_source_set_enabled(s, SD_EVENT_OFF);
	return 0;
}

/* Who gets on is given more time; half of it each time, so that one who does not is found out within all of
 * it. */
static int on_timer(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct task *t = userdata;
	siginfo_t ended = {};
	bool gets_on = false;

	(void)usec;
	if (waitid(P_PID, (id_t)t->pid, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid != 0)
		return 0; /* just in time: the loop is about to tell */
	if (t->note) {
		gets_on = memcmp(&t->noted, t->note, sizeof(t->noted)) != 0;
		if (!t->note->name[0] && !t->in_second_half)
			gets_on = t->in_second_half = true; /* about no device: all of its time */
	}
	if (gets_on) {
		t->noted = *t->note;
		(void)sd_event_source_set_time_relative(s, t->usec / 2);
		return sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
	}
	finish(t, -ETIMEDOUT);
	return 0;
}

static struct task *new_task(task_done_t done, void *userdata)
{
	struct task *t = calloc(1, sizeof(*t));

	if (t) {
		t->done = done;
		t->userdata = userdata;
		t->fd = -EBADF;
	}
	return t;
}

/* The process runs: have the loop watch it. Takes the pipe's end over. */
static int watch(struct task *t, sd_event *event, int fd, uint64_t usec)
{
	int r;

	t->fd = fd;
	t->usec = usec;
	r = sd_event_add_child(event, &t->child, t->pid, WEXITED, on_child, t);
	if (r < 0)
		return r;
	/* After what it wrote. */
	(void)sd_event_source_set_priority(t->child, SD_EVENT_PRIORITY_NORMAL + 1);
	(void)sd_event_source_set_destroy_callback(t->child, free_task);

	r = sd_event_add_io(event, &t->io, fd, EPOLLIN, on_io, t);
	if (r >= 0)
		r = sd_event_add_time_relative(event, &t->timer, CLOCK_MONOTONIC, t->note ? usec / 2 : usec,
					       10000, on_timer, t);
	return r;
}

static int start(struct task *t, sd_event *event, int fd, uint64_t usec, struct task **ret)
{
	int r = watch(t, event, fd, usec);

	if (r >= 0) {
		*ret = t;
		return 0;
	}
	if (t->child)
		leave_behind(t);
	else
		free_task(t);
	return r;
}

static _Noreturn void run(int fd, int (*fn)(FILE *out, struct task_note *note, void *arg),
			  struct task_note *note, void *arg)
{
	sigset_t none;
	FILE *out;
	int r;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (fd != 3)
		(void)dup2(fd, 3);
	(void)close_range(4, ~0U, 0);
	out = fdopen(3, "w");
	r = out ? fn(out, note, arg) : -ENOMEM;
	if (out && fflush(out) != 0 && r >= 0)
		r = negative_errno();
	_exit(r < 0 && r > -125 ? -r : r < 0 ? EIO : 0);
}

int task_fork(sd_event *event, int (*fn)(FILE *out, struct task_note *note, void *arg), void *arg,
	      uint64_t usec, task_done_t done, void *userdata, struct task **ret)
{
	struct task *t = new_task(done, userdata);
	pid_t parent;
	int fds[2];

	if (!t)
		return -ENOMEM;
	t->may_kill = true;
	t->note = mmap(NULL, sizeof(*t->note), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (t->note == MAP_FAILED || pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0) {
		int r = negative_errno();

		if (t->note == MAP_FAILED)
			t->note = NULL;
		free_task(t);
		return r;
	}
	parent = getpid();
	t->pid = fork();
	if (t->pid == 0) {
		/* If the service has died before this, its death is not signalled any more. */
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(ECANCELED);
		(void)fcntl(fds[1], F_SETFL, 0);
		run(fds[1], fn, t->note, arg);
	}
	(void)close(fds[1]);
	if (t->pid < 0) {
		int r = negative_errno();

		(void)close(fds[0]);
		free_task(t);
		return r;
	}
	return start(t, event, fds[0], usec, ret);
}

static int spawn(pid_t *pid, const char *const *argv, int out)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none;
	int r;

	(void)sigemptyset(&none);
	(void)posix_spawnattr_init(&attr);
	(void)posix_spawnattr_setsigmask(&attr, &none);
	(void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	(void)posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	r = posix_spawn(pid, argv[0], &actions, &attr, (char *const *)(uintptr_t)argv, environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	(void)posix_spawnattr_destroy(&attr);
	return -r;
}

int task_spawn(sd_event *event, const char *const *argv, uint64_t usec, task_done_t done, void *userdata,
	       struct task **ret)
{
	struct task *t = new_task(done, userdata);
	int fds[2], r;

	if (!t)
		return -ENOMEM;
	if (pipe2(fds, O_CLOEXEC) < 0) {
		r = negative_errno();
		free_task(t);
		return r;
	}
	(void)fcntl(fds[0], F_SETFL, O_NONBLOCK);
	r = spawn(&t->pid, argv, fds[1]);
	(void)close(fds[1]);
	if (r < 0) {
		(void)close(fds[0]);
		free_task(t);
		return r;
	}
	return start(t, event, fds[0], usec, ret);
}
