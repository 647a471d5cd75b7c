/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finds the devices that a machine cannot lose; see critical-devices.h. */
#include "cli/critical-devices.h"
#include "base/arena.h"
#include "base/array.h"
#include "base/errno.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <mntent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static int critical_devices_add_path(struct critical_devices *p, struct strings *list, const char *root,
				     const char *path)
{
	_cleanup_(freep) char *real = realpath(path, NULL);
	const char *devpath = real ? startswith(real, root) : NULL;
	const char *copy;

	if (!devpath || !startswith(devpath, "/devices/"))
		return 0;
	copy = arena_strdup(&p->arena, devpath);
	return copy ? strings_add(list, copy) : -ENOMEM;
}

/* A multipath NVMe disk lies below no controller; the folder of its subsystem has links to all of them. */
static int critical_devices_add_nvme(struct critical_devices *p, const char *root, const char *path)
{
	_cleanup_(closedirp) DIR *dir = NULL;
	char subsystem[PATH_MAX], controller[PATH_MAX];
	const struct dirent *e;
	int r = 0;

	if (path_join(subsystem, sizeof(subsystem), path, "/..", NULL) < 0)
		return 0;
	dir = opendir(subsystem);
	while (r >= 0 && dir && (e = readdir(dir)))
		if (startswith(e->d_name, "nvme") && e->d_type == DT_LNK &&
		    path_join(controller, sizeof(controller), subsystem, "/", e->d_name, NULL) >= 0)
			r = critical_devices_add_path(p, &p->disks, root, controller);
	return r;
}

/* Adds a disk and, if it is made of others (dm, md), all of these, down to the hardware. */
static int critical_devices_add_disk(struct critical_devices *p, const char *root, const char *path,
				     unsigned depth)
{
	_cleanup_(closedirp) DIR *dir = NULL;
	char below[PATH_MAX];
	const struct dirent *e;
	int r = critical_devices_add_path(p, &p->disks, root, path);

	if (r >= 0 && strstr(path, "/nvme-subsystem/"))
		r = critical_devices_add_nvme(p, root, path);
	if (r < 0 || depth > 16 || path_printf(below, sizeof(below), "%s/slaves", path) < 0)
		return r;
	dir = opendir(below);
	while (r >= 0 && dir && (e = readdir(dir)))
		if (e->d_name[0] != '.' &&
		    path_printf(below, sizeof(below), "%s/slaves/%s", path, e->d_name) >= 0)
			r = critical_devices_add_disk(p, root, below, depth + 1);
	return r;
}

/* btrfs and others show a device number of their own; then the source of the mount names the disk. */
static dev_t root_file_system_dev(void)
{
	FILE *f = setmntent("/proc/self/mounts", "re");
	const struct mntent *m;
	struct stat st;
	dev_t dev = 0;

	if (stat("/", &st) >= 0 && major(st.st_dev) != 0) {
		dev = st.st_dev;
	} else if (f) {
		while ((m = getmntent(f)))
			if (streq(m->mnt_dir, "/") && stat(m->mnt_fsname, &st) >= 0 && S_ISBLK(st.st_mode))
				dev = st.st_rdev;
	}
	if (f)
		(void)endmntent(f);
	return dev;
}

int critical_devices_find(struct critical_devices *p, const struct settings *settings)
{
	_cleanup_(freep) char *root = realpath(settings->sysfs, NULL);
	_cleanup_(closedirp) DIR *dir = NULL;
	char path[PATH_MAX];
	const struct dirent *e;
	dev_t dev = settings->sysfs_given ? 0 : root_file_system_dev();
	int r = 0;

	if (!root)
		return negative_errno();
	if (dev && path_printf(path, sizeof(path), "%s/dev/block/%u:%u", root, major(dev), minor(dev)) >= 0) {
		_cleanup_(freep) char *real = realpath(path, NULL);

		r = real ? critical_devices_add_disk(p, root, real, 0) : 0;
	}
	if (path_printf(path, sizeof(path), "%s/class/net", root) < 0)
		return -ENAMETOOLONG;
	dir = opendir(path);
	while (r >= 0 && dir && (e = readdir(dir))) {
		/* An interface without a device (lo, bridges, tunnels) needs no driver of a bus. */
		if (e->d_name[0] != '.' &&
		    path_printf(path, sizeof(path), "%s/class/net/%s/device", root, e->d_name) >= 0 &&
		    access(path, F_OK) == 0)
			r = critical_devices_add_path(p, &p->cards, root, path);
	}
	return r;
}

void critical_devices_done(struct critical_devices *p)
{
	strings_done(&p->disks);
	strings_done(&p->cards);
	arena_done(&p->arena);
}

static bool devpath_is_above_any(const struct strings *list, const char *devpath)
{
	for (size_t i = 0; i < list->n; i++) {
		const char *rest = startswith(list->v[i], devpath);

		if (rest && (*rest == '/' || *rest == '\0'))
			return true;
	}
	return false;
}

bool critical_devices_has_root_disk(const struct critical_devices *p, const char *devpath)
{
	return devpath_is_above_any(&p->disks, devpath);
}

bool critical_devices_has_network(const struct critical_devices *p, const char *devpath)
{
	/* Only the device of the interface itself counts: a PCI bridge above ten cards is none. */
	for (size_t i = 0; i < p->cards.n; i++) {
		const char *rest = startswith(p->cards.v[i], devpath);

		/* virtio: the interface's device is virtioN below the PCI function. */
		if (rest && (*rest == '\0' || startswith(rest, "/virtio")))
			return true;
	}
	return false;
}
