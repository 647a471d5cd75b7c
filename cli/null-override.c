/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finds overrides that are the text "(null)"; see null-override.h. */
#include "cli/null-override.h"
#include "base/arena.h"
#include "base/file.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "policy/vfio-driver.h"
#include "sysfs/binding.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { ALIASES_SIZE_MAX = 64 * 1024 * 1024, ALIAS_MAX = 512 };

static void null_override_finder_read(struct null_override_finder *finder, const char *sysfs)
{
	_cleanup_(closep) int fd = -EBADF;
	char path[PATH_MAX];
	size_t n, size;

	finder->read = true;
	if (vfio_aliases_dir(sysfs, path, sizeof(path)) < 0)
		return;
	n = strlen(path);
	if (path_printf(path + n, sizeof(path) - n, "/modules.alias") < 0)
		return;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd >= 0 && read_full(fd, 2U << 20, ALIASES_SIZE_MAX, &finder->aliases, &size) < 0)
		finder->aliases = NULL;
}

/* The driver that a loaded module has registered with a bus; NULL: none. */
static const char *module_driver_on_bus(const struct sysfs_device *d, const char *module, struct arena *arena)
{
	_cleanup_(dir_close) struct dir_reader dir = { .fd = -EBADF };
	char path[PATH_MAX];
	const char *entry;

	if (path_join(path, sizeof(path), d->sysfs->root, "/module/", module, "/drivers", NULL) < 0 ||
	    dir_open(&dir, path) < 0)
		return NULL;
	while ((entry = dir_next(&dir))) {
		const char *driver = startswith(entry, d->bus);

		if (driver && *driver == ':')
			return arena_strdup(arena, driver + 1);
	}
	return NULL;
}

/* "alias PATTERN MODULE", copied apart if the pattern can match: what comes before its first wildcard does.
 */
static bool alias_may_match(const char *line, const char *modalias, char pattern[static ALIAS_MAX],
			    char module[static ALIAS_MAX])
{
	const char *s = startswith(line, "alias "), *space;
	size_t plain, n = strcspn(line, "\n");

	if (!s)
		return false;
	plain = strcspn(s, "*?[ \n");
	if (strncmp(s, modalias, plain) != 0)
		return false;
	space = memchr(s, ' ', n - strlen("alias "));
	if (!space || (size_t)(space - s) >= ALIAS_MAX || n - (size_t)(space - line) >= ALIAS_MAX)
		return false;
	memcpy(pattern, s, (size_t)(space - s));
	pattern[space - s] = '\0';
	n -= (size_t)(space + 1 - line);
	memcpy(module, space + 1, n);
	module[n] = '\0';
	return true;
}

const char *null_override_find(struct null_override_finder *finder, struct sysfs_device *d,
			       struct arena *arena)
{
	char driver[BOUND_MAX], text[16], pattern[ALIAS_MAX], module[ALIAS_MAX];
	const char *modalias, *found = NULL;

	bound_driver(d, driver, sizeof(driver));
	if (driver[0] || sysfs_device_read(d, "driver_override", text, sizeof(text)) < 0 ||
	    !streq(text, "(null)"))
		return NULL;
	modalias = device_text(&d->device, FACT_MODALIAS);
	if (!modalias)
		return NULL;
	if (!finder->read)
		null_override_finder_read(finder, d->sysfs->root);
	for (const char *line = finder->aliases; line && *line && !found; line += *line == '\n') {
		if (alias_may_match(line, modalias, pattern, module) && fnmatch(pattern, modalias, 0) == 0)
			found = module_driver_on_bus(d, module, arena);
		line += strcspn(line, "\n");
	}
	return found;
}

void null_override_finder_done(struct null_override_finder *finder)
{
	free(finder->aliases);
}

const char *null_override_text(const struct sysfs_device *d, const char *driver, struct arena *arena)
{
	return arena_printf(
		arena,
		"%s %s has no driver, although %s, which is made for it, is loaded, and its override "
		"reads as unset: perhaps it is the text (null), which keeps every driver away; "
		"writing an empty line to driver_override clears it",
		d->bus, d->name, driver);
}
