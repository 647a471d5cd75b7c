/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Runs the built enforcer, whose path is in the environment variable DRIVER_OVERRIDE, on a mock tree: never
 * without --sysfs, so that nothing of the running system is meant.
 */
#pragma once

#include "mock.h"

struct ran {
	int status;	  /* exit status; -1: killed */
	uint64_t usec;	  /* from the start to the end of its stdout and of itself */
	const char *out;  /* stdout */
	const char *err;  /* stderr */
	unsigned n_lines; /* of stderr */
};

/* The arguments after the options for places end with NULL. */
struct ran run(struct mock *m, ...) __attribute__((sentinel));

/* The `add` event of a device by its devpath, given as argument. */
struct ran event(struct mock *m, const char *devpath);

/* As udev calls it: no argument, all in the environment; env ends with NULL. */
struct ran event_env(struct mock *m, const char *const *env);

/* The very same without any option of ours before the arguments: for what needs no tree. */
struct ran run_bare(struct mock *m, ...) __attribute__((sentinel));

/* A property as printed, "" when it is not. */
const char *property(struct mock *m, const struct ran *r, const char *key);
