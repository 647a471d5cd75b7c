/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where every program looks: policy directories, sysfs, state directory; and the switch on the kernel
 * command line that turns all programs off.
 */
#pragma once

#include "base/macro.h"

#include <stdbool.h>
#include <stddef.h>

#define CONF_DIRS_MAX 16
/* The number of the directory whose files last until the next boot, and the names of those that each boot
 * makes anew (state/boot-rules.h). */
#define CONF_DIR_RUNTIME 1U
#define BOOT_FILE_COMMAND_LINE "00-command-line.conf"
#define BOOT_FILE_CREDENTIAL "00-credential-"

/* Numbers for getopt_long(), above every character. */
enum settings_option {
	OPTION_CONF_DIR = 0x1000,
	OPTION_SYSFS,
	OPTION_STATE_DIR,
};

/* Which of the policy files are meant. */
enum policy_scope {
	POLICY_OF_NOW,	     /* all of them */
	POLICY_OF_NEXT_BOOT, /* without the runtime files that a boot does not make itself */
	POLICY_OF_IMAGE,     /* without the runtime directory: what a boot image takes with it */
	POLICY_WITHOUT_BOOT, /* without the runtime files that a boot makes itself */
};

struct settings {
	const char *conf_dirs[CONF_DIRS_MAX]; /* first wins */
	size_t n_conf_dirs;
	const char *sysfs;     /* "/sys" */
	const char *state_dir; /* "/run/driver-overrides" */
	bool conf_dirs_given;
	bool sysfs_given; /* a mock tree: nothing of the running system is meant */
	enum policy_scope scope;
	bool disk_only; /* of the policy directories, whether it has failed or not */
};

/* The places of an installed system. */
void settings_init(struct settings *s);

/*
 * Takes in one of the options above; argument is borrowed.
 * 1: taken; 0: not one of ours; -E2BIG: more directories than CONF_DIRS_MAX; -EINVAL: empty argument.
 */
_must_check_ int settings_option(struct settings *s, int option, const char *argument);

/* How many strings settings_to_argv() appends at most. */
#define SETTINGS_ARGV_MAX (2 * CONF_DIRS_MAX + 6)

/*
 * Appends to the n strings of argv the options that have another program look in the same places, and before
 * all policy directories in first_dir, if that is not NULL. The strings are borrowed. Returns how many
 * strings argv has then.
 */
size_t settings_to_argv(const struct settings *s, const char *first_dir, const char **argv, size_t n);

/*
 * Where a file of the system is, by its absolute path: beside the sysfs tree, where that is not the running
 * system's. 0 or -ENAMETOOLONG.
 */
_must_check_ int settings_system_path(const struct settings *s, const char *path, char *buf, size_t size);

/* Whether the system has a file or a folder of that path. */
bool settings_system_has(const struct settings *s, const char *path);

/* The system's kernel command line, malloc()ed. 0 or negative errno. */
_must_check_ int settings_command_line_read(const struct settings *s, char **ret);

/* Whether a path is one of the policy directories, as it was given. */
bool settings_is_conf_dir(const struct settings *s, const char *path);

/* Whether a file of that name in a policy directory is read: it ends in .conf and is not hidden. */
bool settings_is_policy_name(const char *name);

/* The same, in the directory of that number, and of s->scope. */
bool settings_takes_file(const struct settings *s, size_t number, const char *name);

/* Whether a kernel command line turns the project off: `driver_overrides=off`, the last one counts. The text
 * is written over. */
bool cmdline_turns_off(char *cmdline);

/* The same for the running kernel, from /proc/cmdline; never for a mock tree. */
bool settings_turned_off(const struct settings *s);
