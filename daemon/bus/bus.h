/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The objects on the bus, a file for each kind. */
#pragma once

#include "daemon/service.h"

int manager_bus_add(struct service *s);
int device_bus_add(struct service *s);
int group_bus_add(struct service *s);
int log_control_bus_add(struct service *s);
