/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Says on the bus what has become of devices and groups. Silent until the first survey is through. */
#pragma once

#include "daemon/service.h"

void announce_added(struct service *s, const struct device_entry *e);
/* changed: a bit for each field; group: the one that it was in. */
void announce_changed(struct service *s, const struct device_entry *e, uint32_t changed, const char *group);
/* And takes it out of the table. */
void announce_removed(struct service *s, struct device_entry *e);

/* What has changed about groups by all that was announced since the last time. */
void announce_groups(struct service *s);

void announce_policy(struct service *s);
/* A property of the manager. */
void announce_manager(struct service *s, const char *property);

/* Object paths: malloc()ed, NULL when out of memory. */
char *device_path(const struct device_entry *e);
char *group_path(const char *group);
