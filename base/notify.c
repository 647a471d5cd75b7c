/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tells systemd, and takes its sockets; see notify.h. */
#include "base/notify.h"
#include "base/macro.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LISTEN_FDS_START 3

void notify_systemd(const char *format, ...)
{
	const char *path = getenv("NOTIFY_SOCKET");
	union {
		struct sockaddr sa;
		struct sockaddr_un un;
	} address = { .un = { .sun_family = AF_UNIX } };
	_cleanup_(closep) int fd = -EBADF;
	char text[512];
	va_list ap;
	size_t n;

	if (!path || (n = strlen(path)) >= sizeof(address.un.sun_path))
		return;
	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	memcpy(address.un.sun_path, path, n);
	if (path[0] == '@')
		address.un.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		(void)sendto(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT, &address.sa,
			     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
}

int passed_socket(int family)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	int domain;
	socklen_t size = sizeof(domain);

	if (!pid || !fds || strtol(pid, NULL, 10) != (long)getpid() || strtol(fds, NULL, 10) < 1)
		return -ENOENT;
	if (getsockopt(LISTEN_FDS_START, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0 || domain != family)
		return -EINVAL;
	(void)fcntl(LISTEN_FDS_START, F_SETFD, FD_CLOEXEC);
	(void)fcntl(LISTEN_FDS_START, F_SETFL, fcntl(LISTEN_FDS_START, F_GETFL) & ~O_NONBLOCK);
	return LISTEN_FDS_START;
}
