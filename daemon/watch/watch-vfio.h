/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who owns IOMMU groups through VFIO. While somebody does, the kernel refuses other members their drivers,
 * and nobody probes them afterwards; there is no event of the device's when it is over. But nodes are opened
 * and closed, and that can be heard: then the members without a driver are looked at again.
 */
#pragma once

#include "daemon/service.h"

/* Begins to listen once a device has a VFIO driver: then there are nodes. */
void watch_vfio_consider(struct service *s, const struct device_entry *e);

int watch_vfio_new(struct service *s);
void watch_vfio_free(struct service *s);
