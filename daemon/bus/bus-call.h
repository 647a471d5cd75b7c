/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the methods of several objects share: checks of their arguments, and replies. */
#pragma once

#include "daemon/service.h"

#include <stdint.h>
#include <systemd/sd-bus.h>

/* For the tables of methods. Which caller may use a method is decided in polkit.c, for all methods alike. */
#define BUS_METHOD_OPEN SD_BUS_VTABLE_UNPRIVILEGED
#define BUS_PROPERTY_CHANGES SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE
#define BUS_PROPERTY_CONSTANT SD_BUS_VTABLE_PROPERTY_CONST

/*
 * 0 if there is a device of that name whose driver can be chosen; it may be so new that it is not in the
 * table yet. Else negative errno, with the error that says why not.
 */
int bus_check_device(struct service *s, const char *bus, const char *name, sd_bus_error *reterr);

/*
 * The inode of the device's folder in sysfs, which tells it from another device that takes its name later. 0;
 * -ENODEV: there is none now; other negative errno.
 */
int bus_device_inode(const struct service *s, const char *bus, const char *name, uint64_t *ret);

/* Sends a reply whose content append() writes. 0 or negative errno. */
int bus_reply(sd_bus_message *call, int (*append)(sd_bus_message *reply, const void *userdata),
	      const void *userdata);

/* a(ssst): bus, name and driver of each change that is on trial, and the microseconds until it goes back. */
int bus_append_trials(sd_bus_message *m, const void *service);

/* a(sus): what is wrong with policy files. */
int bus_append_errors(sd_bus_message *m, const struct policy *policy);
