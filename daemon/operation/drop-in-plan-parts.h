/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between drop-in-plan.c and drop-in-plan-files.c only: the plan while it is made, in its own process. */
#pragma once

#include "base/macro.h"
#include "daemon/operation/drop-in-plan.h"
#include "daemon/refresh/refresh-worker.h"

#include <stdbool.h>
#include <stdio.h>

struct work {
	const struct drop_in_plan_work *planning;
	struct refresh_worker surveying;
	struct sysfs_device *device;
	struct drop_in_plan plan;
	FILE *out;
};

/* The answer is an error. Returns 1, which ends the work. */
int drop_in_plan_refuse(struct work *w, const char *name, const char *format, ...) _printf_(3, 4);

/* Which files are written and removed. 0: they are in the plan, the one to be written first; 1: refused;
 * negative errno. */
int drop_in_plan_set(struct work *w);
int drop_in_plan_clear(struct work *w);

/* Whether set wrote this file for the device, and of which kind it is. */
bool drop_in_plan_is_of_set(struct work *w, const char *file, enum drop_in_key *ret_by, bool *ret_runtime);
