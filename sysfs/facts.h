/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between sysfs.c and facts.c only: how a device in a sysfs tree answers for the policy. */
#pragma once

#include "sysfs/sysfs.h"

extern const struct device_ops sysfs_device_ops;

/* Fills in members from the tree, the device itself first. 0; -ENODATA: it has no group; -ENOMEM. */
int sysfs_device_find_members(struct sysfs_device *d);
int sysfs_device_add_member(struct sysfs_device *d, struct device *member);
