/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Says on the bus what has become of devices and groups. Silent until the first survey is through. */
#pragma once

#include "daemon/service.h"

#include <stdint.h>

void signal_device_added(struct service *s, const struct device_entry *e);
/* changed: a bit for each field; group: the one that it was in. */
void signal_device_changed(struct service *s, const struct device_entry *e, uint32_t changed,
			   const char *group);
/* And takes it out of the table. */
void signal_device_removed(struct service *s, struct device_entry *e);

/* What has changed about groups by all that was announced since the last time. */
void signal_groups_changed(struct service *s);

void signal_policy_reloaded(struct service *s);
/* A property of the manager. */
void signal_manager_changed(struct service *s, const char *property);

/* Object paths: malloc()ed, NULL when out of memory. */
char *device_object_path(const struct device_entry *e);
char *group_object_path(const char *group);
