/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Works out the plans of a call, in a child of the service: the devices have to be asked for it, and any read
 * of their files may sleep in the kernel.
 */
#pragma once

#include "daemon/operation/device-change.h"
#include "daemon/task.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* What the child is to do. Changes that have an error already are left out. */
struct drop_in_plan_work {
	const struct service *service;
	struct device_change *changes;
	size_t n;
	const char *
		staging; /* a directory to make, with the plans in it; NULL: only check that it can be done */
};

/* For task_fork(), with a struct drop_in_plan_work as argument. */
int drop_in_plan_work(FILE *out, struct task_note *note, void *arg);

/*
 * Reads what the child wrote: each change of the work that had no error has a plan then, or an error. 0 or
 * negative errno.
 */
int drop_in_plan_work_read(const struct drop_in_plan_work *work, const char *out, size_t size);
