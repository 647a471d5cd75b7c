/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the service adds to an explanation: all of it for another machine, else what only root can find out.
 */
#pragma once

#include "base/macro.h"
#include "cli/device-names.h"
#include "cli/service-client.h"

struct json_object;

/*
 * The service's own explanation of a device; errors of the policy are said. 0; negative errno: the call
 * failed (c->error), or -EBADMSG: it returned no JSON.
 */
_must_check_ int explain_ask_service(struct service_client *c, const struct device_name *device,
				     struct json_object **ret);

/*
 * Adds "in_use", who would miss the device, or "in_use_unknown", why that cannot be told, and "apply", what
 * that verb would do: two dry runs, which change nothing. 0; negative errno: the service cannot be asked.
 */
_must_check_ int explain_add_now(struct service_client *c, const struct device_name *device,
				 struct json_object *o);
