/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which user a call comes from. Only the bus knows it, and it is asked without waiting: the call is handled
 * when the answer is there. A connection's user never changes and its name is never used again, so one
 * question does for all its calls.
 */
#pragma once

#include "daemon/service.h"

#include <stdbool.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>

/* As sd_bus_message_handler_t, but for the user. */
typedef int (*caller_handler_t)(struct service *s, sd_bus_message *call, uid_t uid, sd_bus_error *reterr);

/* For a method's own handler, which returns what this returns: calls handler, now or later. */
int caller_dispatch(struct service *s, sd_bus_message *call, caller_handler_t handler, sd_bus_error *reterr);

/* The handler for a table of methods, whose userdata is the service. */
#define CALLER_METHOD(function, handler)                                                                     \
	static int function(sd_bus_message *m, void *userdata, sd_bus_error *error)                          \
	{                                                                                                    \
		return caller_dispatch(userdata, m, handler, error);                                         \
	}

/* Root, or the user that the service runs as. */
bool caller_is_root(uid_t uid);

int callers_new(struct service *s);
void callers_free(struct service *s);
