/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a snapshot has of the kernel's modules: names, the aliases of VFIO drivers, drivers of loaded ones. */
#include "base/file.h"
#include "base/path.h"
#include "base/text.h"
#include "cli/snapshot.h"
#include "policy/vfio-driver.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MODULES_FILE_MAX = 64 * 1024 * 1024 };

static void module_add(struct snapshot *s, const char *path, const char *name)
{
	char below[PATH_MAX];

	(void)name;
	if (path_join(below, sizeof(below), path, "/drivers", NULL) >= 0)
		snapshot_copy_names(s, below);
	if (path_join(below, sizeof(below), path, "/parameters/allow_driver_override", NULL) >= 0)
		snapshot_copy_file(s, below);
}

static char *modules_read(const char *dir, const char *name, size_t *ret_size)
{
	_cleanup_(closep) int fd = -EBADF;
	char path[PATH_MAX], *text = NULL;

	if (path_join(path, sizeof(path), dir, "/", name, NULL) >= 0)
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	return fd >= 0 && read_full(fd, 1U << 20, MODULES_FILE_MAX, &text, ret_size) >= 0 ? text : NULL;
}

/* Whether a line "alias PATTERN MODULE" is of a VFIO driver, or of a device that has no driver. */
static bool alias_is_wanted(const struct snapshot *s, const char *line, size_t n)
{
	const char *pattern = startswith(line, "alias ");
	char text[512];
	size_t plain, length;

	if (!pattern || startswith(pattern, "vfio_"))
		return pattern != NULL;
	length = strcspn(pattern, " \n");
	if (length >= sizeof(text) || length + strlen("alias ") >= n)
		return false;
	memcpy(text, pattern, length);
	text[length] = '\0';
	plain = strcspn(text, "*?[");
	for (size_t i = 0; i < s->modaliases.n; i++)
		if (strncmp(text, s->modaliases.v[i], plain) == 0 &&
		    fnmatch(text, s->modaliases.v[i], 0) == 0)
			return true;
	return false;
}

static void modules_write_aliases(const struct snapshot *s, FILE *f, const char *text)
{
	for (const char *line = text; *line; line += *line == '\n') {
		size_t n = strcspn(line, "\n");

		if (alias_is_wanted(s, line, n))
			(void)fprintf(f, "%.*s\n", (int)n, line);
		line += n;
	}
}

/* "MODULE.alias=vfio_…", each with a NUL behind it, as lines of modules.alias. */
static void modules_write_builtin(FILE *f, const char *text, size_t size)
{
	static const char mark[] = ".alias=vfio_";

	for (const char *at = text, *next; at < text + size; at = next + 1) {
		const char *dot;

		next = memchr(at, '\0', (size_t)(text + size - at));
		if (!next)
			return;
		dot = strstr(at, mark);
		if (dot)
			(void)fprintf(f, "alias %s %.*s\n", dot + strlen(".alias="), (int)(dot - at), at);
	}
}

/* The begin of the file is no alias, so that whoever looks for a line's beginning finds the first one. */
static void modules_add_aliases(struct snapshot *s, const char *dir, const char *release)
{
	_cleanup_(freep) char *aliases = NULL, *builtin = NULL, *text = NULL;
	char path[PATH_MAX];
	size_t size, builtin_size;
	FILE *f;

	aliases = modules_read(dir, "modules.alias", &size);
	if (!aliases)
		return;
	builtin = modules_read(dir, "modules.builtin.modinfo", &builtin_size);
	f = open_memstream(&text, &size);
	if (!f) {
		s->r = -ENOMEM;
		return;
	}
	(void)fputs("# those that decisions need\n", f);
	modules_write_aliases(s, f, aliases);
	if (builtin)
		modules_write_builtin(f, builtin, builtin_size);
	if (fclose(f) == 0 &&
	    path_join(path, sizeof(path), "lib/modules/", release, "/modules.alias", NULL) >= 0)
		snapshot_add(s, SNAPSHOT_FILE, path, text, size);
}

/* "kernel/drivers/net/e1000e.ko.xz: …" as "e1000e.ko", a line each. */
static void modules_write_names(FILE *f, const char *text)
{
	for (const char *line = text; *line; line += *line == '\n') {
		size_t n = strcspn(line, ":\n"), from = n;
		const char *end;

		while (from > 0 && line[from - 1] != '/')
			from--;
		end = memmem(line + from, n - from, ".ko", 3);
		if (end)
			(void)fprintf(f, "%.*s.ko\n", (int)(end - line - (ptrdiff_t)from), line + from);
		line += strcspn(line, "\n");
	}
}

static void modules_add_names(struct snapshot *s, const char *dir, const char *release)
{
	_cleanup_(freep) char *dep = NULL, *builtin = NULL, *text = NULL;
	char path[PATH_MAX];
	size_t size;
	FILE *f;

	dep = modules_read(dir, "modules.dep", &size);
	builtin = modules_read(dir, "modules.builtin", &size);
	f = open_memstream(&text, &size);
	if (!f) {
		s->r = -ENOMEM;
		return;
	}
	if (dep)
		modules_write_names(f, dep);
	if (builtin)
		modules_write_names(f, builtin);
	if (fclose(f) == 0 && size > 0 &&
	    path_join(path, sizeof(path), "lib/modules/", release, "/modules.builtin", NULL) >= 0)
		snapshot_add(s, SNAPSHOT_FILE, path, text, size);
}

void snapshot_add_modules(struct snapshot *s)
{
	char dir[PATH_MAX], release[KERNEL_RELEASE_MAX];

	snapshot_for_each(s, "sys/module", module_add);
	if (kernel_release_find(s->sysfs.root, release, sizeof(release)) < 0)
		return;
	snapshot_add_text(s, SNAPSHOT_FILE, "proc/sys/kernel/osrelease", release);
	if (vfio_aliases_dir(s->sysfs.root, dir, sizeof(dir)) < 0)
		return;
	modules_add_aliases(s, dir, release);
	modules_add_names(s, dir, release);
}
