/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runs what can sleep in the kernel in a process that can be left behind; see child.h. */
#include "base/child.h"
#include "base/errno.h"
#include "base/log.h"
#include "base/time.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdalign.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STACK_SIZE (256U * 1024U)

#ifdef COVERAGE
extern void __gcov_dump(void);
#endif

struct task {
	int (*fn)(void *userdata);
	void *userdata;
};

/* A sanitizer knows nothing of the stack it is on. */
#if defined(__SANITIZE_ADDRESS__)
__attribute__((no_sanitize_address))
#endif
static int
run(void *userdata)
{
	const struct task *task = userdata;
	/* File descriptors are never shared: these are the child's alone. */
	int r, null = open("/dev/null", O_RDWR | O_CLOEXEC);

	/* Who is left behind by his parent leaves nobody behind in turn. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)dup2(null, STDIN_FILENO);
	(void)dup2(null, STDOUT_FILENO);
	if (log_target() != LOG_TO_STDERR)
		(void)dup2(null, STDERR_FILENO);
	r = task->fn(task->userdata);
#ifdef COVERAGE
	__gcov_dump();
#endif
	_exit(r < 0 && r > -125 ? -r : r < 0 ? EIO : 0);
}

int child_start(struct child *b, enum child_memory memory, int (*fn)(void *userdata), void *userdata)
{
	/* Static, for in shared memory they must outlive this call; one at a time is all that anybody needs.
	 */
	static alignas(16) char stack[STACK_SIZE];
	static struct task task;

	task = (struct task){ fn, userdata };
	*b = (struct child){ .pidfd = -EBADF };

	switch (memory) {
	case CHILD_COPY:
		b->pid = fork();
		if (b->pid == 0)
			run(&task);
		if (b->pid < 0)
			return negative_errno();
		b->pidfd = pidfd_open(b->pid, 0);
		return b->pidfd < 0 ? negative_errno() : 0;
	case CHILD_SHARED:
		b->pid = clone(run, stack + STACK_SIZE, CLONE_VM | CLONE_PIDFD | SIGCHLD, &task, &b->pidfd);
		return b->pid < 0 ? negative_errno() : 0;
	}
	return -EINVAL;
}

static void forget(struct child *b)
{
	(void)close(b->pidfd);
	*b = (struct child){ .pidfd = -EBADF };
}

int child_wait(struct child *b, uint64_t usec, int *ret_result)
{
	struct pollfd p = { .fd = b->pidfd, .events = POLLIN };
	uint64_t end = now_usec() + usec, now = end - usec;
	siginfo_t info = {};
	int r;

	do {
		struct timespec left = { (time_t)((end - now) / 1000000U),
					 (long)((end - now) % 1000000U) * 1000L };

		r = ppoll(&p, 1, &left, NULL);
		now = now_usec();
	} while (r < 0 && errno == EINTR && now < end);
	if (r <= 0)
		return r == 0 || errno == EINTR ? -ETIMEDOUT : negative_errno();

	if (waitid((idtype_t)P_PIDFD, (id_t)b->pidfd, &info, WEXITED) < 0)
		return negative_errno();
	*ret_result = info.si_code == CLD_EXITED ? -info.si_status : -ECANCELED;
	forget(b);
	return 0;
}

void child_abandon(struct child *b)
{
	(void)kill(b->pid, SIGKILL);
	(void)close(b->pidfd);
	*b = (struct child){ .pidfd = -EBADF };
}
