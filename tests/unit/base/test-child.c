/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What can sleep runs in a process that its parent can leave behind. */
#include "base/child.h"
#include "base/time.h"
#include "tests/unit/fixtures/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
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

static int run(enum child_memory memory, int (*fn)(void *userdata), int value)
{
	static int userdata;
	struct child b;
	int result = 1;

	userdata = value;
	ck_assert_int_eq(child_start(&b, memory, fn, &userdata), 0);
	ck_assert_int_eq(child_wait(&b, 3000000, &result), 0);
	return result;
}

START_TEST(result_comes_back)
{
	for (enum child_memory m = CHILD_COPY; m <= CHILD_SHARED; m++) {
		ck_assert_int_eq(run(m, return_it, 0), 0);
		ck_assert_int_eq(run(m, return_it, -EBUSY), -EBUSY);
		ck_assert_int_eq(run(m, return_it, -ENODEV), -ENODEV);
	}
}
END_TEST

START_TEST(memory_is_a_copy_or_shared)
{
	answer = 0;
	run(CHILD_COPY, return_it, 0);
	ck_assert_int_eq(answer, 0);
	run(CHILD_SHARED, return_it, 0);
	ck_assert_int_eq(answer, 42);
}
END_TEST

START_TEST(killed_process_is_an_error)
{
	ck_assert_int_eq(run(CHILD_COPY, crash, 0), -ECANCELED);
	ck_assert_int_eq(run(CHILD_SHARED, crash, 0), -ECANCELED);
}
END_TEST

START_TEST(nobody_waits_for_the_end_of_its_pipes)
{
	ck_assert_int_eq(run(CHILD_COPY, stdin_and_stdout_are_nobodys, 0), 0);
	ck_assert_int_eq(run(CHILD_SHARED, stdin_and_stdout_are_nobodys, 0), 0);
	ck_assert_int_ge(fcntl(STDOUT_FILENO, F_GETFD), 0); /* the parent's own stays */
}
END_TEST

START_TEST(parent_stops_waiting)
{
	for (enum child_memory m = CHILD_COPY; m <= CHILD_SHARED; m++) {
		uint64_t start = now_usec(), waited;
		struct child b;
		pid_t pid;
		int result = 1, status;

		ck_assert_int_eq(child_start(&b, m, sleep_long, NULL), 0);
		pid = b.pid;
		ck_assert_int_eq(child_wait(&b, 100000, &result), -ETIMEDOUT);
		waited = now_usec() - start;
		ck_assert_uint_ge(waited, 100000);
		ck_assert_uint_lt(waited, 1500000);
		ck_assert_int_eq(result, 1);
		ck_assert_int_eq(child_wait(&b, 0, &result), -ETIMEDOUT); /* may be asked again */

		child_abandon(&b);
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		ck_assert(WIFSIGNALED(status));
	}
}
END_TEST

SUITE_MAIN("bounded", 20, result_comes_back, memory_is_a_copy_or_shared, killed_process_is_an_error,
	   nobody_waits_for_the_end_of_its_pipes, parent_stops_waiting)
