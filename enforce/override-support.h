/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Kernels that accept an override only for drivers that allow it (support_driver_override, as the VFIO
 * drivers do), unless they are booted with allow_driver_override. Announced on the kernel's lists in November
 * 2026; no such kernel was seen, so only where the parameter can be seen in sysfs is
 * anything said.
 */
#pragma once

#include "sysfs/sysfs.h"

#include <stddef.h>

/*
 * What to add to the reason where the driver was asked and has not bound the device, to buf; "": nothing
 * tells that the kernel refuses overrides for this driver.
 */
void override_support_hint(const struct sysfs_device *d, const char *driver, char *buf, size_t size);
