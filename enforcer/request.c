/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A command line that comes by stdin; see request.h. */
#include "enforcer/request.h"
#include "base/file.h"
#include "base/macro.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define REQUEST_MAX 65535U
/* Each is a byte at least, but there are never so many. */
#define REQUEST_STRINGS_MAX 1024

int request_read(int fd, char *program, char ***ret)
{
	_cleanup_(freep) char *text = NULL;
	char **v, *at;
	size_t size;
	int n = 0, r = read_full(fd, 4096, REQUEST_MAX, &text, &size);

	if (r < 0 || size == 0)
		return r;
	if (size < 2 || text[size - 1] || text[size - 2])
		return -EBADMSG;
	v = calloc(1, (REQUEST_STRINGS_MAX + 1) * sizeof(*v) + size);
	if (!v)
		return -ENOMEM;
	v[n++] = program;
	at = memcpy(v + REQUEST_STRINGS_MAX + 1, text, size);
	for (const char *end = at + size - 1; at < end; at += strlen(at) + 1) {
		if (n == REQUEST_STRINGS_MAX) {
			free(v);
			return -E2BIG;
		}
		v[n++] = at;
	}
	*ret = v;
	return n;
}
