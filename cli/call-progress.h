/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A call about many devices, which takes a while: that it is under way, and for how long, is shown at a
 * terminal. */
#pragma once

#include "base/macro.h"
#include "cli/service-client.h"

#include <stddef.h>
#include <systemd/sd-bus.h>

/*
 * As service_call_message(), for a call about n devices; what is shown is gone when it returns. The service
 * moves the devices side by side, and tells of all of them when it answers.
 */
_must_check_ int service_call_with_progress(struct service_client *c, sd_bus_message *m, size_t n,
					    sd_bus_message **ret);
