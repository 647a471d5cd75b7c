/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kernel command line of the next boot, as far as the boot loader's files tell. */
#pragma once

#include "base/macro.h"
#include "policy/settings.h"

#include <limits.h>

struct next_command_line {
	char *text;	     /* malloc()ed; NULL: not known */
	char from[PATH_MAX]; /* the file that tells */
};

/*
 * That of the first entry of GRUB's menu, else of the newest entry below /boot/loader/entries, else
 * /etc/kernel/cmdline; of the system that the sysfs tree is of. 0; -ENOENT: none of these can be read.
 */
_must_check_ int next_command_line_find(const struct settings *settings, struct next_command_line *ret);
void next_command_line_done(struct next_command_line *line);
