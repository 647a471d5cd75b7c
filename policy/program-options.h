/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command line of every program: its options are read in one loop, before its other arguments. */
#pragma once

#include "base/macro.h"
#include "policy/settings.h"

#include <getopt.h>
#include <stddef.h>
#include <stdio.h>

/* For the table of a program, in front of its own; these have numbers of settings_option(), 'h' and 'V'. */
#define PROGRAM_LONG_OPTIONS                                                                                 \
	{ "conf-dir", required_argument, NULL, OPTION_CONF_DIR },                                            \
		{ "sysfs", required_argument, NULL, OPTION_SYSFS },                                          \
		{ "state-dir", required_argument, NULL, OPTION_STATE_DIR },                                  \
		{ "help", no_argument, NULL, 'h' },                                                          \
	{                                                                                                    \
		"version", no_argument, NULL, 'V'                                                            \
	}

struct program_options {
	const char *program;
	const struct option *table; /* ends with {} */
	void (*usage)(FILE *f);
	/* 1: taken; 0: none of the program's own; negative errno: usage. */
	int (*take)(void *userdata, int option, const char *argument);
	void *userdata;
};

enum { PROGRAM_RUNS = -1 };

/*
 * Fills in settings and has the program take its own options; the arguments follow from optind on. The exit
 * status, where help, the version, or a wrong option end the program, else PROGRAM_RUNS.
 */
_must_check_ int program_options_read(const struct program_options *p, struct settings *settings, int argc,
				      char **argv);
