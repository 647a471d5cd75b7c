/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether the kernel may refuse an override for a driver; see override-support.h. */
#include "sysfs/override-support.h"
#include "base/file.h"
#include "base/kernel-command-line.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "policy/vfio-driver.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define PARAMETER "allow_driver_override"

static bool parameter_is_on(const char *value)
{
	return *value == 'Y' || *value == 'y' || (*value >= '1' && *value <= '9');
}

/* On the kernel command line, with or without the name of a module before it; "=0" and "=N" turn it off. */
static bool command_line_has_parameter(const char *sysfs_root)
{
	_cleanup_(freep) char *line = NULL;
	char path[PATH_MAX], *at;

	if (path_join(path, sizeof(path), sysfs_root, "/../proc/cmdline", NULL) < 0 ||
	    kernel_command_line_read(path, &line) < 0)
		return false;
	at = line;
	for (const char *word, *value; (word = kernel_command_line_next(&at));) {
		const char *parameter = strstr(word, PARAMETER);

		if (!parameter || (parameter > word && parameter[-1] != '.'))
			continue;
		value = kernel_parameter_value(parameter, PARAMETER);
		if (value ? parameter_is_on(value) : streq(parameter, PARAMETER))
			return true;
	}
	return false;
}

/* The value of the parameter of any module, built in or not, and the module's name. False: none has it. */
static bool module_parameter_find(const char *sysfs_root, char ret_module[static 256],
				  char ret_value[static 16])
{
	_cleanup_(dir_close) struct dir_reader dir = { .fd = -EBADF };
	char folder[PATH_MAX], path[PATH_MAX];
	const char *name;

	if (path_join(folder, sizeof(folder), sysfs_root, "/module", NULL) < 0 || dir_open(&dir, folder) < 0)
		return false;
	while ((name = dir_next(&dir)))
		if (path_join(path, sizeof(path), folder, "/", name, "/parameters/" PARAMETER, NULL) >= 0 &&
		    read_first_line(path, ret_value, 16) >= 0) {
			text_copy(ret_module, 256, name);
			return true;
		}
	return false;
}

void override_support_hint(const char *sysfs_root, const char *driver, char *buf, size_t size)
{
	char module[256], value[16];

	buf[0] = '\0';
	if (driver_is_vfio(driver) || command_line_has_parameter(sysfs_root))
		return;
	if (module_parameter_find(sysfs_root, module, value) && !parameter_is_on(value))
		(void)snprintf(buf, size,
			       "the kernel's parameter %.60s." PARAMETER
			       " is off, so it may accept an override only for drivers that allow it",
			       module);
}
