/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One device that a call is about, and what becomes of it. SetOverrides has many, other calls one. */
#pragma once

#include "daemon/operation/drop-in-plan.h"
#include "daemon/operation/operation-options.h"
#include "daemon/operation/trial-plan.h"
#include "daemon/reconcile/rebind-queue.h"

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-bus.h>

struct operation;

struct device_change {
	struct operation *operation;
	char *bus, *name;
	char *driver;	/* NULL: ClearOverride, Apply */
	bool is_absent; /* only the rule is written */
	uint64_t inode; /* of the device that the call was made for; another may take its name */
	char *modalias; /* of that device, once polkit is to be told */
	struct operation_options options;
	struct drop_in_plan plan;
	struct trial_plan trial;
	sd_bus_slot *timer_slot; /* while systemd is asked for the trial's timer */
	bool has_timer;		 /* it has one */
	struct rebind_job *rebind_job;
	struct rebind_result result;
	bool follows;	    /* it was not begun in time, and is moved once the call is answered */
	sd_bus_error error; /* set: it is refused, or has failed, and nothing more is done about it */
};
