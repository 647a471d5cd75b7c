/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From the block device of a file system down to the disks that it is made of. */
#include "base/file.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "cli/critical-devices.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DISK_DEPTH_MAX = 16 };

/* A multipath NVMe disk lies below no controller; the folder of its subsystem has links to all of them. */
static int critical_nvme_add(struct critical_devices *c, const char *path, const struct critical_device *use)
{
	_cleanup_(dir_close) struct dir_reader dir = { .fd = -EBADF };
	const char *mark = strstr(path, "/nvme-subsystem/"), *name;
	char subsystem[PATH_MAX], controller[PATH_MAX];
	size_t n = mark ? (size_t)(mark - path) + strlen("/nvme-subsystem/") : 0;
	int r = 0;

	if (!mark ||
	    path_printf(subsystem, sizeof(subsystem), "%.*s", (int)(n + strcspn(path + n, "/")), path) < 0 ||
	    dir_open(&dir, subsystem) < 0)
		return 0;
	while (r >= 0 && (name = dir_next(&dir)))
		/* The namespaces themselves are folders here, and add nothing that is hardware. */
		if (startswith(name, "nvme") &&
		    path_join(controller, sizeof(controller), subsystem, "/", name, NULL) >= 0)
			r = critical_devices_add(c, controller, use);
	return r;
}

static int critical_disk_add_parts(struct critical_devices *c, const char *path,
				   const struct critical_device *use, unsigned depth)
{
	_cleanup_(dir_close) struct dir_reader dir = { .fd = -EBADF };
	_cleanup_(freep) char *real = realpath(path, NULL);
	char below[PATH_MAX], part[PATH_MAX];
	const char *name;
	int r;

	if (!real || depth > DISK_DEPTH_MAX)
		return 0;
	r = critical_devices_add(c, real, use);
	if (r >= 0)
		r = critical_nvme_add(c, real, use);
	/* What a partition of a dm or md device is made of, the whole device tells. */
	if (path_join(part, sizeof(part), real, "/partition", NULL) >= 0 && access(part, F_OK) == 0)
		*strrchr(real, '/') = '\0';
	if (r < 0 || path_join(below, sizeof(below), real, "/slaves", NULL) < 0 || dir_open(&dir, below) < 0)
		return r;
	while (r >= 0 && (name = dir_next(&dir)))
		if (path_join(part, sizeof(part), below, "/", name, NULL) >= 0)
			r = critical_disk_add_parts(c, part, use, depth + 1);
	return r;
}

/* The disks of the btrfs that a disk belongs to; the folder has links by the names of its disks. */
static int critical_btrfs_add(struct critical_devices *c, const char *disk, const struct critical_device *use)
{
	_cleanup_(dir_close) struct dir_reader all = { .fd = -EBADF }, disks = { .fd = -EBADF };
	char folder[PATH_MAX], path[PATH_MAX];
	const char *name;
	int r = 0;

	if (path_join(folder, sizeof(folder), c->root, "/fs/btrfs", NULL) < 0 || dir_open(&all, folder) < 0)
		return 0;
	while ((name = dir_next(&all))) {
		if (path_join(path, sizeof(path), folder, "/", name, "/devices/", disk, NULL) >= 0 &&
		    access(path, F_OK) == 0)
			break;
	}
	if (!name || path_join(path, sizeof(path), folder, "/", name, "/devices", NULL) < 0 ||
	    dir_open(&disks, path) < 0)
		return 0;
	while (r >= 0 && (name = dir_next(&disks)))
		if (!streq(name, disk) &&
		    path_join(folder, sizeof(folder), c->root, "/class/block/", name, NULL) >= 0)
			r = critical_disk_add_parts(c, folder, use, 0);
	return r;
}

int critical_disk_add(struct critical_devices *c, const char *path, const struct critical_device *use)
{
	_cleanup_(freep) char *real = realpath(path, NULL);
	int r = real ? critical_disk_add_parts(c, real, use, 0) : 0;

	return real && r >= 0 ? critical_btrfs_add(c, path_last(real), use) : r;
}
