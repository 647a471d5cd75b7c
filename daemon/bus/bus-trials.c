/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The changes that are on trial, from their files; see state/trial.h. */
#include "base/time.h"
#include "daemon/bus/bus-call.h"
#include "state/trial.h"

#include <stdint.h>

static int bus_append_trial(const char *path, const struct trial *trial, int r, void *message)
{
	const uint64_t now = boottime_usec();

	(void)path;
	(void)r;
	/* One that nobody can read is none, and one that is back cannot be confirmed. */
	if (!trial || trial->is_back)
		return 0;
	r = sd_bus_message_append(message, "(ssst)", trial->bus, trial->name, trial->driver,
				  trial->until > now ? trial->until - now : 0);
	return r < 0 ? r : 0;
}

int bus_append_trials(sd_bus_message *m, const void *service)
{
	const struct service *s = service;
	int r = sd_bus_message_open_container(m, 'a', "(ssst)");

	if (r >= 0)
		r = trial_each(s->settings->state_dir, bus_append_trial, m);
	return r < 0 ? r : sd_bus_message_close_container(m);
}
