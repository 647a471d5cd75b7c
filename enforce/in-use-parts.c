/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How the checks of in-use.h read files and say what they found. */
#include "enforce/in-use-parts.h"
#include "base/file.h"
#include "base/macro.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

int in_use_set_reason(const struct in_use *u, const char *format, ...)
{
	struct in_use_answer *a = u->answer;
	size_t n = 0;
	va_list ap;

	if (u->part[0]) {
		(void)snprintf(a->reason, sizeof(a->reason), "%.200s: ", u->part);
		n = strlen(a->reason);
	}
	va_start(ap, format);
	(void)vsnprintf(a->reason + n, sizeof(a->reason) - n, format, ap);
	va_end(ap);
	return 1;
}

int in_use_attr(const char *path, const char *attr, char *buf, size_t size)
{
	char full[PATH_MAX];
	int r = path_join(full, sizeof(full), path, "/", attr, NULL);

	if (r >= 0)
		r = read_first_line(full, buf, size);
	if (in_use_has_gone(r))
		return -ENOENT;
	return r < 0 ? r : 0;
}

bool in_use_has_gone(int r)
{
	return r == -ENOENT || r == -ENODEV || r == -ENXIO;
}

int in_use_link(const char *path, const char *link, char *buf, size_t size)
{
	char full[PATH_MAX];
	int r = path_join(full, sizeof(full), path, "/", link, NULL);

	return r < 0 ? r : read_link_name(full, buf, size);
}

int in_use_device_number(const char *path, char dev[static DEV_MAX], unsigned *ret_major, unsigned *ret_minor)
{
	int r = in_use_attr(path, "dev", dev, DEV_MAX);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	return sscanf(dev, "%u:%u", ret_major, ret_minor) == 2 ? 1 : -EBADMSG;
}

char *in_use_read_file(const struct in_use *u, const char *file)
{
	_cleanup_(closep) int fd = -EBADF;
	char path[PATH_MAX], *text;
	size_t n;

	if (path_join(path, sizeof(path), u->root, "/../", file, NULL) < 0)
		return NULL;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && read_full(fd, 4096, 16U * 1024U * 1024U, &text, &n) >= 0 ? text : NULL;
}
