/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a call means for the policy files: worked out in a process of its own, since the device has to be
 * asked for it, and left in a staging directory for the enforcer to try.
 */
#pragma once

#include "daemon/operation/drop-in.h"
#include "daemon/task.h"

#include <stddef.h>
#include <stdio.h>

struct drop_in_plan_work {
	const struct service *service;
	const char *bus, *name;
	const char *driver; /* NULL: clear */
	const struct options *options;
	const char *staging; /* to be made; NULL: it is only to be seen whether it can be done */
};

/* For task_fork(), with a struct planning as argument. */
int drop_in_plan_work(FILE *out, struct task_note *note, void *arg);

/* What it wrote: 0 and the plan, or negative errno and the error. */
int drop_in_plan_read(const char *out, size_t size, struct drop_in_plan *ret, sd_bus_error *error);
