/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guard as a program, which cannot start. It is given a pipe instead of the kernel's events, so that it
 * never hears of this machine's devices; and it is told to load no BPF.
 */
#include "tests/unit/fixtures/mock-sysfs.h"
#include "tests/unit/fixtures/suite.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PASSED_FD 3

static void run_guard(struct mock *m, const char *err)
{
	const char *guard = getenv("DRIVER_OVERRIDE_GUARD");
	int fd = open(err, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), pipes[2];
	char pid[16];

	(void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
	(void)setenv("LISTEN_PID", pid, 1);
	(void)setenv("LISTEN_FDS", "1", 1);
	(void)unsetenv("NOTIFY_SOCKET");
	if (!guard || fd < 0 || dup2(fd, STDERR_FILENO) < 0 || pipe(pipes) < 0 ||
	    dup2(pipes[0], PASSED_FD) < 0)
		_exit(126);
	(void)alarm(20);
	(void)execl(guard, guard, "--no-hold", "--sysfs", m->sysfs, "--state-dir", m->state, "--conf-dir",
		    m->conf[MOCK_ETC], "--enforcer", "/bin/false", NULL);
	_exit(127);
}

START_TEST(a_failure_to_listen_is_logged_once_with_its_reason)
{
	struct mock *m = mock_new();
	const char *err = mock_printf(m, "%s/stderr", m->root), *text, *reason;
	int status;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		run_guard(m, err);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), EXIT_FAILURE);
	text = mock_read(m, err);
	reason = strstr(text, strerror(EINVAL));
	ck_assert_msg(strstr(text, "cannot listen to the kernel's events") != NULL, "%s", text);
	ck_assert_msg(reason && !strstr(reason + 1, strerror(EINVAL)), "%s", text);
	/* One line, and it is the last: nothing else is said about this failure. */
	ck_assert_msg(strchr(reason, '\n') == text + strlen(text) - 1, "%s", text);
	mock_free(m);
}
END_TEST

SUITE_MAIN("guard-start", 30, a_failure_to_listen_is_logged_once_with_its_reason)
