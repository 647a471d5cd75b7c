/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The lines of a snapshot; see snapshot.h. */
#include "cli/snapshot.h"
#include "base/errno.h"
#include "base/file.h"
#include "base/path.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void snapshot_done(struct snapshot *s)
{
	strings_done(&s->lines);
	strings_done(&s->modaliases);
	strings_done(&s->masked);
	sysfs_done(&s->sysfs);
	arena_done(&s->arena);
}

static size_t escaped_byte(char *to, char c, bool space)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char u = (unsigned char)c;

	if ((u > ' ' && u < 0x7f && c != '\\') || (space && c == ' ')) {
		*to = c;
		return 1;
	}
	to[0] = '\\';
	to[1] = 'x';
	to[2] = digits[u >> 4];
	to[3] = digits[u & 15];
	return 4;
}

void snapshot_add(struct snapshot *s, enum snapshot_kind kind, const char *path, const char *value, size_t n)
{
	const char *name = snapshot_kind_names[kind];
	char *line, *at;

	path = snapshot_mask_path(s, path);
	if (kind == SNAPSHOT_LINK) {
		value = snapshot_mask_path(s, value);
		n = strlen(value);
	}
	line = at = arena_alloc(&s->arena, strlen(name) + 4 * strlen(path) + 4 * n + 3);
	if (!line) {
		s->r = -ENOMEM;
		return;
	}
	at = mempcpy(at, name, strlen(name));
	if (*path)
		*at++ = ' ';
	for (const char *c = path; *c; c++)
		at += escaped_byte(at, *c, false);
	if (value)
		*at++ = ' ';
	for (size_t i = 0; i < n; i++)
		at += escaped_byte(at, value[i], true);
	if (strings_add(&s->lines, line) < 0)
		s->r = -ENOMEM;
}

void snapshot_add_text(struct snapshot *s, enum snapshot_kind kind, const char *path, const char *value)
{
	snapshot_add(s, kind, path, value, strlen(value));
}

int snapshot_real_path(const struct snapshot *s, const char *path, char *buf, size_t size)
{
	const char *below = startswith(path, "sys/");

	return below ? path_join(buf, size, s->sysfs.root, "/", below, NULL)
		     : path_join(buf, size, s->sysfs.root, "/../", path, NULL);
}

/* What a program would take for the absence of an attribute; see facts.c. */
static bool is_absence(int r)
{
	return r == -ENOENT || r == -ENODATA || r == -ENOTDIR || r == -EISDIR || r == -EACCES;
}

void snapshot_copy_file(struct snapshot *s, const char *path)
{
	_cleanup_(closep) int fd = -EBADF;
	char full[PATH_MAX], text[4096];
	ssize_t n;

	if (!snapshot_path_is_plain(path) || snapshot_real_path(s, path, full, sizeof(full)) < 0)
		return;
	fd = open(full, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	n = fd >= 0 ? read(fd, text, sizeof(text)) : -1;
	if (n >= 0)
		snapshot_add(s, SNAPSHOT_FILE, path, text, (size_t)n);
	else if (!is_absence(negative_errno()))
		snapshot_add(s, SNAPSHOT_WITHHELD, path, NULL, 0);
}

void snapshot_copy_link(struct snapshot *s, const char *path)
{
	char full[PATH_MAX], target[PATH_MAX];
	size_t ups;

	if (snapshot_path_is_plain(path) && snapshot_real_path(s, path, full, sizeof(full)) >= 0 &&
	    read_link(full, target, sizeof(target)) >= 0 && snapshot_target_is_plain(target, &ups))
		snapshot_add_text(s, SNAPSHOT_LINK, path, target);
}

void snapshot_for_each(struct snapshot *s, const char *folder,
		       void (*add)(struct snapshot *s, const char *path, const char *name))
{
	_cleanup_(dir_close) struct dir_reader dir = { .fd = -EBADF };
	char full[PATH_MAX], path[PATH_MAX];
	const char *name;

	if (snapshot_real_path(s, folder, full, sizeof(full)) < 0 || dir_open(&dir, full) < 0)
		return;
	while ((name = dir_next(&dir)))
		if (path_join(path, sizeof(path), folder, "/", name, NULL) >= 0 &&
		    snapshot_path_is_plain(path))
			add(s, path, name);
}

static void snapshot_add_name(struct snapshot *s, const char *path, const char *name)
{
	(void)name;
	snapshot_add(s, SNAPSHOT_DIRECTORY, path, NULL, 0);
}

void snapshot_copy_names(struct snapshot *s, const char *path)
{
	snapshot_for_each(s, path, snapshot_add_name);
}

/* Whether two lines are about the same thing: what comes before the second space. */
static bool lines_are_of_one(const char *a, const char *b)
{
	size_t n = strcspn(a, " ");

	n += a[n] ? 1 + strcspn(a + n + 1, " ") : 0;
	return strncmp(a, b, n) == 0 && (b[n] == ' ' || b[n] == '\0');
}

int snapshot_text(struct snapshot *s, char **ret, size_t *ret_size)
{
	_cleanup_(freep) char *text = NULL;
	FILE *f = open_memstream(&text, ret_size);
	size_t n = 0;

	if (!f)
		return -ENOMEM;
	strings_sort(&s->lines);
	(void)fputs(SNAPSHOT_HEADER "\n", f);
	for (size_t i = 0; i < s->lines.n; i++) {
		/* The same is found by several ways. */
		if (i > 0 && lines_are_of_one(s->lines.v[i - 1], s->lines.v[i]))
			continue;
		(void)fprintf(f, "%s\n", s->lines.v[i]);
		n++;
	}
	(void)fprintf(f, "end %zu\n", n);
	if (fclose(f) != 0)
		return -ENOMEM;
	*ret = TAKE_PTR(text);
	return 0;
}
