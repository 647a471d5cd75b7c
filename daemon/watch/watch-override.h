/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A write to driver_override makes no uevent; but user space's writes to files in sysfs are seen by inotify.
 * So the files of all devices that are decided or overridden are watched, and whenever one is written, by us
 * or by others, its device is looked at. Nothing is read here.
 */
#pragma once

#include "daemon/refresh/refresh-observer.h"
#include "daemon/service.h"

#include <stdbool.h>

int watch_override_new(struct service *s);
void watch_override_free(struct service *s);

/* Begins and ends to watch devices as looks find them. */
extern const struct refresh_observer watch_override_observer;
