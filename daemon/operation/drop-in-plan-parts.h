/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between planning.c and planning-files.c only: the plan while it is made, in its own process. */
#pragma once

#include "daemon/operation/drop-in-plan.h"
#include "daemon/refresh/refresh-worker.h"

struct work {
	const struct planning *planning;
	struct surveying surveying;
	struct sysfs_device *device;
	struct plan plan;
	FILE *out;
};

/* The answer is an error. Returns 1, which ends the work. */
int planning_refuse(struct work *w, const char *name, const char *format, ...) _printf_(3, 4);

/* Which files are written and removed. 0: they are in the plan, the one to be written first; 1: refused;
 * negative errno. */
int planning_set(struct work *w);
int planning_clear(struct work *w);

/* Whether set wrote this file for the device, and of which kind it is. */
bool planning_is_of_set(struct work *w, const char *file, enum by *ret_by, bool *ret_runtime);
