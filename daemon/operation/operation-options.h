/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The a{sv} of the methods: read and checked whole before anything happens. */
#pragma once

#include "base/macro.h"
#include "daemon/service.h"
#include "policy/rule.h"

#include <stdbool.h>

enum drop_in_key {
	KEY_NAME,
	KEY_PATH,
	KEY_ID,
	BY_COUNT,
};

enum call_option {
	OPTION_RUNTIME = 1 << 0,
	OPTION_REBIND = 1 << 1,
	OPTION_GROUP = 1 << 2,
	OPTION_BY = 1 << 3,
	OPTION_MODULE = 1 << 4,
	OPTION_FORCE = 1 << 5,
	OPTION_DRY_RUN = 1 << 6,
};

struct options {
	unsigned given; /* enum call_option */
	bool runtime, force, dry_run;
	enum rebind rebind; /* REBIND_UNSET: not given */
	enum drop_in_key by;
	char group[DRIVER_NAME_MAX + 1], module[DRIVER_NAME_MAX + 1];
};

/* allowed: those that the method knows. 0, or negative errno with the error set. */
int options_read(sd_bus_message *m, unsigned allowed, struct options *ret, sd_bus_error *error);

const char *drop_in_key_to_string(enum drop_in_key by);

/* May stand in a policy file as a value of one line: printable, with no blank at either end. */
bool is_value(const char *s) _pure_;
