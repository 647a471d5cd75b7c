/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All devices of a sysfs tree; see sysfs.h. */
#include "base/arena.h"
#include "base/array.h"
#include "base/errno.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "sysfs/sysfs.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static int list_bus(struct sysfs *sysfs, const char *bus, struct sysfs_device ***v, size_t *allocated,
		    size_t *n)
{
	_cleanup_(closedirp) DIR *dir = NULL;
	char path[PATH_MAX];
	const struct dirent *e;
	int r;

	r = path_printf(path, sizeof(path), "%s/bus/%s/devices", sysfs->root, bus);
	if (r < 0)
		return r;
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT || errno == ENOTDIR ? 0 : negative_errno();

	while ((e = readdir(dir))) {
		_cleanup_(sysfs_device_freep) struct sysfs_device *d = NULL;

		if (e->d_name[0] == '.' && (streq(e->d_name, ".") || streq(e->d_name, "..")))
			continue;
		r = sysfs_device_find(sysfs, bus, e->d_name, &d);
		if (r == -ENOMEM)
			return r;
		if (r < 0 || !sysfs_device_is_supported(d))
			continue;
		if (array_reserve(*v, *allocated, *n) < 0)
			return -ENOMEM;
		(*v)[(*n)++] = TAKE_PTR(d);
	}
	return 0;
}

static int compare_groups(const void *a, const void *b)
{
	const struct sysfs_device *const *x = a, *const *y = b;
	const char *p = (*x)->group_id, *q = (*y)->group_id;

	return p && q ? strcmp(p, q) : (p != NULL) - (q != NULL);
}

/*
 * Groups of devices that are all here anyway: sorted by group, every member borrows the first one's list,
 * so that each device is one object and is matched once, however large its group.
 */
static int share_groups(struct sysfs_device **v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char id[64];

		v[i]->group_asked = true;
		if (sysfs_device_link(v[i], "iommu_group", id, sizeof(id)) >= 0) {
			v[i]->group_id = arena_strdup(&v[i]->device.arena, id);
			if (!v[i]->group_id)
				return -ENOMEM;
		}
	}
	if (n > 0)
		qsort(v, n, sizeof(struct sysfs_device *), compare_groups);

	for (size_t i = 0, end; i < n; i = end) {
		struct device **members;

		for (end = i + 1;
		     end < n && v[i]->group_id && v[end]->group_id && streq(v[i]->group_id, v[end]->group_id);
		     end++)
			;
		if (!v[i]->group_id)
			continue;
		members = arena_alloc(&v[i]->device.arena, (end - i) * sizeof(struct device *));
		if (!members)
			return -ENOMEM;
		for (size_t k = i; k < end; k++) {
			members[k - i] = &v[k]->device;
			v[k]->members = members;
			v[k]->n_members = end - i;
			v[k]->members_borrowed = true;
		}
	}
	return 0;
}

void sysfs_devices_free(struct sysfs_device **v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sysfs_device_free(v[i]);
	free(v);
}

int sysfs_enumerate(struct sysfs *sysfs, struct sysfs_device ***ret, size_t *ret_n)
{
	_cleanup_(closedirp) DIR *dir = NULL;
	struct sysfs_device **v = NULL;
	const struct dirent *e;
	char path[PATH_MAX];
	size_t allocated = 0, n = 0;
	int r;

	r = path_printf(path, sizeof(path), "%s/bus", sysfs->root);
	if (r < 0)
		return r;
	dir = opendir(path);
	if (!dir)
		return negative_errno();
	while (r >= 0 && (e = readdir(dir)))
		if (e->d_name[0] != '.')
			r = list_bus(sysfs, e->d_name, &v, &allocated, &n);
	if (r >= 0)
		r = share_groups(v, n);
	if (r < 0) {
		sysfs_devices_free(v, n);
		return r;
	}
	*ret = v;
	*ret_n = n;
	return 0;
}
