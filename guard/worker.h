/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The threads that handle devices: workers, which take the kernel's events from the socket (worker.c),
 * standby threads, which help where a worker is late (standby.c), and what both do with a device that was
 * added (device-add.c).
 */
#pragma once

#include "base/arena.h"
#include "guard/guard.h"
#include "guard/uevent.h"
#include "sysfs/device-cache.h"
#include "sysfs/sysfs.h"

#include <stdbool.h>

/* What a thread needs, made before its first event, so that nothing is allocated while the kernel waits. */
struct worker {
	struct guard *guard;
	struct sysfs sysfs;
	struct sysfs_device device;
	struct device_cache cache;
	struct arena arena; /* for the device, and what goes with it */
	char message[UEVENT_SIZE];
	char override[OVERRIDE_MAX];
	unsigned recheck_delay_usec; /* how long to wait for another thread that handles the same device */
	bool is_standby;
};

/* NULL without memory. */
struct worker *worker_new(struct guard *g);
struct worker *worker_free(struct worker *w);

/* Waits for one message of the kernel and does what follows from it. 0; negative errno: there will be no
 * more. */
int worker_process_event(struct worker *w);

/*
 * Does all that follows from a device's `add`: decides, writes, releases the device, and then does what can
 * wait. The event's strings must stay until it returns.
 */
void worker_add_device(struct worker *w, const struct uevent *e);

/* Starts the first workers, the thread that makes more of them, and the standby threads. 0 or negative errno.
 */
int workers_start(struct guard *g);

/*
 * Has the caller, and the threads that it starts, run on all CPUs that there are by now. Starts the standby
 * threads where they can help, each on half of the CPUs, or moves them there; the guard works without them,
 * only less reliably. For one thread at a time.
 */
void standby_follow_cpus(struct guard *g);
