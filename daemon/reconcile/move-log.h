/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Moves and refusals in the journal, with fields: who asked for what, and what came of it. */
#pragma once

#include "daemon/reconcile/rebind-queue.h"
#include "daemon/service.h"

#include <sys/types.h>

/* Nobody has called: the service does it by itself. */
#define MOVE_OF_SERVICE ((uid_t)-1)

/* What the enforcer has done to a device, or why it has not; uid: of the caller. */
void move_log(const struct service *s, const char *bus, const char *name, const struct rebind_result *result,
	      uid_t uid);

/* A call about one device has failed with this error. */
void refusal_log(const struct service *s, const char *bus, const char *name, const sd_bus_error *error,
		 uid_t uid);
