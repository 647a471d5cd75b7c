/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A device's IOMMU group from VFIO's point of view: whether there is one, what it is worth, and who has it.
 */
#pragma once

#include "sysfs/sysfs.h"

#include <stdbool.h>
#include <stddef.h>

enum iommu {
	IOMMU_GROUP, /* it is in a group that confines its DMA */
	IOMMU_NONE,  /* in none: a VFIO driver will not have it */
	IOMMU_LATER, /* in none yet: the kernel may make one when a driver is first to be bound */
	IOMMU_FAKE,  /* VFIO's own, without an IOMMU (enable_unsafe_noiommu_mode) */
};

/*
 * Whether the device is open to VFIO's users now: by its driver's name, or because the kernel has made a
 * vfio-dev folder for it, as for a virtual function of a graphics card whose own driver serves VFIO.
 */
bool sysfs_device_serves_vfio(const struct sysfs_device *d);

/*
 * By which node of /dev a program opens the device through VFIO: that of its group, "/dev/vfio/12", or where
 * the kernel makes none for groups, its own, "/dev/vfio/devices/vfio3". "" if there is none.
 */
void sysfs_device_vfio_node(const struct sysfs_device *d, char *buf, size_t size);

/*
 * The first node by which iommufd takes the device whose folder that is: "/dev/vfio/devices/vfio3"; "" if
 * there is none. Kernels before 6.6 make the folder below it (vfio-dev), and no node.
 */
void vfio_own_node_find(const char *device, char *buf, size_t size);

enum iommu sysfs_device_iommu(const struct sysfs_device *d);

/* What that means for a device that is for a VFIO driver, in a sentence; NULL: nothing needs to be said. */
const char *iommu_consequence(enum iommu iommu);

/*
 * Whether some process owns the device's group through VFIO: it has the group open, or one of its devices.
 * As long as it does, the kernel keeps other drivers off all members (iommu_device_use_default_domain(), 5.19
 * and later), and nobody probes them afterwards. `why` says so: "its IOMMU group 7 is in use by qemu (process
 * 4711), …".
 */
bool iommu_group_is_owned(const struct sysfs_device *d, char *why, size_t size);

/*
 * The same of a device that the kernel has refused a driver: also where nobody can be seen who has the group,
 * as long as somebody can have it at all.
 */
bool iommu_group_refuses(const struct sysfs_device *d, char *why, size_t size);
