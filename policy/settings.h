/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where every program looks: policy directories, sysfs, state directory; and the switch on the kernel
 * command line that turns all of them off.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define CONF_DIRS_MAX 16

/* Numbers for getopt_long(), above every character. */
enum settings_option {
	OPTION_CONF_DIR = 0x1000,
	OPTION_SYSFS,
	OPTION_STATE_DIR,
};

#define SETTINGS_LONG_OPTIONS                                                                                \
	{ "conf-dir", required_argument, NULL, OPTION_CONF_DIR },                                            \
		{ "sysfs", required_argument, NULL, OPTION_SYSFS },                                          \
	{                                                                                                    \
		"state-dir", required_argument, NULL, OPTION_STATE_DIR                                       \
	}

struct settings {
	const char *conf_dirs[CONF_DIRS_MAX]; /* first wins */
	size_t n_conf_dirs;
	const char *sysfs;     /* "/sys" */
	const char *state_dir; /* "/run/driver-overrides" */
	bool conf_dirs_given;
	bool sysfs_given; /* a mock tree: nothing of the running system is meant */
};

/* The places of an installed system. */
void settings_init(struct settings *s);

/*
 * Takes in one of the options above; argument is borrowed.
 * 1: taken; 0: not one of ours; -E2BIG: more directories than CONF_DIRS_MAX; -EINVAL: empty argument.
 */
int settings_option(struct settings *s, int option, const char *argument);

/* Whether a path is one of the policy directories, as it was given. */
bool settings_is_conf_dir(const struct settings *s, const char *path);

/* Whether a kernel command line turns the project off: `driver_overrides=off`, the last one counts. */
bool cmdline_turns_off(const char *cmdline);

/* The same for the running kernel, from /proc/cmdline; never for a mock tree. */
bool settings_turned_off(const struct settings *s);
