/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The objects on the bus, a file for each kind. */
#pragma once

#include "daemon/service.h"

#include <systemd/sd-bus.h>

int manager_bus_add(struct service *s);
int device_bus_add(struct service *s);
int group_bus_add(struct service *s);
int log_control_bus_add(struct service *s);

/* All properties of a device (struct device_entry) or group (struct group), as entries of an a{sv}. */
int device_append_properties(sd_bus_message *m, const void *device);
int group_append_properties(sd_bus_message *m, const void *group);
