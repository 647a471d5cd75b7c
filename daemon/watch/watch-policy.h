/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Policy files, and what `vfio` is looked up in: when one is written, the policy is read again. By inotify,
 * so that nothing is polled. */
#pragma once

#include "daemon/service.h"

int watch_policy_new(struct service *s);
void watch_policy_free(struct service *s);
