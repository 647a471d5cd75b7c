/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which driver probed a device first. The guard watches each device that it has decided about for a moment:
 * how its hold ended, and which driver bound it first. What it has seen is then written to the device's
 * record as FirstProbe. All functions may be called from any thread.
 */
#pragma once

#include "enforce/apply.h"
#include "guard/hold.h"

#include <stdbool.h>
#include <stdint.h>

/* The devices that are being watched. */
struct first_probe_watches;

/* NULL without memory. */
struct first_probe_watches *first_probe_watches_new(struct sysfs *sysfs, struct hold *hold);
struct first_probe_watches *first_probe_watches_free(struct first_probe_watches *f);

/* What a thread saw of a device when it had written the override and released the device. */
struct first_probe_observation {
	const char *devpath, *bus, *name;
	uint64_t inode;
	struct record record;  /* without first_probe */
	bool stands;	       /* the decided override stood at the release: written, or there already */
	bool had_other_driver; /* another driver than the decided one was bound */
	bool had_driver;       /* some driver was bound: the decided one may have come without the override */
	bool stood_before_probe; /* the override stood, and after that no driver had looked at the device */
	uint64_t seqnum;	 /* of the `add` event */
	uint64_t ticket;	 /* of its hold; 0: it is not known to be held */
};

/* Watches a device; its strings are copied. 0 or -ENOMEM. */
int first_probe_watch_add(struct first_probe_watches *f, const struct first_probe_observation *seen);

/*
 * A `bind` event was received. The first one after the `add` says which driver was first. Another thread may
 * receive it before the `add` has been handled.
 */
void first_probe_watch_bind(struct first_probe_watches *f, const char *devpath, const char *driver,
			    uint64_t seqnum);

/* A `remove` event was received: a device that has gone is watched no longer. */
void first_probe_watch_remove(struct first_probe_watches *f, const char *devpath);

/*
 * Ends the watches that are old enough: writes FirstProbe to their records and logs those that were lost. A
 * device that no driver has probed by then is looked at once more, later: a driver may have matched it before
 * the override stood, and probe asynchronously. Returns in how many microseconds it must be called again; 0:
 * not before the next first_probe_watch_add(). May sleep on sysfs, so the calling thread must be one that the
 * kernel does not wait for.
 */
uint64_t first_probe_watches_settle(struct first_probe_watches *f);

/* Whether FirstProbe has been told of all devices, although some may be looked at once more. */
bool first_probe_watches_told(struct first_probe_watches *f);

/* How many watches ended with each result since the start. */
struct first_probe_counters {
	unsigned guaranteed, won, lost, unknown;
	unsigned unheld; /* devices with a ticket whose hold was never seen to end */
};
void first_probe_watches_count(struct first_probe_watches *f, struct first_probe_counters *ret);
