/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Devices that are stuck, until they come back. There is not always a uevent that tells it (a probe that
 * fails at last has none), and where there is, it comes before the process that was left behind has ended. So
 * a process waits for each device: first for the lock of that process, then for the device's files.
 */
#pragma once

#include "daemon/refresh/refresh-observer.h"
#include "daemon/service.h"

/* Once the device is not stuck any more, it is looked at again. Does nothing if that is waited for already.
 */
void recovery_await(struct service *s, const char *bus, const char *name);

/* Waits for the devices that looks find to be stuck. */
extern const struct refresh_observer recovery_observer;

void recoveries_free(struct service *s);
