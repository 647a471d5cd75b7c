/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Finds out what devices are like, in a process of its own: decided by the policy in force, recorded, seen
 * in sysfs. A device that does not answer is marked, and the look goes on without it. What was found goes
 * into the table of devices and to the observers (refresh-observer.h).
 */
#pragma once

#include "daemon/refresh/refresh-observer.h"
#include "daemon/service.h"

#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-bus.h>

struct refresh;

int refreshes_new(struct service *s);
void refreshes_free(struct service *s);

/*
 * Soon, together with all other devices that are asked for by then. Asking again before that changes nothing
 * but the purpose, to the one from which more follows.
 */
void refresh_request(struct service *s, const char *bus, const char *name, enum refresh_purpose purpose);
void refresh_request_all(struct service *s, enum refresh_purpose purpose);

/* All devices, if some were not read because too many others hung: one of those has come back. */
void refresh_request_unread(struct service *s);

struct refresh_device {
	const char *bus, *name;
};

/* At once, these devices, and then done(userdata). */
int refresh_devices_now(struct service *s, const struct refresh_device *devices, size_t n,
			void (*done)(void *userdata), void *userdata, struct refresh **ret);
/* The same for one. */
int refresh_device_now(struct service *s, const char *bus, const char *name, void (*done)(void *userdata),
		       void *userdata, struct refresh **ret);
/* The same for all devices, with whatever follows from the purpose. */
int refresh_all_now(struct service *s, enum refresh_purpose purpose, void (*done)(void *userdata),
		    void *userdata, struct refresh **ret);

/*
 * A process other than a look has not come back from reading this device's files, so the device is stuck,
 * which a look has to tell: without reading it until the process that waits for it (recovery.h) has come
 * back.
 */
void refresh_device_hangs(struct service *s, const char *bus, const char *name);
/* That process has come back, or there is none: the next look may read the device. */
void refresh_device_is_back(struct service *s, const char *bus, const char *name);

/*
 * 0, or negative errno with the error that answers a call: its device is known to hang, or too many processes
 * were left behind by others. For calls that any user may make, before a process is started.
 */
int refresh_check_device(const struct service *s, const char *bus, const char *name, sd_bus_error *reterr);

/*
 * The enforcer begins to move this device, or has ended. A look that had begun before may read what stands
 * there half-way, so what it found of this device is dropped, and what was to follow from it follows from
 * the next look. One that begins meanwhile tells what is decided, and not what sysfs shows; another look
 * follows the move.
 */
void refresh_move_begins(struct service *s, const char *bus, const char *name);
void refresh_move_ended(struct service *s, const char *bus, const char *name);

/*
 * Remembers that the device needs another look with this purpose when the move, or the call about it, that is
 * under way has ended. Whatever ends calls refresh_follow_up(), which asks for that look.
 */
void refresh_look_later(struct device_entry *e, enum refresh_purpose purpose);
void refresh_follow_up(struct service *s, const char *bus, const char *name);

/* A caller waits for a look. */
bool refreshes_awaited(const struct service *s);

/* done is not called any more; the look goes on. NULL is fine. */
struct refresh *refresh_forget(struct refresh *look);
