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
#define FD_USER_MAX 128
void fd_users_process_name(const char *sysfs, const char *pid, char *buf, size_t size);

/* A device node. */
struct node {
	mode_t type; /* S_IFBLK or S_IFCHR */
	unsigned major, minor;
	const char *name; /* below /dev, as far as it is known */
	/* For a terminal, only a process counts that has it as its controlling terminal and is no getty,
	 * which waits for somebody to log in. */
	bool needs_login;
};

/*
 * The first process that has one of these n nodes open: its name as fd_users_process_name(). 1; 0: there is
 * none, and buf is "". udev's workers do not count: they read what a device is, for a moment, and nobody
 * would miss that.
 */
int fd_users_find_opener(const char *sysfs, const struct node *v, size_t n, char buf[static FD_USER_MAX]);

/* The same for each node, "" if nobody has it open. Goes through all open files once, however many nodes
 * there are. */
void fd_users_find_openers(const char *sysfs, const struct node *v, size_t n, char (*users)[FD_USER_MAX]);
