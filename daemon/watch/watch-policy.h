/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What others write: policy files, the enforcer's and the guard's records. By inotify, so that nothing has
 * to be asked for again and again.
 */
#pragma once

#include "daemon/service.h"

int watch_policy_new(struct service *s);
void watch_policy_free(struct service *s);
