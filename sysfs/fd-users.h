/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Processes, and which of them has a device node open: from the proc beside a sysfs tree. Reads only, and
 * asks no file whose server may not answer.
 */
#pragma once

#include <stdbool.h>
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
	/* For a terminal, only a process counts that has it as its controlling terminal and is no getty,
	 * which waits for somebody to log in. */
	bool needs_login;
};

/*
 * The first process that has one of these n nodes open: its name as fd_users_process_name(), and which node.
 * 1; 0: there is none, and buf is "". Goes through all open files once, however many nodes there are. udev's
 * workers do not count: they read what a device is, for a moment, and nobody would miss that.
 */
int fd_users_find_opener(const char *sysfs, const struct node *v, size_t n, char *buf, size_t size,
			 size_t *ret_node);
