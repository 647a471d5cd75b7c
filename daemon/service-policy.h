/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The policy in force: read again whenever it may have changed. */
#pragma once

#include "daemon/service.h"

/*
 * Reads the policy again, and if it has changed, signals that and has all devices looked at. 1: changed; 0:
 * not; negative errno: the one before stays in force.
 */
int service_load_policy(struct service *s);
