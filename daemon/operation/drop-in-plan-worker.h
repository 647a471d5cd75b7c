/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Works out the plan of a call, in a child of the service: the device has to be asked for it, and any read of
 * its files may sleep in the kernel.
 */
#pragma once

#include "daemon/operation/drop-in-plan.h"
#include "daemon/operation/operation-options.h"
#include "daemon/task.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <systemd/sd-bus.h>

/* What the child is to do. */
struct drop_in_plan_work {
	const struct service *service;
	const char *bus, *name;
	uint64_t inode;	    /* of the device that is meant, which may have gone since */
	const char *driver; /* NULL: clear */
	const struct operation_options *options;
	const char
		*staging; /* a directory to make, with the plan in it; NULL: only check that it can be done */
};

/* For task_fork(), with a struct drop_in_plan_work as argument. */
int drop_in_plan_work(FILE *out, struct task_note *note, void *arg);

/* Reads what the child wrote: 0 and the plan; or negative errno, with the error set if the call is refused.
 */
int drop_in_plan_work_read(const char *out, size_t size, struct drop_in_plan *ret, sd_bus_error *reterr);
