/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runs what can sleep in the kernel in a process that can be left behind; see child.h. */
#include "base/child.h"
#include "base/errno.h"
#include "base/log.h"
#include "base/macro.h"
#include "base/system.h"
#include "base/time.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STACK_SIZE (256U * 1024U)
/* For a few system calls. */
#define PROGRAM_STACK_SIZE (32U * 1024U)

/* A sanitizer knows nothing of a stack that it did not see made. */
#if defined(__SANITIZE_ADDRESS__)
#define _foreign_stack_ __attribute__((no_sanitize_address))
#else
#define _foreign_stack_
#endif

#ifdef COVERAGE
extern void __gcov_dump(void);
#endif

struct function_call {
	int (*fn)(void *userdata);
	void *userdata;
	pid_t parent;
};

struct program_call {
	const struct child_program *program;
	pid_t parent;
	int error; /* what execv() failed with */
};

/* Die with the parent, so that abandoned children do not pile up. If it has died before this, its death is
 * not signalled any more. */
static void child_die_with_parent(pid_t parent)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(ECANCELED);
}

_foreign_stack_ static int child_run_function(void *userdata)
{
	const struct function_call *call = userdata;
	/* File descriptors are never shared: these are the child's alone. */
	int r, null = open("/dev/null", O_RDWR | O_CLOEXEC);

	child_die_with_parent(call->parent);
	(void)dup2(null, STDIN_FILENO);
	(void)dup2(null, STDOUT_FILENO);
	if (log_target() != LOG_TO_STDERR)
		(void)dup2(null, STDERR_FILENO);
	r = call->fn(call->userdata);
#ifdef COVERAGE
	__gcov_dump();
#endif
	_exit(r < 0 && r > -125 ? -r : r < 0 ? EIO : 0);
}

/* Not among the program's own data, all of which a program that locks its memory pays for. NULL with errno.
 */
static char *child_new_stack(void)
{
	void *stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK,
			   -1, 0);

	return stack == MAP_FAILED ? NULL : stack;
}

int child_start(struct child *child, enum child_memory memory, int (*fn)(void *userdata), void *userdata)
{
	/* Static, for in shared memory they must outlive this call; no program needs two at a time. */
	static struct function_call call;
	static char *stack;

	call = (struct function_call){ fn, userdata, getpid() };
	*child = (struct child){ .pidfd = -EBADF };

	switch (memory) {
	case CHILD_COPY:
		child->pid = fork();
		if (child->pid == 0)
			child_run_function(&call);
		if (child->pid < 0)
			return negative_errno();
		child->pidfd = system_pidfd_open(child->pid);
		if (child->pidfd < 0) {
			int r = negative_errno();

			(void)kill(child->pid, SIGKILL);
			return r;
		}
		return 0;
	case CHILD_SHARED:
		if (!stack)
			stack = child_new_stack();
		if (!stack)
			return negative_errno();
		child->pid = clone(child_run_function, stack + STACK_SIZE, CLONE_VM | CLONE_PIDFD | SIGCHLD,
				   &call, &child->pidfd);
		return child->pid < 0 ? negative_errno() : 0;
	}
	return -EINVAL;
}

/* In the parent's memory, while the parent stands still: system calls only. */
_foreign_stack_ static int child_run_program(void *userdata)
{
	struct program_call *call = userdata;
	const struct child_program *p = call->program;
	sigset_t none;
	int null;

	if (p->dies_with_parent)
		child_die_with_parent(call->parent);
	if (p->no_stdin) {
		null = open("/dev/null", O_RDONLY);
		(void)dup2(null, STDIN_FILENO);
		if (null > STDERR_FILENO)
			(void)close(null);
	}
	if (p->in > 0)
		(void)dup2(p->in, STDIN_FILENO);
	if (p->out >= 0)
		(void)dup2(p->out, STDOUT_FILENO);
	if (p->err >= 0)
		(void)dup2(p->err, STDERR_FILENO);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)execv(p->argv[0], (char *const *)(uintptr_t)p->argv);
	call->error = errno;
	_exit(127);
}

int child_start_program(struct child *child, const struct child_program *program)
{
	alignas(16) char stack[PROGRAM_STACK_SIZE];
	struct program_call call = { .program = program, .parent = getpid() };
	sigset_t all, before;
	int r;

	*child = (struct child){ .pidfd = -EBADF, .is_program = true };
	/* No handler of the parent's may run in the child, on memory that both have. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	child->pid = clone(child_run_program, stack + sizeof(stack),
			   CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &call, &child->pidfd);
	r = child->pid < 0 ? negative_errno() : -call.error;
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (child->pid > 0 && r < 0) {
		(void)waitpid(child->pid, NULL, 0);
		child_forget(child);
	}
	return r;
}

void child_forget(struct child *child)
{
	closep(&child->pidfd);
	*child = (struct child){ .pidfd = -EBADF };
}

void child_abandon(struct child *child)
{
	(void)system_pidfd_kill(child->pidfd, SIGKILL);
	child_forget(child);
}

struct child_result child_result_of(const struct child *child, const siginfo_t *info)
{
	if (info->si_code != CLD_EXITED)
		return (struct child_result){ CHILD_KILLED, 0 };
	if (info->si_status == 0)
		return (struct child_result){ CHILD_OK, 0 };
	return (struct child_result){ CHILD_FAILED, child->is_program ? info->si_status : -info->si_status };
}

int child_result_errno(struct child_result result)
{
	switch (result.how) {
	case CHILD_OK:
		return 0;
	case CHILD_FAILED:
		return result.error < 0 ? result.error : -EIO;
	case CHILD_TIMED_OUT:
		return -ETIMEDOUT;
	case CHILD_KILLED:
		return -ECANCELED;
	}
	return -EINVAL;
}

const char *child_result_text(struct child_result result)
{
	switch (result.how) {
	case CHILD_OK:
		return "all is well";
	case CHILD_FAILED:
		return result.error < 0 ? strerror(-result.error) : "it failed";
	case CHILD_TIMED_OUT:
		return "it timed out";
	case CHILD_KILLED:
		return "it was killed";
	}
	return "";
}

/* 1: readable; 0: not within that time; negative errno. */
static int child_poll(int pidfd, uint64_t usec)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	uint64_t now = now_usec(), end = usec > UINT64_MAX - now ? UINT64_MAX : now + usec;
	int r;

	do {
		struct timespec left = { (time_t)((end - now) / 1000000U),
					 (long)((end - now) % 1000000U) * 1000L };

		r = ppoll(&p, 1, end == UINT64_MAX ? NULL : &left, NULL);
		if (r < 0 && errno != EINTR)
			return negative_errno();
		now = now_usec();
	} while (r < 0 && now < end);
	return r > 0;
}

struct child_result child_wait(struct child *child, uint64_t usec)
{
	struct child_result result;
	siginfo_t info = {};
	int r = child_poll(child->pidfd, usec);

	if (r == 0)
		return (struct child_result){ CHILD_TIMED_OUT, 0 };
	if (r > 0 && waitid((idtype_t)P_PIDFD, (id_t)child->pidfd, &info, WEXITED) < 0)
		r = negative_errno();
	if (r < 0) {
		child_abandon(child);
		return (struct child_result){ CHILD_FAILED, r };
	}
	result = child_result_of(child, &info);
	child_forget(child);
	return result;
}

struct child_result child_run(struct child *child, enum child_memory memory, int (*fn)(void *userdata),
			      void *userdata, uint64_t usec)
{
	int r = child_start(child, memory, fn, userdata);

	return r < 0 ? (struct child_result){ CHILD_FAILED, r } : child_wait(child, usec);
}
