/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Kernels that accept an override only for drivers that allow it (support_driver_override, as the VFIO
 * drivers do), unless they are booted with allow_driver_override. Announced on the kernel's lists in November
 * 2026; no such kernel was seen, so only where the parameter can be seen in sysfs is
 * anything said.
 */
#pragma once

#include <stddef.h>

/*
 * That the kernel may refuse an override for this driver, in words, to buf: what `check` warns of, and what
 * is added to the reason where the driver was asked and has not bound the device. "": nothing tells that.
 */
void override_support_hint(const char *sysfs_root, const char *driver, char *buf, size_t size);
