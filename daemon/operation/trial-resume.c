/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Has systemd keep the time of the trials that there are; see trial-resume.h. */
#include "daemon/operation/trial-resume.h"
#include "base/log.h"
#include "base/time.h"
#include "daemon/operation/trial-timer.h"
#include "state/trial.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>
#include <systemd/sd-bus.h>

/* A timer without any time is none to systemd. */
#define AT_ONCE_USEC UINT64_C(1)

static int on_trial_resumed(sd_bus_message *m, void *device, sd_bus_error *unused)
{
	const sd_bus_error *error = sd_bus_message_get_error(m);

	(void)unused;
	if (error && !sd_bus_error_has_name(error, "org.freedesktop.systemd1.UnitExists"))
		log_line(LOG_WARNING,
			 "%s: systemd gives no timer: %s, the change on trial may not go back by itself",
			 (const char *)device, error->message ? error->message : error->name);
	return 1;
}

static int trial_resume(struct service *s, const struct trial *trial)
{
	const struct trial_timer timer = {
		.service = s, .bus = trial->bus, .name = trial->name, .id = trial->id
	};
	const uint64_t now = boottime_usec();
	sd_bus_slot *slot = NULL;
	char *device;
	int r;

	if (asprintf(&device, "%s %s", trial->bus, trial->name) < 0)
		return -ENOMEM;
	r = trial_timer_start(&timer, trial->until > now ? trial->until - now : AT_ONCE_USEC,
			      on_trial_resumed, device, &slot);
	if (r < 0) {
		free(device);
		return r;
	}
	(void)sd_bus_slot_set_destroy_callback(slot, free);
	(void)sd_bus_slot_set_floating(slot, true);
	(void)sd_bus_slot_unref(slot);
	return 0;
}

static int trial_resume_or_log(const char *path, const struct trial *trial, int r, void *service)
{
	if (trial)
		r = trial_resume(service, trial);
	if (r < 0)
		log_errno(LOG_WARNING, r,
			  "%s: asking for a timer: %m, the change on trial may not go back by itself", path);
	return 0;
}

void trials_resume(struct service *s)
{
	(void)trial_each(s->settings->state_dir, trial_resume_or_log, s);
}
