/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where every program looks; see settings.h. */
#include "policy/settings.h"
#include "base/kernel-command-line.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

void settings_init(struct settings *s)
{
	*s = (struct settings){
		.conf_dirs = { "/etc/driver-overrides.d", "/run/driver-overrides.d",
			       "/usr/lib/driver-overrides.d" },
		.n_conf_dirs = 3,
		.sysfs = "/sys",
		.state_dir = "/run/driver-overrides",
	};
}

int settings_option(struct settings *s, int option, const char *argument)
{
	if (option < OPTION_CONF_DIR || option > OPTION_STATE_DIR)
		return 0;
	if (!*argument)
		return -EINVAL;

	switch ((enum settings_option)option) {
	case OPTION_CONF_DIR:
		if (!s->conf_dirs_given) {
			s->conf_dirs_given = true;
			s->n_conf_dirs = 0;
		}
		if (s->n_conf_dirs == CONF_DIRS_MAX)
			return -E2BIG;
		s->conf_dirs[s->n_conf_dirs++] = argument;
		break;
	case OPTION_SYSFS:
		s->sysfs = argument;
		s->sysfs_given = true;
		break;
	case OPTION_STATE_DIR:
		s->state_dir = argument;
		break;
	}
	return 1;
}

size_t settings_to_argv(const struct settings *s, const char *first_dir, const char **argv, size_t n)
{
	if (first_dir) {
		argv[n++] = "--conf-dir";
		argv[n++] = first_dir;
	}
	for (size_t i = 0; (first_dir || s->conf_dirs_given) && i < s->n_conf_dirs; i++) {
		argv[n++] = "--conf-dir";
		argv[n++] = s->conf_dirs[i];
	}
	if (s->sysfs_given) {
		argv[n++] = "--sysfs";
		argv[n++] = s->sysfs;
	}
	argv[n++] = "--state-dir";
	argv[n++] = s->state_dir;
	return n;
}

int settings_system_path(const struct settings *s, const char *path, char *buf, size_t size)
{
	return s->sysfs_given ? path_join(buf, size, s->sysfs, "/..", path, NULL)
			      : path_join(buf, size, path, NULL);
}

bool settings_system_has(const struct settings *s, const char *path)
{
	char full[PATH_MAX];

	return settings_system_path(s, path, full, sizeof(full)) >= 0 && access(full, F_OK) == 0;
}

int settings_command_line_read(const struct settings *s, char **ret)
{
	char path[PATH_MAX];
	int r = settings_system_path(s, "/proc/cmdline", path, sizeof(path));

	return r < 0 ? r : kernel_command_line_read(path, ret);
}

bool settings_is_conf_dir(const struct settings *s, const char *path)
{
	for (size_t i = 0; i < s->n_conf_dirs; i++)
		if (streq(s->conf_dirs[i], path))
			return true;
	return false;
}

bool settings_is_policy_name(const char *name)
{
	const size_t n = strlen(name), suffix = strlen(".conf");

	return name[0] != '.' && n > suffix && streq(name + n - suffix, ".conf");
}

bool settings_takes_file(const struct settings *s, size_t number, const char *name)
{
	const bool of_boot = streq(name, BOOT_FILE_COMMAND_LINE) || startswith(name, BOOT_FILE_CREDENTIAL);

	if (!settings_is_policy_name(name) || number != CONF_DIR_RUNTIME)
		return settings_is_policy_name(name);
	switch (s->scope) {
	case POLICY_OF_NOW:
		return true;
	case POLICY_OF_NEXT_BOOT:
		return of_boot;
	case POLICY_OF_IMAGE:
		return false;
	case POLICY_WITHOUT_BOOT:
		return !of_boot;
	}
	return true;
}

bool cmdline_turns_off(char *cmdline)
{
	bool off = false;

	for (const char *word, *value; (word = kernel_command_line_next(&cmdline));) {
		value = kernel_parameter_value(word, "driver_overrides");
		if (value)
			off = streq(value, "off");
	}
	return off;
}

bool settings_turned_off(const struct settings *s)
{
	_cleanup_(freep) char *cmdline = NULL;

	return !s->sysfs_given && settings_command_line_read(s, &cmdline) >= 0 && cmdline_turns_off(cmdline);
}
