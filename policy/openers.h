/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Processes, and which of them has a device node open: from the proc beside a sysfs tree. Reads only, and
 * asks no file whose server may not answer.
 */
#pragma once

#include "util.h"

#include <sys/types.h>

/* Calls for each process, until that returns other than 0, which is returned. `pid` is its folder's name. */
int processes_each(const char *sysfs, int (*each)(const char *pid, void *userdata), void *userdata);

/* "Xorg (process 4711)" */
void process_name(const char *sysfs, const char *pid, char *buf, size_t size);

/* The first process that has this device open, S_IFBLK or S_IFCHR, as process_name(); "" when there is none.
 */
void device_opener(const char *sysfs, mode_t type, unsigned major, unsigned minor, char *buf, size_t size);
