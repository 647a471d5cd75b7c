/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Has the D-Bus service started; see service-wanted.h. */
#include "state/service-wanted.h"
#include "base/macro.h"
#include "base/path.h"
#include "state/state-file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>
#include <stddef.h>

void service_want(const char *state_dir)
{
	char path[PATH_MAX];
	int fd;

	if (!state_dir || path_join(path, sizeof(path), state_dir, "/service-wanted", NULL) < 0)
		return;
	/* Closing a file that could be written to is what systemd waits for. */
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
	if (fd < 0 && errno == ENOENT && state_dir_make(state_dir, "") >= 0)
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
	if (fd >= 0)
		(void)close(fd);
}
