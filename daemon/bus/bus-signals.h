/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tells the bus what has become of groups and policy. Silent until the first look is over. */
#pragma once

#include "daemon/refresh/refresh-observer.h"
#include "daemon/service.h"

/* Signals of groups. */
extern const struct refresh_observer bus_signals_observer;

/* Has LeftBehind signalled when it changes. */
int signals_watch_left_behind(struct service *s);

void signal_policy_reloaded(struct service *s);
/* A property of the manager. */
void signal_manager_changed(struct service *s, const char *property);

/* r: of a function that sends. */
void signal_log_failure(int r);

/* Object paths: malloc()ed, NULL when out of memory. */
char *device_object_path(const struct device_entry *e);
char *group_object_path(const char *group);
