/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Puts paths together; see path.h. */
#include "base/path.h"
#include "base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

int path_join(char *buf, size_t size, const char *first, ...)
{
	size_t used = 0;
	va_list ap;

	va_start(ap, first);
	for (const char *s = first; s; s = va_arg(ap, const char *)) {
		size_t n = strlen(s);

		if (n >= size - used) {
			buf[0] = '\0';
			va_end(ap);
			return -ENAMETOOLONG;
		}
		memcpy(buf + used, s, n);
		used += n;
	}
	va_end(ap);
	buf[used] = '\0';
	return 0;
}

int path_printf(char *buf, size_t size, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(buf, size, format, ap);
	va_end(ap);
	return n >= 0 && (size_t)n < size ? 0 : -ENAMETOOLONG;
}

int path_parent(const char *path, char *buf, size_t size)
{
	const char *last = path_last(path);
	size_t n = last > path ? (size_t)(last - path) - 1 : 0;

	if (n == 0) {
		path = last > path ? "/" : ".";
		n = 1;
	}
	if (n >= size)
		return -ENAMETOOLONG;
	memcpy(buf, path, n);
	buf[n] = '\0';
	return 0;
}

const char *path_last(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

bool is_file_name(const char *s)
{
	return *s && !strchr(s, '/') && !streq(s, ".") && !streq(s, "..");
}
