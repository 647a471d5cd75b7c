/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What `set` is about to do, shown to a person at a terminal, who is asked whether to go on. */
#pragma once

#include "base/macro.h"
#include "cli/change.h"
#include "cli/service-client.h"

#include <stddef.h>

/*
 * Shows the changes, which have been begun, and asks; where there is nobody to ask, or nothing to be asked,
 * it does neither. STATUS_DONE: go on; STATUS_FAILED: do not, and why was said.
 */
_must_check_ int set_plan_ask_or_fail(struct change *v, size_t n, struct service_client *c);
