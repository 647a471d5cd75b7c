/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A change on trial: its timer is there before it is written, and ends with it. */
#pragma once

#include "daemon/operation/device-change.h"
#include "daemon/service.h"

#include <stdbool.h>
#include <systemd/sd-bus.h>

/*
 * Completes the change's plan. 1: a trial begins, and on_started(change) gets systemd's answer; 0: none does,
 * the plan can be executed; negative errno.
 */
int change_trial_begin(struct device_change *c, const struct service *s, sd_bus_message_handler_t on_started);

/* The change was made, or it was not: stops the timers that are not needed. Once, and then it does nothing.
 */
void change_trial_end(struct device_change *c, const struct service *s, bool succeeded);

/* Without a word to systemd. */
void change_trial_free(struct device_change *c);
