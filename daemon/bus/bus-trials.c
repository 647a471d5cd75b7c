/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The changes that are on trial, from their files; see state/trial.h. */
#include "base/file.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/time.h"
#include "daemon/bus/bus-call.h"
#include "state/trial.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>

static int bus_append_trial(sd_bus_message *m, const char *path)
{
	_cleanup_(trial_done) struct trial trial = {};
	const uint64_t now = boottime_usec();

	/* One that has just ended, or that nobody can read, is none. */
	if (trial_read(path, &trial) < 0)
		return 0;
	return sd_bus_message_append(m, "(ssst)", trial.bus, trial.name, trial.driver,
				     trial.until > now ? trial.until - now : 0);
}

int bus_append_trials(sd_bus_message *m, const void *service)
{
	const struct service *s = service;
	_cleanup_(dir_close) struct dir_reader dir = { .fd = -EBADF };
	char folder[PATH_MAX], path[PATH_MAX];
	const char *name;
	int r = path_printf(folder, sizeof(folder), "%s/trials", s->settings->state_dir);

	if (r >= 0)
		r = sd_bus_message_open_container(m, 'a', "(ssst)");
	/* There is no such folder before the first trial. */
	if (r < 0 || dir_open(&dir, folder) < 0)
		return r < 0 ? r : sd_bus_message_close_container(m);
	while (r >= 0 && (name = dir_next(&dir)))
		if (path_printf(path, sizeof(path), "%s/%s", folder, name) >= 0)
			r = bus_append_trial(m, path);
	return r < 0 ? r : sd_bus_message_close_container(m);
}
