/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a change means for trials of its device: one begins, one ends, or neither. The file of the trial,
 * which has what there was before, is one of the plan's: it is written and removed with the policy files.
 */
#pragma once

#include "daemon/operation/drop-in-plan.h"
#include "daemon/operation/operation-options.h"

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-bus.h>

struct trial_request {
	const char *state_dir, *bus, *name;
	const char *driver; /* NULL: cleared */
	const struct operation_options *options;
};

struct trial_plan {
	char *id;     /* of the trial that begins; NULL: none does */
	char *old_id; /* of the one that there is; NULL: none */
	uint64_t until, old_until;
	bool ends_old; /* without another in its place */
};

void trial_plan_done(struct trial_plan *t);

/*
 * Completes the plan. Whatever else is written for a device whose change is on trial takes the place of that.
 * 1: a trial begins, and needs its timer before the plan is executed; 0: none does; negative errno.
 */
_must_check_ int trial_plan_make(const struct trial_request *request, struct drop_in_plan *plan,
				 struct trial_plan *ret);

/*
 * The options and the driver that were tried, to be set so that they last. 0, or negative errno, with the
 * error set where nothing is on trial.
 */
_must_check_ int trial_plan_confirm(const char *state_dir, const char *bus, const char *name,
				    struct operation_options *options, char **ret_driver,
				    sd_bus_error *reterr);
