/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The Explain method: reads a device's files, so it runs in a process of its own. */
#pragma once

#include "daemon/service.h"

#include <stdbool.h>

/* 1: the answer comes later; negative errno. */
int bus_explain_start(struct service *s, sd_bus_message *call, const char *bus, const char *name);

bool bus_explain_is_busy(void);
/* Those that are under way get no answer. */
void bus_explain_stop(void);
