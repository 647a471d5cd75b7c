/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Calls about the devices that are named, or all: what became of each is a line, or an entry in JSON. */
#pragma once

#include "cli/command-line.h"

#include <stdbool.h>
#include <stddef.h>

struct state_method {
	const char *verb;      /* of overridectl */
	const char *one, *all; /* methods of the manager */
	const char *none;      /* is said where there was no device to call it for */
	bool tells_reason;     /* also of a device that is as it should be */
};

/* The exit status; what was refused is said, and is no reason to leave out other devices. */
int state_calls_run(const struct cli *cli, const struct state_method *method, char *const *args, size_t n,
		    bool all);
