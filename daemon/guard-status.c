/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the guard says about itself; see guard-status.h. */
#include "daemon/guard-status.h"
#include "base/file.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "policy/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

const char *guard_status_value(const char *text, const char *key)
{
	const size_t n = strlen(key);

	for (const char *line = text; *line; line = text_next_line(line))
		if (strncmp(line, key, n) == 0 && line[n] == '=')
			return line + n + 1;
	return NULL;
}

/* A guard that was killed leaves its file behind. */
static bool guard_is_running(const char *text)
{
	const char *pid = guard_status_value(text, "PID"), *boot = guard_status_value(text, "BOOT_ID");

	if (boot && strncmp(boot, boot_id(), strlen(boot_id())) != 0)
		return false;
	return !pid || kill((pid_t)strtol(pid, NULL, 10), 0) >= 0 || errno != ESRCH;
}

char *guard_status_read(const struct service *s)
{
	_cleanup_(closep) int fd = -EBADF;
	_cleanup_(freep) char *text = NULL;
	char path[PATH_MAX];
	size_t size;

	if (path_printf(path, sizeof(path), "%s/guard", s->settings->state_dir) >= 0)
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 || read_full(fd, 4096, 65536, &text, &size) < 0 || !guard_is_running(text))
		return NULL;
	return TAKE_PTR(text);
}
