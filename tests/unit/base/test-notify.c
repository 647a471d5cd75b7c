/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What systemd is told, and what it passes. */
#include "base/notify.h"
#include "base/path.h"
#include "tests/unit/fixtures/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int listen_at(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	memcpy(address.sun_path, path, strlen(path));
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	ck_assert_int_eq(bind(fd, (const struct sockaddr *)&address, size), 0);
	ck_assert_int_eq(setenv("NOTIFY_SOCKET", path, 1), 0);
	return fd;
}

static const char *received(int fd)
{
	static char text[1024];
	ssize_t n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

START_TEST(systemd_hears_by_a_path_or_an_abstract_name)
{
	char path[100], name[100];

	ck_assert_int_eq(path_printf(path, sizeof(path), "%s/notify", suite_dir), 0);
	ck_assert_int_eq(path_printf(name, sizeof(name), "@%s/notify", suite_dir), 0);
	for (int abstract = 0; abstract <= 1; abstract++) {
		int fd = listen_at(abstract ? name : path);

		notify_systemd("STATUS=%d of %s", 1, "two");
		ck_assert_str_eq(received(fd), "STATUS=1 of two");
		(void)close(fd);
	}
}
END_TEST

START_TEST(nobody_to_tell_is_no_failure)
{
	char name[200];

	ck_assert_int_eq(unsetenv("NOTIFY_SOCKET"), 0);
	notify_systemd("READY=1");
	ck_assert_int_eq(setenv("NOTIFY_SOCKET", "/nonexistent/notify", 1), 0);
	notify_systemd("READY=1");
	memset(name, 'a', sizeof(name) - 1);
	name[0] = '/';
	name[sizeof(name) - 1] = '\0';
	ck_assert_int_eq(setenv("NOTIFY_SOCKET", name, 1), 0); /* longer than any socket's */
	notify_systemd("READY=1");
}
END_TEST

/* As a service is started, in a process of its own, for descriptor 3 is needed. */
static int passed(int pid_offset, const char *n)
{
	pid_t pid = fork();
	int status, fds[2];

	if (pid == 0) {
		char text[16];
		int fd;

		(void)snprintf(text, sizeof(text), "%d", (int)getpid() + pid_offset);
		(void)setenv("LISTEN_PID", text, 1);
		(void)setenv("LISTEN_FDS", n, 1);
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) < 0 || dup2(fds[0], 3) != 3)
			_exit(99);
		(void)fcntl(3, F_SETFL, O_NONBLOCK);
		fd = passed_socket(AF_UNIX);
		if (fd == 3 && (!(fcntl(3, F_GETFD) & FD_CLOEXEC) || (fcntl(3, F_GETFL) & O_NONBLOCK)))
			_exit(98);
		if (fd == 3 && passed_socket(AF_NETLINK) != -EINVAL)
			_exit(97);
		_exit(fd == 3 ? 0 : fd == -ENOENT ? 1 : 96);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

START_TEST(socket_is_taken_when_it_was_meant_for_us)
{
	ck_assert_int_eq(passed(0, "1"), 0);
	ck_assert_int_eq(passed(0, "2"), 0);
	ck_assert_int_eq(passed(0, "0"), 1);
	ck_assert_int_eq(passed(1, "1"), 1);
	ck_assert_int_eq(unsetenv("LISTEN_PID"), 0);
	ck_assert_int_eq(passed_socket(AF_UNIX), -ENOENT);
}
END_TEST

SUITE_MAIN("notify", 20, systemd_hears_by_a_path_or_an_abstract_name, nobody_to_tell_is_no_failure,
	   socket_is_taken_when_it_was_meant_for_us)
