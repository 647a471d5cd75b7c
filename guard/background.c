/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A guard that nobody manages; see background.h. */
#include "guard/background.h"
#include "base/errno.h"
#include "base/log.h"
#include "base/macro.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* A script of the boot must not wait for ever; without a guard the boot goes on as well. */
#define READY_TIMEOUT_MS 10000

static void background_wait_and_exit(int ready)
{
	struct pollfd p = { .fd = ready, .events = POLLIN };
	char byte;
	int r;

	do
		r = poll(&p, 1, READY_TIMEOUT_MS);
	while (r < 0 && errno == EINTR);
	if (r == 0)
		log_line(LOG_WARNING, "the guard is not ready after %d s, going on without waiting for it",
			 READY_TIMEOUT_MS / 1000);
	_exit(r > 0 && read(ready, &byte, 1) != 1 ? EXIT_FAILURE : EXIT_SUCCESS);
}

/* The console is the user's, and the image's files end with the image: what is said goes to the kernel's log.
 */
static void background_leave_console(void)
{
	_cleanup_(closep) int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	_cleanup_(closep) int log = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);

	(void)setsid();
	if (null >= 0) {
		(void)dup2(null, STDIN_FILENO);
		(void)dup2(null, STDOUT_FILENO);
	}
	if (log >= 0)
		(void)dup2(log, STDERR_FILENO);
	(void)chdir("/");
}

int background_enter(int *ret_ready)
{
	int ends[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return negative_errno();
	pid = fork();
	if (pid < 0)
		return negative_errno();
	if (pid > 0) {
		(void)close(ends[1]);
		background_wait_and_exit(ends[0]);
	}
	(void)close(ends[0]);
	background_leave_console();
	*ret_ready = ends[1];
	return 0;
}

void background_ready(int ready)
{
	/* Nobody reads any more, if it took too long. */
	if (send(ready, "", 1, MSG_NOSIGNAL) < 0)
		log_line(LOG_DEBUG, "nobody waits for the guard any more");
	(void)close(ready);
}
