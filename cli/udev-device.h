/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What udev knows of the devices of this machine: which one is behind an interface, a disk or a /dev node,
 * and what it is called. It is not used for a tree that --sysfs gives, which udev has never seen.
 */
#pragma once

#include "sysfs/sysfs.h"

#include <stddef.h>

/*
 * The nearest device with a driver_override file above a network interface, a disk, or any node or link below
 * /dev. 0; -ENODEV: udev knows none, or a device of a bus has that name; other negative errno.
 */
int udev_device_lookup(struct sysfs *sysfs, const char *name, struct sysfs_device **ret);

/* Vendor and model from udev's database, or from its hardware database; "" when neither knows. */
void udev_device_model(const char *bus, const char *name, char *buf, size_t size);
