/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the guard's threads share among themselves: one device's addition (device-add.c), and who deals with
 * it (worker.c). */
#pragma once

#include "base/arena.h"
#include "guard/guard.h"
#include "guard/uevent.h"
#include "sysfs/sysfs.h"

#include <stdbool.h>

/* What a thread needs, made before the first event so that nothing is allocated at one. */
struct worker {
	struct guard *guard;
	struct sysfs sysfs;
	struct sysfs_device device;
	struct arena arena; /* for the device, and what goes with it */
	char buf[UEVENT_SIZE];
	char override[OVERRIDE_MAX];
	/* How long one waits who finds that another thread has the same device in hand. */
	unsigned recheck_delay_usec;
	bool is_standby; /* for devices whose hold takes too long */
	int fd; /* of the driver_override that was open last: closing it can wait, the kernel cannot */
};

/*
 * All that follows from a device's `add`: decides, writes, lets the device go, and then whatever can wait.
 * The event's strings must stay until it returns.
 */
void worker_add_device(struct worker *w, const struct uevent *e);
