/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Collects the devices that a machine cannot lose; see critical-devices.h. */
#include "cli/critical-devices.h"
#include "base/arena.h"
#include "base/array.h"
#include "base/errno.h"
#include "base/file.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int critical_devices_add(struct critical_devices *c, const char *path, const struct critical_device *use)
{
	_cleanup_(freep) char *real = realpath(path, NULL);
	const char *devpath = real ? startswith(real, c->root) : NULL;

	if (!devpath || !startswith(devpath, "/devices/"))
		return 0;
	devpath = arena_strdup(&c->arena, devpath);
	if (!devpath || array_reserve(c->v, c->allocated, c->n) < 0)
		return -ENOMEM;
	c->v[c->n] = *use;
	c->v[c->n++].devpath = devpath;
	return 0;
}

/* Interfaces and disks of a class, each as `kind` and its name. One without a device is no hardware. */
static int critical_class_add(struct critical_devices *c, const char *class, const char *kind)
{
	_cleanup_(dir_close) struct dir_reader dir = { .fd = -EBADF };
	char folder[PATH_MAX], path[PATH_MAX];
	const char *name;
	int r = 0;

	if (path_join(folder, sizeof(folder), c->root, "/class/", class, NULL) < 0 ||
	    dir_open(&dir, folder) < 0)
		return 0;
	while (r >= 0 && (name = dir_next(&dir))) {
		struct critical_device use = { .network = streq(class, "net") };

		if (use.network) {
			if (path_join(path, sizeof(path), folder, "/", name, "/device", NULL) < 0 ||
			    access(path, F_OK) < 0)
				continue; /* lo, bridges, tunnels */
		} else if (path_join(path, sizeof(path), folder, "/", name, NULL) < 0) {
			continue;
		}
		use.what = arena_printf(&c->arena, "%s %s", kind, name);
		r = use.what ? critical_devices_add(c, path, &use) : -ENOMEM;
	}
	return r;
}

static int critical_devices_start(struct critical_devices *c, const struct settings *settings)
{
	c->sysfs = settings->sysfs;
	c->root = realpath(settings->sysfs, NULL);
	return c->root ? 0 : negative_errno();
}

int critical_devices_find(struct critical_devices *c, const struct settings *settings)
{
	int r = critical_devices_start(c, settings);

	if (r >= 0)
		r = critical_mounts_add(c);
	return r >= 0 ? critical_class_add(c, "net", "network interface") : r;
}

int critical_devices_list(struct critical_devices *c, const struct settings *settings)
{
	int r = critical_devices_start(c, settings);

	if (r >= 0)
		r = critical_class_add(c, "block", "disk");
	return r >= 0 ? critical_class_add(c, "net", "network interface") : r;
}

void critical_devices_done(struct critical_devices *c)
{
	free(c->v);
	strings_done(&c->missing);
	free(c->root);
	arena_done(&c->arena);
}

bool critical_device_is_below(const struct critical_device *device, const char *devpath)
{
	const char *rest = startswith(device->devpath, devpath);

	return rest && (*rest == '/' || *rest == '\0');
}

const char *critical_devices_first_below(const struct critical_devices *c, const char *devpath)
{
	for (size_t i = 0; i < c->n; i++)
		if (critical_device_is_below(&c->v[i], devpath))
			return c->v[i].what;
	return NULL;
}
