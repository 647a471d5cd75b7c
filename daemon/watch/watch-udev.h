/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Devices that come, go and change, as udev tells it: after its rules, so the enforcer has been at work by
 * then. On a mock tree somebody else tells it, line by line, through a FIFO: "ACTION BUS NAME".
 */
#pragma once

#include "daemon/service.h"

struct uevents;

/* fifo: NULL: udev's own. */
int uevents_new(struct service *s, const char *fifo, struct uevents **ret);
struct uevents *uevents_free(struct uevents *u);
