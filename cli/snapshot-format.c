/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the writer and the reader of snapshots agree about; see snapshot-format.h. */
#include "cli/snapshot-format.h"
#include "base/macro.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

const char *const snapshot_kind_names[SNAPSHOT_KINDS] = {
	[SNAPSHOT_DIRECTORY] = "directory", [SNAPSHOT_FILE] = "file",	[SNAPSHOT_LINK] = "link",
	[SNAPSHOT_WITHHELD] = "withheld",   [SNAPSHOT_BOOT] = "boot",	[SNAPSHOT_PRESENT] = "present",
	[SNAPSHOT_RECORD] = "record",	    [SNAPSHOT_MODEL] = "model",
};

static const char *const snapshot_folders[] = { "sys/", "proc/", "etc/", "lib/", "var/" };

/* Names with one slash between them, none of them `.` or `..`. */
static bool names_are_plain(const char *path)
{
	for (const char *s = path;; s++) {
		size_t n = strcspn(s, "/");

		if (n == 0 || n > 255 || (n == 1 && s[0] == '.') || (n == 2 && s[0] == '.' && s[1] == '.'))
			return false;
		s += n;
		if (!*s)
			return true;
	}
}

bool snapshot_path_is_plain(const char *path)
{
	if (strlen(path) > SNAPSHOT_PATH_MAX || !names_are_plain(path))
		return false;
	for (size_t i = 0; i < ELEMENTSOF(snapshot_folders); i++)
		if (startswith(path, snapshot_folders[i]))
			return true;
	return false;
}

bool snapshot_target_is_plain(const char *target, size_t *ret_ups)
{
	size_t ups = 0;

	if (strlen(target) > SNAPSHOT_PATH_MAX)
		return false;
	for (; startswith(target, "../"); target += 3)
		ups++;
	/* The whole of a link may be "../..", as `device` of an interface is. */
	if (streq(target, "..")) {
		*ret_ups = ups + 1;
		return true;
	}
	*ret_ups = ups;
	return names_are_plain(target);
}
