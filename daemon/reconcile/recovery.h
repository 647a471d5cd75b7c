/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Devices that are stuck: somebody has to notice when they no longer are. There is not always an event that
 * says so (a probe that fails at last has none), and one that there is comes before the process that was
 * left behind has ended. So a process waits for each: first for that one's lock, then for the device's files.
 */
#pragma once

#include "daemon/service.h"

/* Once it is not stuck any more, it is looked at anew. Nothing is done where that is waited for already. */
void recovery_await(struct service *s, const char *bus, const char *name);

void recoveries_free(struct service *s);
