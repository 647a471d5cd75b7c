/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which driver `vfio` means for a device: the plain VFIO driver of its bus, or a variant made for it.
 *
 * The kernel offers them by alias: where a modalias is `pci:v000010DE…`, the drivers that may bind it by an
 * override only are listed as `vfio_pci:v000010DEd…` (file2alias.c of the kernel), and the pattern with the
 * fewest wildcards is the one that was made for it. On buses without such aliases a VFIO driver that is
 * registered tells its name, and else it has the usual one.
 */
#pragma once

#include "base/macro.h"
#include "policy/device.h"
#include "policy/rule.h"
#include "policy/settings.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vfio_drivers;

/*
 * The aliases of the running kernel's modules, from /lib/modules or its like beside the sysfs of settings.
 * Nothing is read before it is needed. NULL: out of memory.
 */
struct vfio_drivers *vfio_drivers_new(const struct settings *settings);
struct vfio_drivers *vfio_drivers_free(struct vfio_drivers *v);

#define KERNEL_RELEASE_MAX 256

/*
 * The release of the kernel that a sysfs tree is of: as ../proc/sys/kernel/osrelease beside a tree other than
 * /sys says, else that of the running one. 0 or negative errno.
 */
_must_check_ int kernel_release_find(const char *sysfs, char *buf, size_t size);

/*
 * Where they are: the folder of the running kernel's modules, the first that has modules.alias of those that
 * distributions use, or the usual one where none has. 0 or negative errno.
 */
_must_check_ int vfio_aliases_dir(const char *sysfs, char *buf, size_t size);
/* Whether a file of that folder is one that they are read from. */
bool vfio_aliases_are_in(const char *name);

/* Which versions of these files there are: another number, and `vfio` may mean another driver. */
uint64_t vfio_aliases_version(const char *sysfs);

/* Reads them now: for those who must not wait later, or who have threads. */
void vfio_drivers_load(struct vfio_drivers *v);

/*
 * The driver's name for a device into buf. *ret_module: of the module that has it, where the aliases say
 * that (borrowed from v), else NULL. v may be NULL: then each bus has its plain one.
 * Returns NULL; or why it is not known which one was made for the device (borrowed from v), as the aliases
 * are not there to tell: then buf has the likeliest.
 */
const char *vfio_drivers_choose(struct vfio_drivers *v, struct device *device,
				char buf[static DRIVER_NAME_MAX + 1], const char **ret_module);

/* The plain VFIO driver of a bus, which is its module's name, too: "vfio-pci". */
void vfio_driver_of_bus(const char *bus, char buf[static DRIVER_NAME_MAX + 1]);

/*
 * The modules whose aliases offer a VFIO driver for PCI devices of a vendor and device, "15b3:101e" and so on
 * without a pattern, whatever else the aliases ask for.
 */
void vfio_drivers_of_id(struct vfio_drivers *v, const char *id,
			void (*take)(void *userdata, const char *module), void *userdata);

/* The name under which a module that the aliases name has registered its driver with a bus; else as above. */
void vfio_driver_of_module(const char *sysfs, const char *bus, const char *module,
			   char buf[static DRIVER_NAME_MAX + 1]);

/* Whether a driver is one of them, by its name: "vfio-pci", "vfio_ap", "mlx5_vfio_pci", … */
bool driver_is_vfio(const char *driver);

/*
 * Whether a driver leaves DMA to the owner of the IOMMU group (driver_managed_dma of the kernel): it is not
 * in the way of a guest, and the kernel does not keep it off while there is one.
 */
bool driver_leaves_dma(const char *driver);
