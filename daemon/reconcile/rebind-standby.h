/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An enforcer that is started ahead of need: while a call is planned and its files are written, which takes
 * as long as it takes to load a program. It does one job, like any other, and is not needed for that: where
 * there is none, or it is too old to wait, the job has one started.
 */
#pragma once

#include "daemon/service.h"
#include "daemon/task.h"

#include <stdint.h>

/* Unless there is one, or they do not wait. */
void rebind_standby_prepare(struct service *s);
/* It is not needed: no call is under way. */
void rebind_standby_dismiss(struct service *s);

/*
 * Gives it a command line, from the second string on, and leaves it to the caller, as task_spawn() does.
 * Negative errno: there is none that takes it.
 */
int rebind_standby_begin(struct service *s, const char *const *argv, uint64_t usec, task_done_t done,
			 void *userdata, struct task **ret);
/* It has not understood that it was to wait, so none is started any more. */
void rebind_standby_is_unknown(struct service *s);
