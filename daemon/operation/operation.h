/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A method call that changes something, from its arguments to its answer: it is read and validated,
 * authorized, planned, tried in a dry run, written, executed by the enforcer; the device is read again, and
 * the call is answered. No step blocks the event loop. Between two steps an operation keeps names, never
 * pointers to devices or rules.
 */
#pragma once

#include "daemon/operation/operation-kind.h"
#include "daemon/service.h"

#include <stdbool.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>

int operations_new(struct service *s);
void operations_free(struct service *s);
bool operations_busy(const struct service *s);
/* Some call is about to do something to this device, or has just done it. */
bool operations_about(const struct service *s, const char *bus, const char *name);

/*
 * uid: the caller's. Reads the rest of the call's arguments and takes it on: 1, and the answer comes later;
 * or negative errno with the error set. bus and name are NULL for calls about all devices, or about several.
 */
int operation_start(struct service *s, sd_bus_message *call, uid_t uid, enum operation_kind kind,
		    const char *bus, const char *name, sd_bus_error *reterr);
