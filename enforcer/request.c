/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A command line that comes by stdin; see request.h. */
#include "enforcer/request.h"
#include "base/errno.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define REQUEST_MAX 65536U
/* Each is a byte at least, but there are never so many. */
#define REQUEST_STRINGS_MAX 1024

/* The size of it, or negative errno. */
static ssize_t request_read_text(int fd, char *buf)
{
	size_t size = 0;

	for (;;) {
		ssize_t n = read(fd, buf + size, REQUEST_MAX - size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return negative_errno();
		if (n == 0)
			return (ssize_t)size;
		size += (size_t)n;
		if (size == REQUEST_MAX)
			return -E2BIG;
	}
}

int request_read(int fd, char *program, char ***ret)
{
	char **v = calloc(1, (REQUEST_STRINGS_MAX + 1) * sizeof(*v) + REQUEST_MAX);
	char *text = v ? (char *)(v + REQUEST_STRINGS_MAX + 1) : NULL;
	ssize_t size = v ? request_read_text(fd, text) : -ENOMEM;
	int n = 0;

	if (size > 0 && (size < 2 || text[size - 1] || text[size - 2]))
		size = -EBADMSG;
	if (size <= 0) {
		free(v);
		return (int)size;
	}
	v[n++] = program;
	for (char *at = text; at < text + size - 1; at += strlen(at) + 1) {
		if (n == REQUEST_STRINGS_MAX) {
			free(v);
			return -E2BIG;
		}
		v[n++] = at;
	}
	*ret = v;
	return n;
}
