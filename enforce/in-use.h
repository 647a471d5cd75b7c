/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether a person would miss a device that is taken from its driver. Everything in the device's folder in
 * sysfs is looked at, and everything that dies with it: its virtual functions, the devices that depend on it
 * by device links, the group device of its ccwgroup, its mediated devices. These are in use:
 *
 *   - a PCI bridge with devices below it
 *   - a disk that cannot be opened exclusively (mounts in any namespace, swap, device mapper, md, btrfs, ZFS;
 *     NVMe multipath heads are followed)
 *   - a node (a folder with a `dev` file, whatever its class, and the nodes of NVIDIA's driver) that a
 *     process has open; input, hidraw, rtc, watchdog and tpm do not count, a tty only while somebody is
 *     logged in there
 *   - a VFIO group or device that is open, whatever the driver is called
 *   - a network interface with an address other than link-local, a route or an upper device, or one in
 *     another network namespace
 *
 * What the kernel does not tell through sysfs is looked for beside the tree: in ../proc, ../dev and ../run.
 */
#pragma once

#include "enforce/in-use-answer.h"
#include "enforce/in-use-search.h"
#include "sysfs/sysfs.h"

#include <stddef.h>

/*
 * 1: in use, and *ret says by what; 0: free; negative errno: could not look. look_only: nothing is opened
 * exclusively, which could be in the way of another program for that moment; then free means only that no
 * user can be seen. A node that a process is seen to have open is not opened, so that a program that waits
 * for its close does not hear us. search: where other devices are asked about as well, or NULL. May sleep
 * (child.h).
 */
int in_use_check(struct sysfs_device *d, struct in_use_search *search, bool look_only,
		 struct in_use_answer *ret);

/*
 * A search for the users of these devices, and of those that share a slot with one: see move_check_slot().
 * Some may be NULL, and all have to stay until the search is freed.
 */
struct in_use_search *in_use_search_of(struct sysfs_device *const *devices, size_t n);
