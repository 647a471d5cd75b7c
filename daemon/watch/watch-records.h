/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Records of devices, which the enforcer and the guard write, and the guard's status: when one is written,
 * its device is looked at, and Hold is signalled. By inotify, so that nothing is polled.
 */
#pragma once

#include "daemon/service.h"

int watch_records_new(struct service *s);
void watch_records_free(struct service *s);
