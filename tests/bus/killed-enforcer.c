/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The enforcer, killed half-way as by the kernel when memory runs out: DRIVER_OVERRIDE in the environment,
 * with all its processes, right after the Nth of its system calls that change something. N is in
 * SYSFS/../kill-after, which is removed, so that it happens once; a dry run and a mere look are let through.
 * SYSFS/../killed then has the call that was the last.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define OPTIONS                                                                                              \
	(PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |              \
	 PTRACE_O_TRACEVFORK)
#define PROCESSES_MAX 64U

static void fail(const char *what)
{
	perror(what);
	_exit(3);
}

/* 0: it is not to be killed. */
static unsigned take_number(const char *path)
{
	unsigned n = 0;
	FILE *f = fopen(path, "re");

	if (f && fscanf(f, "%u", &n) != 1)
		n = 0;
	if (f)
		(void)fclose(f);
	(void)unlink(path);
	return n;
}

static const char *changing_call(const struct __ptrace_syscall_info *info)
{
	switch (info->entry.nr) {
	case SYS_write:
	case SYS_pwrite64:
		return "write";
#ifdef SYS_rename
	case SYS_rename:
#endif
	case SYS_renameat:
	case SYS_renameat2:
		return "rename";
#ifdef SYS_unlink
	case SYS_unlink:
#endif
	case SYS_unlinkat:
		return "unlink";
	case SYS_fsync:
	case SYS_fdatasync:
		return "fsync";
	case SYS_flock:
		return "flock";
	case SYS_openat:
		return info->entry.args[2] & O_CREAT ? "create" : NULL;
	default:
		return NULL;
	}
}

/* What each process is in the middle of; NULL: nothing that counts. */
struct traced {
	pid_t pid;
	const char *call;
};

static struct traced *traced_find(struct traced *all, pid_t pid)
{
	for (size_t i = 0; i < PROCESSES_MAX; i++)
		if (all[i].pid == pid || all[i].pid == 0) {
			all[i].pid = pid;
			return &all[i];
		}
	fail("too many processes");
	return NULL;
}

static void kill_all(const struct traced *all, const char *path, const char *call)
{
	FILE *f = fopen(path, "we");

	if (!f || fprintf(f, "%s\n", call) < 0 || fclose(f) != 0)
		fail(path);
	for (size_t i = 0; i < PROCESSES_MAX && all[i].pid; i++)
		(void)kill(all[i].pid, SIGKILL);
	/* Whoever waits for this program sees the same end. */
	(void)kill(getpid(), SIGKILL);
}

/* What a program that counts its own coverage writes, or wants to, when it ends is none of this. */
static bool writes_into_tree(pid_t pid, uint64_t fd, const char *root)
{
	char link[64], path[PATH_MAX] = "";

	(void)snprintf(link, sizeof(link), "/proc/%d/fd/%u", pid, (unsigned)fd);
	return readlink(link, path, sizeof(path) - 1) > 0 && strncmp(path, root, strlen(root)) == 0;
}

/* A stop of a traced process at the begin or end of a call. True: that was the last. */
static bool call_ends_it(struct traced *t, const char *root, unsigned *left)
{
	struct __ptrace_syscall_info info;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, t->pid, sizeof(info), &info) < 0)
		return false;
	if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
		t->call = changing_call(&info);
		if (t->call && strcmp(t->call, "write") == 0 &&
		    !writes_into_tree(t->pid, info.entry.args[0], root))
			t->call = NULL;
	} else if (info.op == PTRACE_SYSCALL_INFO_EXIT && t->call && !info.exit.is_error)
		return --*left == 0;
	return false;
}

static int trace(pid_t first, unsigned left, const char *root, const char *killed)
{
	static struct traced all[PROCESSES_MAX];
	int status, result = 3;
	pid_t pid;

	while ((pid = waitpid(-1, &status, __WALL)) > 0) {
		struct traced *t = traced_find(all, pid);
		int sig = 0;

		if (!WIFSTOPPED(status)) {
			if (pid == first)
				result = WIFEXITED(status) ? WEXITSTATUS(status) : 3;
			continue;
		}
		if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
			if (call_ends_it(t, root, &left))
				kill_all(all, killed, t->call);
		} else if (WSTOPSIG(status) != SIGTRAP && WSTOPSIG(status) != SIGSTOP)
			sig = WSTOPSIG(status);
		(void)ptrace(PTRACE_SYSCALL, pid, NULL, sig);
	}
	return result;
}

int main(int argc, char **argv)
{
	char kill_after[PATH_MAX] = "", killed[PATH_MAX] = "", root[PATH_MAX] = "";
	const char *program = getenv("DRIVER_OVERRIDE");
	bool is_work = true;
	unsigned n = 0;
	pid_t child;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--sysfs") == 0 && i + 1 < argc) {
			(void)snprintf(kill_after, sizeof(kill_after), "%s/../kill-after", argv[i + 1]);
			(void)snprintf(killed, sizeof(killed), "%s/../killed", argv[i + 1]);
			(void)snprintf(root, sizeof(root), "%.*s", (int)(strlen(argv[i + 1]) - strlen("sys")),
				       argv[i + 1]);
		}
		if (strcmp(argv[i], "--dry-run") == 0 || strcmp(argv[i], "--look-only") == 0)
			is_work = false;
	}
	/* It does not wait: what it is to do is seen in its arguments. */
	if (argc == 3 && strcmp(argv[2], "--wait") == 0)
		return 2;
	if (!program)
		fail("DRIVER_OVERRIDE");
	if (is_work)
		n = take_number(kill_after);
	argv[0] = (char *)(uintptr_t)program;
	if (n == 0) {
		(void)execv(program, argv);
		fail(program);
	}
	child = fork();
	if (child == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* LeakSanitizer cannot work beside another tracer. */
		(void)setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
		(void)raise(SIGSTOP);
		(void)execv(program, argv);
		fail(program);
	}
	if (ptrace(PTRACE_SEIZE, child, NULL, OPTIONS) < 0)
		fail("ptrace");
	(void)waitpid(child, NULL, WUNTRACED);
	(void)ptrace(PTRACE_SYSCALL, child, NULL, 0);
	(void)kill(child, SIGCONT);
	return trace(child, n, root, killed);
}
