/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The timer of a trial (state/trial.h). systemd keeps the time and starts `driver-override undo`, so what a
 * change may cut off, such as the network or this service, is not needed to go back.
 */
#pragma once

#include "daemon/service.h"

#include <stdint.h>
#include <systemd/sd-bus.h>

struct trial_timer {
	const struct service *service;
	const char *bus, *name; /* of the device */
	const char *id;		/* of the trial: each has a timer of its own */
};

/*
 * on_started gets systemd's answer, or an error; NULL: whatever it is. A timer that is there already is left
 * as it is, which is an error. 0 or negative errno.
 */
int trial_timer_start(const struct trial_timer *t, uint64_t usec, sd_bus_message_handler_t on_started,
		      void *userdata, sd_bus_slot **ret);

/* What the timer of an ended trial would start finds that out by itself, so it does not matter if this fails.
 */
void trial_timer_stop(const struct trial_timer *t);
