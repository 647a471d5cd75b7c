/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The answers that are as long as the list of devices: ListDevices and GetManagedObjects. Any user may ask
 * for them as often as it likes, and with thousands of devices one takes long. So they are made in slices,
 * between which other calls are handled, users take turns, root comes first, and the next is begun when the
 * bus has taken the one before.
 */
#pragma once

#include "daemon/service.h"

#include <stdbool.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>

int answers_new(struct service *s);
void answers_free(struct service *s);
bool answers_are_waited_for(const struct service *s);

/* For caller_dispatch(). 1: the answer has been sent, or comes later; negative errno. */
int answer_list_devices(struct service *s, sd_bus_message *call, uid_t uid, sd_bus_error *reterr);

/* For sd_bus_add_filter(): takes GetManagedObjects away from sd-bus, which makes it in one go and slowly. */
int answers_filter(sd_bus_message *m, void *userdata, sd_bus_error *error);
