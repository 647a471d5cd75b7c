/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Looks for users of a device in all that is below it in sysfs; see in-use.h. */
#include "enforce/in-use.h"
#include "base/errno.h"
#include "base/file.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "sysfs/binding.h"
#include "enforce/in-use-parts.h"
#include "policy/vfio-driver.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Deeper than anything in sysfs. */
#define DEPTH_MAX 40U

int in_use_set_reason(const struct in_use *u, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(u->reason, u->size, format, ap);
	va_end(ap);
	return 1;
}

int in_use_attr(const char *path, const char *attr, char *buf, size_t size)
{
	char full[PATH_MAX];
	int r = path_join(full, sizeof(full), path, "/", attr, NULL);

	if (r >= 0)
		r = read_first_line(full, buf, size);
	return r < 0 ? r : 0;
}

int in_use_link(const char *path, const char *link, char *buf, size_t size)
{
	char full[PATH_MAX];
	int r = path_join(full, sizeof(full), path, "/", link, NULL);

	return r < 0 ? r : read_link_name(full, buf, size);
}

int in_use_device_number(const char *path, char dev[static DEV_MAX], unsigned *ret_major, unsigned *ret_minor)
{
	int r = in_use_attr(path, "dev", dev, DEV_MAX);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	return sscanf(dev, "%u:%u", ret_major, ret_minor) == 2 ? 1 : -EBADMSG;
}

char *in_use_read_file(const struct in_use *u, const char *file)
{
	_cleanup_(closep) int fd = -EBADF;
	char path[PATH_MAX], *text;
	size_t n;

	if (path_join(path, sizeof(path), u->root, "/../", file, NULL) < 0)
		return NULL;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && read_full(fd, 4096, 16U * 1024U * 1024U, &text, &n) >= 0 ? text : NULL;
}

static int in_use_walk(const struct in_use *u, const char *path, unsigned depth);

/*
 * With native multipath a namespace's disk is not below the controller, but in the folder of the NVMe
 * subsystem, which has links to all of its controllers.
 */
static int in_use_check_nvme_heads(const struct in_use *u, const char *controller, unsigned depth)
{
	_cleanup_(closedirp) DIR *dir = NULL;
	char class[PATH_MAX], path[PATH_MAX];
	const struct dirent *e;
	int r = 0;

	if (path_join(class, sizeof(class), u->root, "/class/nvme-subsystem", NULL) < 0)
		return -ENAMETOOLONG;
	dir = opendir(class);
	while (r == 0 && dir && (e = readdir(dir))) {
		if (e->d_name[0] == '.' ||
		    path_join(path, sizeof(path), class, "/", e->d_name, "/", controller, NULL) < 0 ||
		    access(path, F_OK) < 0)
			continue;
		*strrchr(path, '/') = '\0';
		r = in_use_walk(u, path, depth + 1);
	}
	return r;
}

/* A folder below the device, after all that is below it in turn: a partition is named before its disk. */
static int in_use_check_folder(const struct in_use *u, const char *path, unsigned depth)
{
	const char *name = strrchr(path, '/') + 1;
	char subsystem[64], node[PATH_MAX];
	int r = in_use_link(path, "subsystem", subsystem, sizeof(subsystem));

	if (r == -ENOENT)
		return streq(name, "net") ? in_use_net_elsewhere(u, path) : 0;
	if (r < 0)
		return r;
	if (streq(subsystem, "block"))
		return in_use_block(u, path, name);
	if (streq(subsystem, "net"))
		return in_use_net(u, path, name);
	if (streq(subsystem, "nvme"))
		return in_use_check_nvme_heads(u, name, depth);
	if (streq(subsystem, "drm"))
		return path_join(node, sizeof(node), "dri/", name, NULL) < 0 ? 0 : in_use_node(u, path, node);
	if (streq(subsystem, "vfio-dev"))
		return path_join(node, sizeof(node), "vfio/devices/", name, NULL) < 0
			       ? 0
			       : in_use_node(u, path, node);
	return 0;
}

static int in_use_walk(const struct in_use *u, const char *path, unsigned depth)
{
	_cleanup_(closedirp) DIR *dir = opendir(path);
	char below[PATH_MAX];
	const struct dirent *e;
	int r = 0;

	if (!dir)
		return errno == ENOENT ? 0 : negative_errno(); /* gone meanwhile */
	if (depth > DEPTH_MAX)
		return -ELOOP;
	while (r == 0 && (e = readdir(dir))) {
		if (e->d_type != DT_DIR || e->d_name[0] == '.')
			continue;
		if (path_join(below, sizeof(below), path, "/", e->d_name, NULL) < 0)
			return -ENAMETOOLONG;
		r = in_use_walk(u, below, depth + 1);
		if (r == 0)
			r = in_use_check_folder(u, below, depth);
	}
	return r;
}

static int in_use_check_bridge(struct sysfs_device *d, const struct in_use *u)
{
	struct values values;

	if (device_fact(&d->device, FACT_CLASS, NULL, &values) < 0)
		return in_use_set_reason(u, "its class cannot be read, so it may be a PCI bridge");
	if (values.n > 0 && startswith(values.v[0].text, "06"))
		return in_use_set_reason(u, "it is a PCI bridge");
	return 0;
}

int in_use_check(struct sysfs_device *d, bool look_only, char *reason, size_t size)
{
	const struct in_use u = { d->sysfs->root, reason, size, look_only };
	char path[PATH_MAX], driver[BOUND_MAX], group[64];
	int r = in_use_check_bridge(d, &u);

	if (r != 0)
		return r;
	sysfs_progress(d, "looking for", "users");
	bound_driver(d, driver, sizeof(driver));
	if (driver_is_vfio(driver) && sysfs_device_link(d, "iommu_group", group, sizeof(group)) >= 0) {
		r = in_use_vfio_group(&u, group);
		if (r != 0)
			return r;
	}
	if (path_join(path, sizeof(path), d->sysfs->root, d->devpath, NULL) < 0)
		return -ENAMETOOLONG;
	return in_use_walk(&u, path, 0);
}
