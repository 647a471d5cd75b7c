/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Devices that a machine cannot do without: below which its root file system lies, and its network cards. */
#pragma once

#include "policy/settings.h"
#include "base/util.h"

struct precious {
	struct strings disks; /* devpaths of the block devices that the root file system lies on */
	struct strings cards; /* devpaths of the network interfaces that belong to a device */
	struct arena arena;
};

/* Looks at the mounts of the calling process and at sysfs. 0 or negative errno. */
int precious_find(struct precious *precious, const struct settings *settings);
void precious_done(struct precious *precious);

bool precious_is_root_disk(const struct precious *precious, const char *devpath);
bool precious_is_network(const struct precious *precious, const char *devpath);
