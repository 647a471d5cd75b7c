/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The objects on the bus, a file for each kind; and the errors that callers get. */
#pragma once

#include "daemon/service.h"

int manager_bus_add(struct service *s);
int device_bus_add(struct service *s);
int group_bus_add(struct service *s);

/* org.driveroverrides1.Error. + one of the contract's names. */
#define ERROR_PREFIX BUS_NAME ".Error."
#define ERROR_NO_SUCH_DEVICE ERROR_PREFIX "NoSuchDevice"
#define ERROR_NOT_SUPPORTED ERROR_PREFIX "NotSupported"
#define ERROR_NO_SUCH_DRIVER ERROR_PREFIX "NoSuchDriver"
#define ERROR_IN_USE ERROR_PREFIX "InUse"
#define ERROR_STUCK ERROR_PREFIX "Stuck"
#define ERROR_INVALID ERROR_PREFIX "Invalid"
#define ERROR_POLICY_INVALID ERROR_PREFIX "PolicyInvalid"
#define ERROR_FOREIGN ERROR_PREFIX "Foreign"
#define ERROR_SHADOWED ERROR_PREFIX "Shadowed"

/*
 * 0 when there is a device of that name whose driver can be chosen: maybe one that is not in the table yet.
 * Else negative errno, with the error that says why not.
 */
int bus_check_device(struct service *s, const char *bus, const char *name, sd_bus_error *error);

/* a(sus): what is wrong with policy files. */
int bus_append_errors(sd_bus_message *m, const struct policy *policy);
