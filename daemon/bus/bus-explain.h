/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The Explain method. It reads a device's files, which may sleep in the kernel, so it works in a child. */
#pragma once

#include "daemon/service.h"

#include <stdbool.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>

/* uid: the caller's. 1: the answer comes later; negative errno, with the error set for the caller's own
 * limits. */
int bus_explain_start(struct service *s, sd_bus_message *call, uid_t uid, const char *bus, const char *name,
		      sd_bus_error *reterr);

bool bus_explain_is_busy(void);
/* Calls that are not answered yet never are. */
void bus_explain_stop(void);
