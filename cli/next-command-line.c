/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads boot loaders' files; see next-command-line.h. */
#include "cli/next-command-line.h"
#include "base/errno.h"
#include "base/file.h"
#include "base/path.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* GRUB's own, with a menu of many kernels. */
#define BOOT_FILE_MAX (1024U * 1024U)

void next_command_line_done(struct next_command_line *line)
{
	free(line->text);
	*line = (struct next_command_line){};
}

static int boot_file_read(const struct settings *s, const char *path, char *full, char **ret)
{
	_cleanup_(closep) int fd = -EBADF;
	size_t size;
	int r = settings_system_path(s, path, full, PATH_MAX);

	if (r < 0)
		return r;
	fd = open(full, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	return fd < 0 ? negative_errno() : read_full(fd, 4096, BOOT_FILE_MAX, ret, &size);
}

/* What stands behind the first of these words that a line begins with, malloc()ed; NULL: no line does. */
static char *line_after_word(const char *text, const char *const *words)
{
	for (const char *line = text; *line; line = text_next_line(line)) {
		const char *at = line + strspn(line, " \t");

		for (size_t i = 0; words[i]; i++) {
			const char *rest = startswith(at, words[i]);

			if (rest && is_blank(*rest))
				return strndup(rest, strcspn(rest, "\n"));
		}
	}
	return NULL;
}

/* "linux /boot/vmlinuz-6.1 root=/dev/sda ro": the kernel is no parameter. */
static char *grub_command_line(const char *text)
{
	static const char *const words[] = { "linux", "linuxefi", "linux16", NULL };
	char *line = line_after_word(text, words), *rest = line;

	if (!line)
		return NULL;
	rest += strspn(rest, " \t");
	rest += strcspn(rest, " \t");
	memmove(line, rest, strlen(rest) + 1);
	return line;
}

static char *entry_command_line(const char *text)
{
	return line_after_word(text, (const char *const[]){ "options", NULL });
}

/* The newest entry of the Boot Loader Specification, by its file's name. */
static void newest_entry_find(const struct settings *s, char *buf, size_t size)
{
	static const char folder[] = "/boot/loader/entries";
	_cleanup_(dir_close) struct dir_reader dir = { .fd = -EBADF };
	char full[PATH_MAX], newest[NAME_MAX + 1] = "";

	buf[0] = '\0';
	if (settings_system_path(s, folder, full, sizeof(full)) < 0 || dir_open(&dir, full) < 0)
		return;
	for (const char *name; (name = dir_next(&dir));)
		if (settings_is_policy_name(name) && strverscmp(name, newest) > 0)
			text_copy(newest, sizeof(newest), name);
	if (newest[0] && path_join(buf, size, folder, "/", newest, NULL) < 0)
		buf[0] = '\0';
}

static char *whole_command_line(const char *text)
{
	return strdup(text);
}

int next_command_line_find(const struct settings *settings, struct next_command_line *ret)
{
	char entry[PATH_MAX];
	const struct {
		const char *path;
		char *(*parse)(const char *text);
	} files[] = {
		{ "/boot/grub/grub.cfg", grub_command_line },
		{ "/boot/grub2/grub.cfg", grub_command_line },
		{ entry, entry_command_line },
		{ "/etc/kernel/cmdline", whole_command_line },
	};

	newest_entry_find(settings, entry, sizeof(entry));
	for (size_t i = 0; i < ELEMENTSOF(files); i++) {
		_cleanup_(freep) char *text = NULL;
		char *line;

		if (!files[i].path[0] || boot_file_read(settings, files[i].path, ret->from, &text) < 0)
			continue;
		line = files[i].parse(text);
		if (line) {
			ret->text = line;
			return 0;
		}
	}
	ret->from[0] = '\0';
	return -ENOENT;
}
