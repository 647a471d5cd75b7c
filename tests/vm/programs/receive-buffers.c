/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Prints the sizes of the receive buffers of a process's netlink sockets: receive-buffers PID. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int pidfd = argc == 2 ? (int)syscall(SYS_pidfd_open, atoi(argv[1]), 0) : -1;

	if (pidfd < 0) {
		perror("pidfd_open");
		return 1;
	}
	for (int fd = 0; fd < 1024; fd++) {
		int copy = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0), domain = 0, size = 0;
		socklen_t length = sizeof(domain);

		if (copy < 0 || getsockopt(copy, SOL_SOCKET, SO_DOMAIN, &domain, &length) < 0 ||
		    domain != AF_NETLINK)
			continue;
		length = sizeof(size);
		if (getsockopt(copy, SOL_SOCKET, SO_RCVBUF, &size, &length) < 0)
			return 1;
		printf("%d\n", size);
	}
	return 0;
}
