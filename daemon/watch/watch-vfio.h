/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which IOMMU groups are in use through VFIO. While a process has one open, the kernel refuses other members
 * their drivers, and does not probe them afterwards; no uevent tells of its end. But nodes under /dev/vfio
 * are opened and closed, which inotify sees: then the members without a driver are looked at again.
 */
#pragma once

#include "daemon/refresh/refresh-observer.h"
#include "daemon/service.h"

int watch_vfio_new(struct service *s);
void watch_vfio_free(struct service *s);

/* Begins to watch once a device has a VFIO driver: then there are nodes. */
extern const struct refresh_observer watch_vfio_observer;
