/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The a{sv} of the methods, which is read and checked as a whole before anything happens. */
#pragma once

#include "base/macro.h"
#include "daemon/bus/polkit.h"
#include "daemon/operation/drop-in.h"

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-bus.h>

enum operation_option {
	OPTION_RUNTIME = 1 << 0,
	OPTION_REBIND = 1 << 1,
	OPTION_GROUP = 1 << 2,
	OPTION_BY = 1 << 3,
	OPTION_MODULE = 1 << 4,
	OPTION_FORCE = 1 << 5,
	OPTION_DRY_RUN = 1 << 6,
	OPTION_PARTIAL = 1 << 7,
	OPTION_TRY = 1 << 8,
	OPTION_ABSENT = 1 << 9,
	OPTION_ANY_DEVICE = 1 << 10,
};

struct operation_options {
	unsigned given; /* enum operation_option */
	bool runtime, force, dry_run, partial, absent, any_device;
	enum rebind rebind; /* REBIND_UNSET: not given */
	uint64_t try_usec;  /* with OPTION_TRY, which implies runtime */
	enum drop_in_key by;
	char group[DRIVER_NAME_MAX + 1], module[DRIVER_NAME_MAX + 1];
};

/* allowed: the options that the method has. 0, or negative errno with the error set. */
int operation_options_read(sd_bus_message *m, unsigned allowed, struct operation_options *ret,
			   sd_bus_error *reterr);

/*
 * What polkit is told of them. changes_policy: the call writes or removes rules; makes_rule: it is
 * SetOverride, whose options have defaults.
 */
void operation_options_describe(const struct operation_options *o, bool changes_policy, bool makes_rule,
				struct polkit_details *ret);
