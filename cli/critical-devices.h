/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The devices that a machine cannot lose: those that its root file system lies on, and its network cards. */
#pragma once

#include "base/arena.h"
#include "base/array.h"
#include "policy/settings.h"

#include <stdbool.h>

struct critical_devices {
	struct strings disks; /* devpaths of the block devices that the root file system lies on */
	struct strings cards; /* devpaths of the network interfaces that belong to a device */
	struct arena arena;
};

/* Looks at the mounts of the calling process and at sysfs. 0 or negative errno. */
int critical_devices_find(struct critical_devices *critical_devices, const struct settings *settings);
void critical_devices_done(struct critical_devices *critical_devices);

bool critical_devices_has_root_disk(const struct critical_devices *critical_devices, const char *devpath);
bool critical_devices_has_network(const struct critical_devices *critical_devices, const char *devpath);
