/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Loads modules outside udev, by the program that the kernel itself would use (proc/sys/kernel/modprobe
 * beside the sysfs tree: a mock tree has its own or none). Loading may sleep for as long as the module's own
 * code does.
 */
#pragma once

#include "sysfs/sysfs.h"

#include <stdbool.h>

#define MODULE_WHY_MAX 256

enum module_by {
	MODULE_BY_NAME,	 /* a module's name or alias, as a person would load it */
	MODULE_BY_ALIAS, /* a device's modalias, as udev would: blacklisted modules are not loaded */
};

/*
 * dry_run: only checks whether there is such a module. 0: it is loaded now, or built in; -ENOENT: there is
 * none, or it could not be loaded; other negative errno: there is no program to load it. reterr_reason: in
 * the words of the program, if it says anything; may be NULL.
 */
int module_load(struct sysfs_device *d, enum module_by by, const char *name, bool dry_run,
		char reterr_reason[MODULE_WHY_MAX]);
