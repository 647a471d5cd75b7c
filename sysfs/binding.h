/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What sysfs has about a device and its driver: looking, and the writes that change it. Each write is one
 * write(2) and may sleep in the kernel for as long as a driver pleases.
 */
#pragma once

#include "sysfs/sysfs.h"

#include <stdbool.h>
#include <stddef.h>

#define BOUND_MAX 256 /* a driver's name is a file name */

/* The name of the bound driver, "" when there is none. */
void bound_driver(const struct sysfs_device *d, char *buf, size_t size);

/* On the device's bus, and on any bus of a sysfs tree. */
bool driver_is_registered(const struct sysfs_device *d, const char *driver);
bool driver_is_registered_anywhere(const char *sysfs, const char *driver);

/* Writes the override; "" clears it. All of these: 0 or negative errno. */
int override_write(struct sysfs_device *d, const char *text);

/* Whether somebody has said that the bus is to find no drivers by itself: its drivers_autoprobe is 0. */
bool bus_is_probed_by_hand(const struct sysfs_device *d);

/* Asks the bus to find a driver. What it answers says little (see drivers_probe in docs/architecture.md). */
int device_probe(struct sysfs_device *d);

/* -ENOENT: no such driver, or one that cannot be bound and unbound by hand. */
int device_bind(struct sysfs_device *d, const char *driver);
int device_unbind(struct sysfs_device *d, const char *driver);

/* Has the kernel send a uevent of the device, "add" or "change", by which udev looks at it again. */
int device_announce(struct sysfs_device *d, const char *action);

/* The same, "change", of what has that name in a class: a node of VFIO, "vfio" and "12". */
int class_device_announce(const struct sysfs *sysfs, const char *class, const char *name);
