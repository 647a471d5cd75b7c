/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PCI: addresses, topological paths, and whose virtual function a device is. */
#pragma once

#include "sysfs/sysfs.h"

#include <stdbool.h>
#include <stddef.h>

struct pci_address {
	unsigned domain, bus, device, function;
};

/* "0000:03:00.0" (a domain may have more digits). True when all of s[0..n) is one. */
bool pci_address_parse(const char *s, size_t n, struct pci_address *ret);

/*
 * "pci0000:00/1c.0/00.0" from "/devices/pci0000:00/0000:00:1c.0/0000:03:00.0": bus numbers, which move with
 * every card that is plugged in, are left out; a host bridge
 * keeps its name at the root, and is "pci*" below another device, where its number is counted at probe. 0,
 * -ENODATA: no PCI path; -ENAMETOOLONG.
 */
int pci_topology(const char *devpath, char *buf, size_t size);

/* Whether both are functions of one card: "0000:03:00.0" and "0000:03:00.1". */
bool pci_share_slot(const struct sysfs_device *a, const struct sysfs_device *b);

/*
 * The physical function of a virtual one, and the number of the latter. Works before the kernel has made
 * the `physfn` link, too: the uevent leaves before it (pci_iov_add_virtfn() in drivers/pci/iov.c), so
 * the number follows from routing ids. 0; -ENODATA: not a virtual function.
 */
int pci_physfn(struct sysfs_device *d, char *name, size_t size, unsigned *ret_number);
