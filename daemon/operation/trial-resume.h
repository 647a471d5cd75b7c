/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Trials that are there when the service starts, and have lost their timers. */
#pragma once

#include "daemon/service.h"

/*
 * Asks systemd for the timer of each change that is on trial; of one whose time is over it goes off at once.
 * A timer that systemd has stays as it is.
 */
void trials_resume(struct service *s);
