/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The changes that are on trial, as the service lists them. */
#pragma once

#include "base/macro.h"
#include "cli/device-names.h"
#include "cli/service-client.h"

#include <stdint.h>

/* 1: a change of the device is on trial, and goes back in *ret_usec; 0: none is; negative errno. */
_must_check_ int service_find_trial(struct service_client *c, const char *bus, const char *name,
				    uint64_t *ret_usec);

/* Adds the names of all devices whose change is on trial. 0 or negative errno. */
_must_check_ int service_list_trials(struct service_client *c, struct device_names *names);
