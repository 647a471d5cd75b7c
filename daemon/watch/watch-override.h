/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who writes a driver_override makes no uevent; but user space's writes to files in sysfs can be heard by
 * inotify. So the files of all devices that are decided or overridden are watched, and whatever is written to
 * one, by us or by others, has the device looked at. Nothing is read here.
 */
#pragma once

#include "daemon/service.h"

#include <stdbool.h>

int watch_override_new(struct service *s);
void watch_override_free(struct service *s);

/* A survey has looked at the device. True: it was not watched before, so what was written since is not known.
 */
bool watch_override_add(struct service *s, struct device_entry *e);
/* It is gone, or is another one. */
void watch_override_remove(struct service *s, struct device_entry *e);
