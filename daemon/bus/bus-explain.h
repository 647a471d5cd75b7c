/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The Explain method. It reads a device's files, which may sleep in the kernel, so it works in a child. */
#pragma once

#include "daemon/service.h"

#include <stdbool.h>
#include <systemd/sd-bus.h>

/* 1: the answer comes later; negative errno. */
int bus_explain_start(struct service *s, sd_bus_message *call, const char *bus, const char *name);

bool bus_explain_is_busy(void);
/* Calls that are not answered yet never are. */
void bus_explain_stop(void);
