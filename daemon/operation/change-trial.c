/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A change on trial; see change-trial.h. */
#include "daemon/operation/change-trial.h"
#include "base/time.h"
#include "daemon/operation/trial-timer.h"

#include <stddef.h>
#include <stdint.h>

/* The timer of a trial that goes on goes off no sooner. */
#define AGAIN_USEC UINT64_C(1000000)

static struct trial_timer change_timer(const struct device_change *c, const struct service *s, const char *id)
{
	return (struct trial_timer){ .service = s, .bus = c->bus, .name = c->name, .id = id };
}

int change_trial_begin(struct device_change *c, const struct service *s, sd_bus_message_handler_t on_started)
{
	const struct trial_request request = { .state_dir = s->settings->state_dir,
					       .bus = c->bus,
					       .name = c->name,
					       .driver = c->driver,
					       .options = &c->options };
	struct trial_timer timer;
	int r = trial_plan_make(&request, &c->plan, &c->trial);

	if (r <= 0)
		return r;
	timer = change_timer(c, s, c->trial.id);
	r = trial_timer_start(&timer, c->options.try_usec, on_started, c, &c->timer_slot);
	return r < 0 ? r : 1;
}

void change_trial_end(struct device_change *c, const struct service *s, bool succeeded)
{
	const struct trial_timer timer = change_timer(c, s, c->trial.id);
	const struct trial_timer old = change_timer(c, s, c->trial.old_id);
	const uint64_t least = boottime_usec() + AGAIN_USEC;
	uint64_t usec = AGAIN_USEC;

	if (succeeded && old.id && (c->trial.ends_old || c->has_timer))
		trial_timer_stop(&old);
	if (!succeeded && c->has_timer)
		trial_timer_stop(&timer);
	/*
	 * The timer of the trial before may have run out meanwhile and found nothing to undo, so it is
	 * started again. If it still runs, systemd refuses a second one of that name, and nothing changes.
	 */
	if (!succeeded && old.id && (c->trial.ends_old || c->has_timer)) {
		if (c->trial.old_until > least)
			usec += c->trial.old_until - least;
		(void)trial_timer_start(&old, usec, NULL, NULL, NULL);
	}
	change_trial_free(c);
}

void change_trial_free(struct device_change *c)
{
	c->timer_slot = sd_bus_slot_unref(c->timer_slot);
	trial_plan_done(&c->trial);
	c->has_timer = false;
}
