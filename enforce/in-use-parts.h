/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of in-use.h have in common. Each check: 1 in use and said why, 0 free, or negative errno. */
#pragma once

#include "base/macro.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <unistd.h>

struct in_use {
	const char *root; /* of the sysfs tree */
	char *reason;
	size_t size;
	bool look_only;
};

/* Says who uses it; 1. */
int in_use_set_reason(const struct in_use *u, const char *format, ...) _printf_(2, 3);

/* First line of the file PATH/attr, and the last part of where the link PATH/link points to. 0 or negative
 * errno. */
int in_use_attr(const char *path, const char *attr, char *buf, size_t size);
int in_use_link(const char *path, const char *link, char *buf, size_t size);

/* The device number of a folder in sysfs, as text ("259:0") and in parts. 1; 0: it has none; negative errno.
 */
#define DEV_MAX 32
int in_use_device_number(const char *path, char dev[static DEV_MAX], unsigned *ret_major,
			 unsigned *ret_minor);

/* All of a file beside the sysfs tree ("proc/swaps"); malloc()ed. NULL: it cannot be read. */
char *in_use_read_file(const struct in_use *u, const char *file);

/* A path in sysfs: of a block device, of a network interface, of a character device that is /dev/NODE. */
int in_use_block(const struct in_use *u, const char *path, const char *name);
int in_use_net(const struct in_use *u, const char *path, const char *name);
int in_use_node(const struct in_use *u, const char *path, const char *node);

/* The folder `net` of a device: whether there are interfaces in it that this network namespace does not show.
 */
int in_use_net_elsewhere(const struct in_use *u, const char *path);

/* The open group of a VFIO device. */
int in_use_vfio_group(const struct in_use *u, const char *group);
