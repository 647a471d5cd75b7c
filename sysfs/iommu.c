/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* IOMMU groups and VFIO; see iommu.h. */
#include "sysfs/iommu.h"
#include "base/file.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "sysfs/fd-users.h"
#include "policy/vfio-driver.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool folder_has_entries(const char *folder)
{
	_cleanup_(dir_close) struct dir_reader dir = { .fd = -EBADF };

	return dir_open(&dir, folder) >= 0 && dir_next(&dir);
}

/* Whether firmware has an IOMMU for it; the kernel looks that up when a driver is about to be bound. */
static bool firmware_has_iommu(const struct sysfs_device *d)
{
	static const char *const properties[] = { "of_node/iommus", "of_node/iommu-map" };
	char path[PATH_MAX], *slash;

	if (path_join(path, sizeof(path), d->sysfs->root, "/firmware/acpi/tables/IORT", NULL) >= 0 &&
	    access(path, F_OK) == 0)
		return true;
	/* On PCI the host bridge's node speaks for all below it. */
	if (path_join(path, sizeof(path), d->sysfs->root, d->devpath, NULL) < 0)
		return false;
	while ((slash = strrchr(path, '/')) && slash >= path + strlen(d->sysfs->root) + strlen("/devices")) {
		size_t n = strlen(path);

		for (size_t i = 0; i < ELEMENTSOF(properties); i++)
			if (n + 1 + strlen(properties[i]) < sizeof(path)) {
				(void)snprintf(path + n, sizeof(path) - n, "/%s", properties[i]);
				if (access(path, F_OK) == 0)
					return true;
				path[n] = '\0';
			}
		*slash = '\0';
	}
	return false;
}

enum iommu sysfs_device_iommu(const struct sysfs_device *d)
{
	char path[PATH_MAX], text[64];

	/* On s390 VFIO's drivers take such a device as it is, and what is made of it has a group. */
	if (streq(d->bus, "ap") || streq(d->bus, "css"))
		return IOMMU_GROUP;
	if (sysfs_device_link(d, "iommu_group", text, sizeof(text)) >= 0)
		return sysfs_device_read(d, "iommu_group/name", text, sizeof(text)) >= 0 &&
				       streq(text, "vfio-noiommu")
			       ? IOMMU_FAKE
			       : IOMMU_GROUP;
	/* One that a driver has, or has had, would have its group by now. */
	if (sysfs_device_link(d, "driver", text, sizeof(text)) < 0 &&
	    path_join(path, sizeof(path), d->sysfs->root, "/class/iommu", NULL) >= 0 &&
	    folder_has_entries(path) && firmware_has_iommu(d))
		return IOMMU_LATER;
	return IOMMU_NONE;
}

const char *iommu_consequence(enum iommu iommu)
{
	switch (iommu) {
	case IOMMU_GROUP:
		return NULL;
	case IOMMU_NONE:
		return "it is in no IOMMU group, so VFIO drivers refuse it (is the IOMMU switched on, in the "
		       "firmware and on the kernel command line?)";
	case IOMMU_LATER:
		return "its IOMMU group is not known before a driver is to be bound";
	case IOMMU_FAKE:
		return "there is no IOMMU behind it (vfio-noiommu): who drives it can read and write all of "
		       "the machine's memory";
	}
	return NULL;
}

/* The nodes by which a group can be owned. More members of one are not looked at. */
struct nodes {
	struct node v[64];
	size_t n;
	bool vfio; /* a member has a VFIO driver: else nobody can own it */
};

/* The node that a folder in sysfs stands for. */
static void nodes_add(struct nodes *nodes, const char *folder)
{
	char path[PATH_MAX], dev[32];
	unsigned major, minor;

	if (nodes->n < ELEMENTSOF(nodes->v) && path_join(path, sizeof(path), folder, "/dev", NULL) >= 0 &&
	    read_first_line(path, dev, sizeof(dev)) >= 0 && sscanf(dev, "%u:%u", &major, &minor) == 2)
		nodes->v[nodes->n++] = (struct node){ S_IFCHR, major, minor };
}

/* A device's own, by which iommufd takes it: DEVICE/vfio-dev/vfioN. */
static void nodes_add_own(struct nodes *nodes, const char *device)
{
	_cleanup_(dir_close) struct dir_reader dir = { .fd = -EBADF };
	char folder[PATH_MAX], path[PATH_MAX];
	const char *name;

	if (path_join(folder, sizeof(folder), device, "/vfio-dev", NULL) < 0 || dir_open(&dir, folder) < 0)
		return;
	while ((name = dir_next(&dir)))
		if (path_join(path, sizeof(path), folder, "/", name, NULL) >= 0)
			nodes_add(nodes, path);
}

/* By its driver's name, or by the folder that the kernel makes for whatever serves VFIO (6.1 and later). */
static bool device_serves_vfio(const char *device)
{
	char path[PATH_MAX], driver[256];

	if (path_join(path, sizeof(path), device, "/driver", NULL) >= 0 &&
	    read_link_name(path, driver, sizeof(driver)) >= 0 && driver_is_vfio(driver))
		return true;
	return path_join(path, sizeof(path), device, "/vfio-dev", NULL) >= 0 && access(path, F_OK) >= 0;
}

bool sysfs_device_serves_vfio(const struct sysfs_device *d)
{
	char path[PATH_MAX];

	return path_join(path, sizeof(path), d->sysfs->root, d->devpath, NULL) >= 0 &&
	       device_serves_vfio(path);
}

void vfio_own_node_find(const char *device, char *buf, size_t size)
{
	_cleanup_(dir_close) struct dir_reader dir = { .fd = -EBADF };
	char folder[PATH_MAX], path[PATH_MAX];
	const char *name;

	buf[0] = '\0';
	if (path_join(folder, sizeof(folder), device, "/vfio-dev", NULL) < 0 || dir_open(&dir, folder) < 0)
		return;
	while ((name = dir_next(&dir)))
		if (path_join(path, sizeof(path), folder, "/", name, "/dev", NULL) >= 0 &&
		    access(path, F_OK) == 0 && path_join(buf, size, "/dev/vfio/devices/", name, NULL) >= 0)
			return;
	buf[0] = '\0';
}

void sysfs_device_vfio_node(const struct sysfs_device *d, char *buf, size_t size)
{
	/* Without an IOMMU, VFIO's own group has another name, so that nobody takes it for a safe one. */
	static const char *const prefixes[] = { "", "noiommu-" };
	char device[PATH_MAX], path[PATH_MAX], group[64];

	buf[0] = '\0';
	if (path_join(device, sizeof(device), d->sysfs->root, d->devpath, NULL) < 0 ||
	    !device_serves_vfio(device))
		return;
	for (size_t i = 0;
	     i < ELEMENTSOF(prefixes) && sysfs_device_link(d, "iommu_group", group, sizeof(group)) >= 0; i++)
		if (path_join(path, sizeof(path), d->sysfs->root, "/class/vfio/", prefixes[i], group, NULL) >=
			    0 &&
		    access(path, F_OK) == 0 &&
		    path_join(buf, size, "/dev/vfio/", prefixes[i], group, NULL) >= 0)
			return;
	vfio_own_node_find(device, buf, size);
}

static void nodes_find_of_group(const struct sysfs_device *d, const char *group, struct nodes *nodes)
{
	_cleanup_(dir_close) struct dir_reader dir = { .fd = -EBADF };
	char folder[PATH_MAX], path[PATH_MAX];
	const char *name;

	if (sysfs_device_path(d, "iommu_group/devices", folder, sizeof(folder)) < 0 ||
	    dir_open(&dir, folder) < 0)
		return;
	while ((name = dir_next(&dir))) {
		if (path_join(path, sizeof(path), folder, "/", name, NULL) < 0 || !device_serves_vfio(path))
			continue;
		nodes->vfio = true;
		nodes_add_own(nodes, path);
	}
	if (nodes->vfio && path_join(path, sizeof(path), d->sysfs->root, "/class/vfio/", group, NULL) >= 0)
		nodes_add(nodes, path);
}

/* Whether the group is owned; refused: known already, where nobody can be seen who owns it, too. */
static bool group_find_owner(const struct sysfs_device *d, char *why, size_t size, bool refused)
{
	struct nodes nodes = {};
	char group[64], owner[FD_USER_MAX] = "";

	why[0] = '\0';
	if (sysfs_device_link(d, "iommu_group", group, sizeof(group)) < 0)
		return false;
	nodes_find_of_group(d, group, &nodes);
	if (nodes.n > 0)
		fd_users_find_opener(d->sysfs->root, nodes.v, nodes.n, owner);
	if (!owner[0] && !(refused && nodes.vfio))
		return false;
	(void)snprintf(why, size,
		       "its IOMMU group %s is in use by %s, and the kernel lets no other driver in", group,
		       owner[0] ? owner : "VFIO");
	return true;
}

bool iommu_group_is_owned(const struct sysfs_device *d, char *why, size_t size)
{
	return group_find_owner(d, why, size, false);
}

bool iommu_group_refuses(const struct sysfs_device *d, char *why, size_t size)
{
	return group_find_owner(d, why, size, true);
}
