/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kernel's own uevents; see uevent.h. */
#include "guard/uevent.h"
#include "base/errno.h"
#include "base/macro.h"
#include "base/notify.h"
#include "base/path.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define KERNEL_GROUP 1
#define RECEIVE_BUFFER (64 * 1024 * 1024)

static int uevent_new_socket(void)
{
	union {
		struct sockaddr sa;
		struct sockaddr_nl nl;
	} address = { .nl = { .nl_family = AF_NETLINK, .nl_groups = KERNEL_GROUP } };
	_cleanup_(closep) int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);

	if (fd < 0 || bind(fd, &address.sa, sizeof(address.nl)) < 0)
		return negative_errno();
	return TAKE_FD(fd);
}

int uevent_open(void)
{
	const int buffer = RECEIVE_BUFFER;
	/* From a socket unit, if there is one: then nothing is lost while the guard is being restarted. */
	int fd = passed_socket(AF_NETLINK);

	/* The unit has given it its buffer; without CAP_NET_ADMIN the guard could only make that smaller. */
	if (fd != -ENOENT)
		return fd;
	fd = uevent_new_socket();
	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
	return fd;
}

bool uevent_parse(char *buf, size_t n, struct uevent *ret)
{
	static const struct {
		const char *name;
		enum uevent_action action;
	} actions[] = { { "add", UEVENT_ADD },
			{ "remove", UEVENT_REMOVE },
			{ "bind", UEVENT_BIND },
			{ "unbind", UEVENT_UNBIND },
			{ "move", UEVENT_MOVE } };
	const char *at = n > 0 && buf[n - 1] == '\0' ? strchr(buf, '@') : NULL;
	const char *end = buf + n;

	if (!at)
		return false;
	*ret = (struct uevent){ .devpath = at + 1 };
	for (size_t i = 0; i < ELEMENTSOF(actions); i++)
		if (strlen(actions[i].name) == (size_t)(at - buf) &&
		    strncmp(buf, actions[i].name, (size_t)(at - buf)) == 0)
			ret->action = actions[i].action;
	for (const char *s = buf + strlen(buf) + 1; s < end; s += strlen(s) + 1) {
		/* One comparison suffices for most lines; the kernel waits meanwhile. */
		switch (*s) {
		case 'S':
			if (startswith(s, "SUBSYSTEM="))
				ret->subsystem = s + strlen("SUBSYSTEM=");
			else if (startswith(s, "SEQNUM="))
				ret->seqnum = text_to_number(s + strlen("SEQNUM="));
			else if (startswith(s, "SYNTH_UUID="))
				ret->synthetic = true;
			break;
		case 'M':
			if (startswith(s, "MODALIAS="))
				ret->modalias = s + strlen("MODALIAS=");
			break;
		case 'D':
			if (startswith(s, "DRIVER="))
				ret->driver = s + strlen("DRIVER=");
			break;
		}
	}
	/* A bus itself, but not one of its drivers. */
	if (startswith(ret->devpath, "/bus/"))
		return strchr(ret->devpath + strlen("/bus/"), '/') == NULL;
	return startswith(ret->devpath, "/devices/") != NULL;
}

int uevent_receive(int fd, char buf[static UEVENT_SIZE], struct uevent *ret, bool dont_wait)
{
	struct sockaddr_nl from;
	struct iovec iov = { .iov_base = buf, .iov_len = UEVENT_SIZE };
	struct msghdr m = {
		.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1
	};
	ssize_t n = recvmsg(fd, &m, dont_wait ? MSG_DONTWAIT : 0);

	if (n < 0)
		return negative_errno();
	/* Any process may send to the socket, but only the kernel has port 0. */
	if (m.msg_namelen != sizeof(from) || from.nl_pid != 0 || (m.msg_flags & MSG_TRUNC))
		return 0;
	return uevent_parse(buf, (size_t)n, ret);
}

uint64_t uevent_latest(const char *sysfs_root)
{
	char path[PATH_MAX], text[32];
	_cleanup_(closep) int fd = -EBADF;
	ssize_t n = -1;

	if (path_printf(path, sizeof(path), "%s/kernel/uevent_seqnum", sysfs_root) >= 0)
		fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		n = read(fd, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	return strtoull(text, NULL, 10);
}
