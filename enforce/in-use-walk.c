/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Goes through what would be taken away with a device: all below its folder in sysfs, and by links what dies
 * with it. Each folder is handed to the check of its kind; see in-use.h.
 */
#include "base/arena.h"
#include "base/array.h"
#include "base/errno.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "enforce/in-use-parts.h"
#include "policy/vfio-driver.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Deeper than anything in sysfs. */
#define DEPTH_MAX 40U

static int in_use_walk_folder(struct in_use *u, const char *path, unsigned depth);

/* A device's folder, and its group where its driver is one of VFIO's: kernels before 6.1 have no vfio-dev
 * folder. */
static int in_use_walk_whole_device(struct in_use *u, const char *path, unsigned depth)
{
	char driver[256];
	int r = 0;

	if (in_use_link(path, "driver", driver, sizeof(driver)) >= 0 && driver_is_vfio(driver))
		r = in_use_add_group(u, path);
	return r == 0 ? in_use_walk_folder(u, path, depth) : r;
}

/* Another device, which a link leads to, as a part of the one that is looked at. */
static int in_use_walk_part(struct in_use *u, const char *kind, const char *path, unsigned depth)
{
	const char *before = u->part;
	char folder[PATH_MAX];
	int r;

	if (!realpath(path, folder))
		return in_use_has_gone(-errno) ? 0 : negative_errno();
	for (size_t i = 0; i < u->visited.n; i++)
		if (streq(u->visited.v[i], folder))
			return 0;
	u->part = arena_printf(&u->arena, "%s%s%s %s", before, before[0] ? ": " : "", kind,
			       strrchr(folder, '/') + 1);
	if (!u->part || strings_add(&u->visited, arena_strdup(&u->arena, folder)) < 0)
		return -ENOMEM;
	r = in_use_walk_whole_device(u, folder, depth + 1);
	u->part = before;
	return r;
}

/*
 * The kernel unbinds the consumers of a device link before the supplier (device_links_unbind_consumers() in
 * drivers/base/core.c): those whose link is managed by the driver core and which are bound. Others' links
 * have the status "not tracked".
 */
static int in_use_walk_consumer(struct in_use *u, const char *path, unsigned depth)
{
	char status[32], sync[8], consumer[PATH_MAX];

	if (in_use_attr(path, "status", status, sizeof(status)) >= 0 && !streq(status, "active") &&
	    !streq(status, "consumer probing"))
		return 0;
	if (in_use_attr(path, "sync_state_only", sync, sizeof(sync)) >= 0 && streq(sync, "1"))
		return 0;
	if (path_join(consumer, sizeof(consumer), path, "/consumer", NULL) < 0)
		return -ENAMETOOLONG;
	return in_use_walk_part(u, "its consumer", consumer, depth);
}

/* A link in a device's folder, which may lead to something that dies with the device. */
static int in_use_walk_link(struct in_use *u, const char *path, const char *name, unsigned depth)
{
	char target[PATH_MAX];

	if (path_join(target, sizeof(target), path, "/", name, NULL) < 0)
		return -ENAMETOOLONG;
	if (startswith(name, "virtfn"))
		return in_use_walk_part(u, "its virtual function", target, depth);
	if (startswith(name, "consumer:"))
		return in_use_walk_consumer(u, target, depth);
	/* A member that goes takes the group device with it (ccwgroup_notifier() and the members' remove). */
	if (streq(name, "group_device"))
		return in_use_walk_part(u, "its group device", target, depth);
	return 0;
}

/*
 * With native multipath a namespace's disk is not below the controller, but in the folder of the NVMe
 * subsystem, which has links to all of its controllers.
 */
static int in_use_walk_nvme_heads(struct in_use *u, const char *controller, unsigned depth)
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
		r = in_use_walk_folder(u, path, depth + 1);
	}
	return r;
}

/* A PCI bridge has the file in every kernel, whatever its class; a port without a device below it is free. */
static bool is_bridge_over(const char *path, const char *below)
{
	char full[PATH_MAX], subsystem[16];

	return in_use_link(below, "subsystem", subsystem, sizeof(subsystem)) >= 0 &&
	       streq(subsystem, "pci") &&
	       path_join(full, sizeof(full), path, "/secondary_bus_number", NULL) >= 0 &&
	       access(full, F_OK) >= 0;
}

/* Called for a folder after everything below it, so that a partition is named before its disk. */
static int in_use_look_at_folder(struct in_use *u, const char *path, unsigned depth)
{
	const char *name = strrchr(path, '/') + 1;
	char subsystem[64] = "", device[PATH_MAX];
	int r = in_use_link(path, "subsystem", subsystem, sizeof(subsystem));

	if (r < 0 && !in_use_has_gone(r))
		return r;
	r = 0;
	if (streq(subsystem, "net"))
		r = u->nodes_only ? 0 : in_use_net(u, path, name);
	else if (!subsystem[0] && streq(name, "net"))
		r = u->nodes_only ? 0 : in_use_net_elsewhere(u, path);
	else if (streq(subsystem, "nvme"))
		r = in_use_walk_nvme_heads(u, name, depth);
	else if (streq(subsystem, "mdev"))
		r = in_use_add_group(u, path);
	else if (streq(subsystem, "vfio-dev")) {
		r = path_join(device, sizeof(device), path, "/device", NULL);
		if (r >= 0)
			r = in_use_add_group(u, device);
	}
	return r == 0 ? in_use_add_node(u, path, subsystem) : r;
}

static int in_use_walk_folder(struct in_use *u, const char *path, unsigned depth)
{
	_cleanup_(closedirp) DIR *dir = opendir(path);
	char below[PATH_MAX];
	const struct dirent *e;
	int r = 0;

	if (!dir)
		return in_use_has_gone(-errno) ? 0 : negative_errno();
	if (depth > DEPTH_MAX)
		return -ELOOP;
	while (r == 0 && (e = readdir(dir))) {
		if (e->d_name[0] == '.')
			continue;
		if (e->d_type == DT_LNK)
			r = in_use_walk_link(u, path, e->d_name, depth);
		if (e->d_type != DT_DIR)
			continue;
		if (path_join(below, sizeof(below), path, "/", e->d_name, NULL) < 0)
			return -ENAMETOOLONG;
		if (is_bridge_over(path, below))
			return in_use_set_reason(u, "it is a PCI bridge, with %s below it", e->d_name);
		r = in_use_walk_folder(u, below, depth + 1);
		if (r == 0)
			r = in_use_look_at_folder(u, below, depth);
	}
	return r;
}

int in_use_walk_device(struct in_use *u, const char *path)
{
	int r = strings_add(&u->visited, arena_strdup(&u->arena, path));

	return r < 0 ? r : in_use_walk_whole_device(u, path, 0);
}
