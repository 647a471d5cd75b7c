/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Devices that come, go and change, as udev tells it: after its rules, so the enforcer has been at work by
 * then. For a mock tree, a test tells it line by line through a FIFO: "ACTION BUS NAME".
 */
#pragma once

#include "daemon/service.h"

struct watch_udev;

/* fifo: NULL: events come from udev. */
int watch_udev_new(struct service *s, const char *fifo, struct watch_udev **ret);
struct watch_udev *watch_udev_free(struct watch_udev *w);
