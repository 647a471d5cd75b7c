/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads snapshots, which may come from anybody; see snapshot-read.h. */
#include "cli/snapshot-read.h"
#include "base/array.h"
#include "base/errno.h"
#include "base/file.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void snapshot_entries_done(struct snapshot_entries *entries)
{
	free(entries->v);
	free(entries->text);
	*entries = (struct snapshot_entries){};
}

/* Decodes \xHH in place; no other backslash is allowed. False: there is one. */
static bool entry_text_decode(char *s, size_t *ret_n)
{
	char *to = s;

	for (const char *from = s; *from;) {
		if (*from != '\\') {
			*to++ = *from++;
			continue;
		}
		if (from[1] != 'x' || hex_digit(from[2]) < 0 || hex_digit(from[3]) < 0)
			return false;
		*to++ = (char)(hex_digit(from[2]) << 4 | hex_digit(from[3]));
		from += 4;
	}
	*to = '\0';
	*ret_n = (size_t)(to - s);
	return true;
}

/* BUS/NAME, both names of files. */
static bool device_name_is_plain(const char *path)
{
	const char *slash = strchr(path, '/');
	char first[256];

	if (!slash || (size_t)(slash - path) >= sizeof(first) || strchr(slash + 1, '/') ||
	    strlen(slash) > 256)
		return false;
	memcpy(first, path, (size_t)(slash - path));
	first[slash - path] = '\0';
	return *first && !streq(first, ".") && !streq(first, "..") && slash[1] && !streq(slash + 1, ".") &&
	       !streq(slash + 1, "..");
}

/* How far down a path is: names before its last one. */
static size_t path_depth(const char *path)
{
	size_t n = 0;

	for (; *path; path++)
		n += *path == '/';
	return n;
}

/* Why an entry cannot be right; NULL: it can. */
static const char *entry_error(const struct snapshot_entry *e)
{
	size_t ups;

	switch (e->kind) {
	case SNAPSHOT_DIRECTORY:
	case SNAPSHOT_WITHHELD:
		return snapshot_path_is_plain(e->path) && !e->value ? NULL : "not a path below the snapshot";
	case SNAPSHOT_FILE:
		return snapshot_path_is_plain(e->path) ? NULL : "not a path below the snapshot";
	case SNAPSHOT_LINK:
		if (!snapshot_path_is_plain(e->path))
			return "not a path below the snapshot";
		if (!e->value || strlen(e->value) != e->n || !snapshot_target_is_plain(e->value, &ups) ||
		    ups > path_depth(e->path))
			return "the link leads out of the snapshot";
		return NULL;
	case SNAPSHOT_BOOT:
		return streq(e->path, "complete") || streq(e->path, "open") ? NULL
									    : "neither complete nor open";
	case SNAPSHOT_PRESENT:
		return device_name_is_plain(e->path) && !e->value ? NULL : "not BUS/NAME";
	case SNAPSHOT_RECORD:
	case SNAPSHOT_MODEL:
		return device_name_is_plain(e->path) && e->value && strlen(e->value) == e->n
			       ? NULL
			       : "not BUS/NAME and a text";
	case SNAPSHOT_KINDS:
		break;
	}
	return "unknown kind of line";
}

static enum snapshot_kind kind_of_line(const char *word)
{
	enum snapshot_kind kind = 0;

	while (kind < SNAPSHOT_KINDS && !streq(snapshot_kind_names[kind], word))
		kind++;
	return kind;
}

/* NULL: taken; else why not. */
static const char *entry_take(struct snapshot_entries *entries, char *line, size_t number)
{
	char *rest = line, *kind = strsep(&rest, " "), *path = strsep(&rest, " ");
	struct snapshot_entry e = { .kind = kind_of_line(kind), .line = number, .path = path, .value = rest };
	size_t path_n;
	const char *error;

	if (!path || !entry_text_decode(path, &path_n) || strlen(path) != path_n ||
	    (rest && !entry_text_decode(rest, &e.n)))
		return "not a line of a snapshot";
	error = entry_error(&e);
	if (error)
		return error;
	if (entries->n == SNAPSHOT_ENTRIES_MAX)
		return "too many lines";
	if (array_reserve(entries->v, entries->allocated, entries->n) < 0)
		return "out of memory";
	entries->v[entries->n++] = e;
	return NULL;
}

/* Bytes that the writer would have escaped; so nobody is shown less in a terminal than there is. */
static bool text_is_printable(const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (text[i] != '\n' && (text[i] < ' ' || text[i] > '~'))
			return false;
	return true;
}

static int snapshot_file_read(const char *file, char **ret, size_t *ret_n)
{
	_cleanup_(closep) int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return negative_errno();
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	return read_full(fd, (size_t)st.st_size, SNAPSHOT_SIZE_MAX, ret, ret_n);
}

static int snapshot_refuse(char reterr_text[static 256], const char *text, int r)
{
	(void)snprintf(reterr_text, 256, "%s", text);
	return r;
}

int snapshot_parse(struct snapshot_entries *entries, size_t n, size_t *reterr_line,
		   char reterr_text[static 256])
{
	char *rest = entries->text, *line;
	const char *error;

	*reterr_line = 0;
	if (!startswith(rest, SNAPSHOT_HEADER "\n"))
		return snapshot_refuse(reterr_text, "does not begin as a snapshot (\"" SNAPSHOT_HEADER "\")",
				       -EINVAL);
	if (!text_is_printable(rest, n))
		return snapshot_refuse(reterr_text, "has bytes that no snapshot has", -EINVAL);
	(void)strsep(&rest, "\n");
	for (size_t number = 2; (line = strsep(&rest, "\n")) && rest; number++) {
		const char *count = startswith(line, "end ");

		*reterr_line = number;
		if (count)
			return text_to_number(count) == entries->n && !*rest
				       ? 0
				       : snapshot_refuse(reterr_text, "lines are missing, or too many",
							 -EINVAL);
		error = entry_take(entries, line, number);
		if (error)
			return snapshot_refuse(reterr_text, error, -EINVAL);
	}
	return snapshot_refuse(reterr_text, "the end is missing", -EINVAL);
}

int snapshot_read(struct snapshot_entries *entries, const char *file, size_t *reterr_line,
		  char reterr_text[static 256])
{
	size_t n;
	int r = snapshot_file_read(file, &entries->text, &n);

	*reterr_line = 0;
	if (r < 0)
		return snapshot_refuse(reterr_text, r == -EFBIG ? "larger than 64 MiB" : strerror(-r), r);
	return snapshot_parse(entries, n, reterr_line, reterr_text);
}
