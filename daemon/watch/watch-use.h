/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Devices that stay with their driver because they are in use: what a record says of the use (WAIT_FOR=) is
 * waited for, and then the device is tried again. A node's close is heard by inotify, mounts and swap by
 * polling the files of proc, addresses and routes by rtnetlink. What makes no event is found out by trying
 * once a minute.
 */
#pragma once

#include "daemon/refresh/refresh-observer.h"
#include "daemon/service.h"

extern const struct refresh_observer watch_use_observer;

int watch_use_new(struct service *s);
void watch_use_free(struct service *s);
