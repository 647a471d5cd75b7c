/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether somebody would miss a device that is taken from its driver: a block device below it that cannot be
 * opened exclusively (NVMe multipath heads are followed), a network interface below it with an address other
 * than link-local, a route or an upper device, or in another network namespace, an open DRM or VFIO device; a
 * PCI bridge always. What the kernel does not tell through sysfs is looked for beside the tree: in ../proc,
 * ../dev and ../run.
 */
#pragma once

#include "sysfs/sysfs.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * 1: in use, and reason says by what ("/dev/sda1 is mounted on /mnt"); 0: free; negative errno: could not
 * look. look_only: nothing is opened exclusively, which might be in the way of somebody else for that moment;
 * then free means that no user can be seen. May sleep (child.h).
 */
int in_use_check(struct sysfs_device *d, bool look_only, char *reason, size_t size);
