/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the enforcer says of a device at its end, and the error that a caller gets for it. */
#pragma once

#include "base/macro.h"

#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-bus.h>

/* The error of a device that the enforcer had no time to begin, since it was at work on others. */
#define REBIND_NOT_BEGUN "NotBegun"

/* What the enforcer said at its end. */
struct rebind_result {
	char state[16];
	bool changed;	/* sysfs was written */
	char error[32]; /* "": none; else the last part of an error's name, or "Failed" */
	char reason[640];
	/* What the policy said when the enforcer had the device: "": nothing, or it did not get so far. */
	char decision[128];
};

/* Reads what it has printed. Of several devices, each begins with its name, in the order in which they were
 * given. */
void rebind_results_take(struct rebind_result *results, size_t n_results, const char *out);

void rebind_result_fail(struct rebind_result *result, const char *error, const char *format, ...)
	_printf_(3, 4);

/* 0 if the result is a success; else the error that a caller gets for it, as sd_bus_error_setf(). */
int rebind_result_error(const struct rebind_result *result, sd_bus_error *error);
