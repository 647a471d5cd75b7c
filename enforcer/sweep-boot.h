/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What sweeps know of the boot: whether its coldplug has begun, and which devices were present at it. */
#pragma once

#include "policy/settings.h"
#include "sysfs/sysfs.h"

#include <stdbool.h>
#include <stddef.h>

/* Whether the coldplug of this boot has been started, by which udev loads the drivers of all devices. */
bool coldplug_has_begun(const struct settings *settings);

/* The list of the first sweep. 1: written; 0: this boot has one; negative errno. */
int sweep_write_boot_devices(const struct settings *settings, struct sysfs_device *const *v, size_t n);
