/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Finds out what devices are like, in a process of its own: decided by the policy in force, recorded, seen
 * in sysfs. A device that does not answer is noted as such, and the others are surveyed without it.
 */
#pragma once

#include "daemon/service.h"

#include <stdbool.h>

struct refresh;

int refreshes_new(struct service *s);
void refreshes_free(struct service *s);

/*
 * Soon: with all others that are wanted by then. Whoever wants it again before that gets one for both.
 */
void refresh_request(struct service *s, const char *bus, const char *name, enum refresh_purpose trigger);
void refresh_request_all(struct service *s, enum refresh_purpose trigger);

/* All, if some were not looked at because too many others hung: one of those has come back. */
void refresh_request_unread(struct service *s);

/* At once, one device, and then done(userdata). */
int refresh_device_now(struct service *s, const char *bus, const char *name, void (*done)(void *userdata),
		       void *userdata, struct refresh **ret);
/* The same for all devices, with whatever follows from the trigger. */
int refresh_all_now(struct service *s, enum refresh_purpose trigger, void (*done)(void *userdata),
		    void *userdata, struct refresh **ret);

/* Somebody waits for one. */
bool refreshes_awaited(const struct service *s);

/* done is not called any more. */
struct refresh *refresh_forget(struct refresh *survey);
