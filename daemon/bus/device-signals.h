/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tells the bus what has become of devices: in the order in which it happened, a moment later, a few at a
 * time. Whatever changes until then is told at once, so a device that is looked at several times costs one
 * signal, and thousands of devices that change keep no call waiting.
 */
#pragma once

#include "daemon/refresh/refresh-observer.h"
#include "daemon/service.h"

#include <stdbool.h>

/* Signals of devices and of their buses. */
extern const struct refresh_observer device_signals_observer;

/* The names of the properties of devices; NULL: the bus does not show that field. */
extern const char *const device_property_names[FIELD_COUNT];
#define DEVICE_CHANGED_PROPERTY "Changed"

/* Some of what is to be told, now; false: there is nothing. */
bool device_signals_tell_some(struct service *s);

int device_signals_new(struct service *s);
/* Before the table of devices. */
void device_signals_free(struct service *s);
