/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads modprobe.d; see modprobe-files.h. */
#include "cli/modprobe-files.h"
#include "base/file.h"
#include "base/path.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { MODPROBE_FILE_MAX = 4 * 1024 * 1024 };

/* As kmod has them; the first two are a person's. */
static const char *const modprobe_folders[] = { "/etc/modprobe.d", "/run/modprobe.d",
						"/usr/local/lib/modprobe.d", "/usr/lib/modprobe.d",
						"/lib/modprobe.d" };

bool module_names_are_equal(const char *a, const char *b)
{
	for (; *a && (*a == *b || (strchr("-_", *a) && *b && strchr("-_", *b))); a++, b++)
		;
	return !*a && !*b;
}

static void modprobe_line_take(struct import_plan *plan, struct modprobe_line *line, char *text,
			       void (*take)(struct import_plan *plan, const struct modprobe_line *line))
{
	char *word;

	line->n = 0;
	while ((word = strsep(&text, " \t\r")))
		if (*word && line->n < MODPROBE_WORDS_MAX)
			line->words[line->n++] = word;
	if (line->n == 0 || line->words[0][0] == '#')
		return;
	line->from = arena_printf(&plan->arena, "%s:%u", line->file, line->line);
	if (!line->from)
		plan->r = -ENOMEM;
	else
		take(plan, line);
}

static void modprobe_file_read(struct import_plan *plan, struct modprobe_line *line,
			       void (*take)(struct import_plan *plan, const struct modprobe_line *line))
{
	_cleanup_(closep) int fd = -EBADF;
	_cleanup_(freep) char *text = NULL;
	char path[PATH_MAX], *rest;
	unsigned number = 1;
	size_t n;

	if (import_path(plan, line->file, path, sizeof(path)) >= 0)
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0 || read_full(fd, 4096, MODPROBE_FILE_MAX, &text, &n) < 0)
		return;
	rest = arena_strdup(&plan->arena, text);
	while (rest && *rest) {
		char *begin = rest;

		line->line = number;
		for (; *rest && *rest != '\n'; rest++)
			if (rest[0] == '\\' && rest[1] == '\n') {
				rest[0] = rest[1] = ' ';
				number++;
			}
		line->lines = number - line->line + 1;
		number++;
		if (*rest)
			*rest++ = '\0';
		modprobe_line_take(plan, line, begin, take);
	}
}

static bool name_is_hidden(const struct strings *seen, const char *name)
{
	for (size_t i = 0; i < seen->n; i++)
		if (streq(seen->v[i], name))
			return true;
	return false;
}

void modprobe_files_read(struct import_plan *plan,
			 void (*take)(struct import_plan *plan, const struct modprobe_line *line))
{
	struct modprobe_line *line = arena_alloc(&plan->arena, sizeof(*line));
	struct strings seen = {};

	for (size_t i = 0; line && i < ELEMENTSOF(modprobe_folders); i++) {
		struct strings files = {};

		import_list(plan, modprobe_folders[i], &files);
		for (size_t k = 0; k < files.n; k++) {
			size_t n = strlen(files.v[k]);

			if (n < strlen(".conf") || !streq(files.v[k] + n - strlen(".conf"), ".conf") ||
			    name_is_hidden(&seen, files.v[k]))
				continue;
			if (strings_add(&seen, files.v[k]) < 0)
				plan->r = -ENOMEM;
			*line = (struct modprobe_line){ .of_person = i < 2 };
			line->file = arena_printf(&plan->arena, "%s/%s", modprobe_folders[i], files.v[k]);
			if (line->file)
				modprobe_file_read(plan, line, take);
		}
		strings_done(&files);
	}
	strings_done(&seen);
}
