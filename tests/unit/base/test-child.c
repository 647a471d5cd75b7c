/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What can sleep runs in a process that its parent can leave behind. */
#include "base/child.h"
#include "base/time.h"
#include "tests/unit/fixtures/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int answer;

static int return_it(void *userdata)
{
	answer = 42;
	return *(int *)userdata;
}

static int sleep_long(void *userdata)
{
	(void)userdata;
	for (int i = 0; i < 60; i++)
		(void)sleep(1);
	return 0;
}

static int crash(void *userdata)
{
	(void)userdata;
	(void)raise(SIGKILL);
	return 0;
}

/* Nobody's pipe: what is there is /dev/null, so that no file opened later becomes anybody's stdout. */
static int stdin_and_stdout_are_nobodys(void *userdata)
{
	struct stat in, out, null;

	(void)userdata;
	if (fstat(STDIN_FILENO, &in) < 0 || fstat(STDOUT_FILENO, &out) < 0 || stat("/dev/null", &null) < 0)
		return -EBADF;
	return in.st_rdev == null.st_rdev && out.st_rdev == null.st_rdev && S_ISCHR(in.st_mode) ? 0 : -EEXIST;
}

static struct child_result run_function(enum child_memory memory, int (*fn)(void *userdata), int value)
{
	static int userdata;
	struct child child;

	userdata = value;
	return child_run(&child, memory, fn, &userdata, 30000000);
}

static void assert_result(struct child_result result, enum child_end how, int error)
{
	ck_assert_int_eq(result.how, how);
	ck_assert_int_eq(result.error, error);
}

START_TEST(result_comes_back)
{
	for (enum child_memory m = CHILD_COPY; m <= CHILD_SHARED; m++) {
		assert_result(run_function(m, return_it, 0), CHILD_OK, 0);
		assert_result(run_function(m, return_it, -EBUSY), CHILD_FAILED, -EBUSY);
		/* The child's own time-out is none of the wait. */
		assert_result(run_function(m, return_it, -ETIMEDOUT), CHILD_FAILED, -ETIMEDOUT);
		assert_result(run_function(m, return_it, -4711), CHILD_FAILED, -EIO);
	}
}
END_TEST

START_TEST(memory_is_a_copy_or_shared)
{
	answer = 0;
	assert_result(run_function(CHILD_COPY, return_it, 0), CHILD_OK, 0);
	ck_assert_int_eq(answer, 0);
	assert_result(run_function(CHILD_SHARED, return_it, 0), CHILD_OK, 0);
	ck_assert_int_eq(answer, 42);
}
END_TEST

START_TEST(killed_process_is_told_from_a_failed_one)
{
	assert_result(run_function(CHILD_COPY, crash, 0), CHILD_KILLED, 0);
	assert_result(run_function(CHILD_SHARED, crash, 0), CHILD_KILLED, 0);
}
END_TEST

START_TEST(nobody_waits_for_the_end_of_its_pipes)
{
	assert_result(run_function(CHILD_COPY, stdin_and_stdout_are_nobodys, 0), CHILD_OK, 0);
	assert_result(run_function(CHILD_SHARED, stdin_and_stdout_are_nobodys, 0), CHILD_OK, 0);
	ck_assert_int_ge(fcntl(STDOUT_FILENO, F_GETFD), 0); /* the parent's own stays */
}
END_TEST

START_TEST(parent_stops_waiting)
{
	for (enum child_memory m = CHILD_COPY; m <= CHILD_SHARED; m++) {
		uint64_t start = now_usec();
		struct child child;
		pid_t pid;
		int status;

		ck_assert_int_eq(child_start(&child, m, sleep_long, NULL), 0);
		pid = child.pid;
		assert_result(child_wait(&child, 100000), CHILD_TIMED_OUT, 0);
		ck_assert_uint_ge(now_usec() - start, 100000);
		assert_result(child_wait(&child, 0), CHILD_TIMED_OUT, 0); /* may be asked again */

		child_abandon(&child);
		ck_assert_int_lt(child.pidfd, 0);
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		ck_assert(WIFSIGNALED(status));
	}
}
END_TEST

START_TEST(result_as_an_errno)
{
	ck_assert_int_eq(child_result_errno((struct child_result){ CHILD_OK, 0 }), 0);
	ck_assert_int_eq(child_result_errno((struct child_result){ CHILD_FAILED, -ENODEV }), -ENODEV);
	ck_assert_int_eq(child_result_errno((struct child_result){ CHILD_FAILED, 3 }), -EIO);
	ck_assert_int_eq(child_result_errno((struct child_result){ CHILD_TIMED_OUT, 0 }), -ETIMEDOUT);
	ck_assert_int_eq(child_result_errno((struct child_result){ CHILD_KILLED, 0 }), -ECANCELED);
}
END_TEST

static struct child_result run_program(const char *script, int out, int err)
{
	const char *const argv[] = { "/bin/sh", "-c", script, NULL };
	const struct child_program program = { .argv = argv, .out = out, .err = err, .no_stdin = true };
	struct child child;

	ck_assert_int_eq(child_start_program(&child, &program), 0);
	return child_wait(&child, UINT64_MAX);
}

START_TEST(program_gives_its_exit_status)
{
	assert_result(run_program("exit 0", -1, -1), CHILD_OK, 0);
	assert_result(run_program("exit 3", -1, -1), CHILD_FAILED, 3);
	assert_result(run_program("kill -9 $$", -1, -1), CHILD_KILLED, 0);
}
END_TEST

START_TEST(program_writes_where_it_is_told_to)
{
	int out = memfd_create("out", MFD_CLOEXEC), err = memfd_create("err", MFD_CLOEXEC);
	char text[16] = "";

	assert_result(run_program("echo one; echo two >&2; read -r line || echo three", out, err), CHILD_OK,
		      0);
	ck_assert_int_eq(pread(out, text, sizeof(text) - 1, 0), (ssize_t)strlen("one\nthree\n"));
	ck_assert_str_eq(text, "one\nthree\n");
	ck_assert_int_eq(pread(err, text, 4, 0), 4);
	ck_assert_int_eq(strncmp(text, "two\n", 4), 0);
	(void)close(out);
	(void)close(err);
}
END_TEST

START_TEST(missing_program_fails_at_once)
{
	const char *const argv[] = { "/nonexistent/program", NULL };
	const struct child_program program = { .argv = argv, .out = -1, .err = -1 };
	struct child child;

	ck_assert_int_eq(child_start_program(&child, &program), -ENOENT);
	ck_assert_int_lt(child.pidfd, 0);
	/* Nothing is left behind to be reaped. */
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	ck_assert_int_eq(errno, ECHILD);
}
END_TEST

START_TEST(program_has_no_signal_blocked)
{
	sigset_t mask, now;

	(void)sigemptyset(&mask);
	(void)sigaddset(&mask, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &mask, NULL);
	assert_result(run_program("kill -TERM $$; exit 0", -1, -1), CHILD_KILLED, 0);
	(void)sigprocmask(SIG_BLOCK, NULL, &now);
	ck_assert(sigismember(&now, SIGTERM) && !sigismember(&now, SIGINT)); /* the parent's mask stays */
}
END_TEST

START_TEST(program_dies_with_its_parent)
{
	for (int dies = 0; dies <= 1; dies++) {
		int fds[2];
		char pid[16] = "";
		pid_t parent;

		ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
		parent = fork();
		if (parent == 0) {
			/* It says who it is, and holds the pipe open for as long as it lives. */
			const char *const argv[] = { "/bin/sh", "-c", "echo $$; exec sleep 1000", NULL };
			const struct child_program program = {
				.argv = argv, .out = fds[1], .err = -1, .dies_with_parent = dies == 1
			};
			struct child child;
			int r = child_start_program(&child, &program);

			/* Not before it has spoken. */
			for (struct pollfd p = { fds[0], POLLIN, 0 }; r == 0 && poll(&p, 1, -1) < 1;)
				;
			_exit(r == 0 ? 0 : 1);
		}
		(void)close(fds[1]);
		ck_assert_int_eq(waitpid(parent, NULL, 0), parent);
		ck_assert_int_gt(read(fds[0], pid, sizeof(pid) - 1), 0);
		if (dies)
			ck_assert_int_eq(read(fds[0], pid, 1), 0);
		else
			ck_assert_int_eq(kill(atoi(pid), SIGKILL), 0);
		(void)close(fds[0]);
	}
}
END_TEST

static pid_t parent_to_outlive;

/* Between fork() and the child's own first step. */
static void wait_until_orphaned(void)
{
	while (getppid() == parent_to_outlive)
		(void)usleep(1000);
}

static int write_a_word(void *userdata)
{
	return write(*(int *)userdata, "late", 4) < 0 ? -EIO : 0;
}

START_TEST(child_whose_parent_died_early_does_nothing)
{
	int fds[2];
	char text[8];
	pid_t parent;
	int status;

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	parent = fork();
	if (parent == 0) {
		struct child child;

		parent_to_outlive = getpid();
		if (pthread_atfork(NULL, NULL, wait_until_orphaned) != 0)
			_exit(1);
		_exit(child_start(&child, CHILD_COPY, write_a_word, &fds[1]) < 0);
	}
	(void)close(fds[1]);
	ck_assert_int_eq(waitpid(parent, &status, 0), parent);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(read(fds[0], text, sizeof(text)), 0);
	(void)close(fds[0]);
}
END_TEST

SUITE_MAIN("child", 60, result_comes_back, memory_is_a_copy_or_shared,
	   killed_process_is_told_from_a_failed_one, nobody_waits_for_the_end_of_its_pipes,
	   parent_stops_waiting, result_as_an_errno, program_gives_its_exit_status,
	   program_writes_where_it_is_told_to, missing_program_fails_at_once, program_has_no_signal_blocked,
	   program_dies_with_its_parent, child_whose_parent_died_early_does_nothing)
