/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Processes, and which of them has a device node open: from the proc beside a sysfs tree. Reads only, and
 * asks no file whose server may not answer.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/* Calls for each process, until that returns other than 0, which is returned. `pid` is its folder's name. */
int fd_users_each_process(const char *sysfs, int (*each)(const char *pid, void *userdata), void *userdata);

/* "Xorg (process 4711)" */
void fd_users_process_name(const char *sysfs, const char *pid, char *buf, size_t size);

/* A device node. */
struct node {
	mode_t type; /* S_IFBLK or S_IFCHR */
	unsigned major, minor;
};

/* The first process that has one of these open, as fd_users_process_name(); "" when there is none. Looks at
 * each once.
 */
void fd_users_find_opener(const char *sysfs, const struct node *v, size_t n, char *buf, size_t size);
