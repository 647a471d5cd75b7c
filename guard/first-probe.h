/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What became of devices that were added a moment ago: who bound them first, how their hold ended. Kept in
 * memory until the dust has settled, then written into the device's record as its FirstProbe. From any
 * thread.
 */
#pragma once

#include "guard/hold.h"
#include "enforce/apply.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct first_probe_watches;

/* A lock between threads of unequal priority: who holds it is lent that of the one who waits. 0 or negative
 * errno. */
int priority_lock_init(pthread_mutex_t *lock);

struct first_probe_watches *first_probe_watches_new(struct sysfs *sysfs, struct hold *hold);
struct first_probe_watches *first_probe_watches_free(struct first_probe_watches *f);

/* What was seen when a device's decision was made and its override stood. */
struct first_probe_observation {
	const char *devpath, *bus, *name;
	uint64_t inode;
	struct record record;	 /* without first_probe */
	bool stands;		 /* the override stood when we let go: written, or there already */
	bool had_other_driver;	 /* another driver was bound when we looked */
	bool had_driver;	 /* some driver was: the decided one may have come without us */
	bool stood_before_probe; /* the override stood, and after that no driver had looked at the device */
	uint64_t seqnum;	 /* of the `add` event */
	uint64_t ticket;	 /* of its hold; 0: it is not known to be held */
};

/* Notes one. 0 or -ENOMEM. */
int first_probe_watch_add(struct first_probe_watches *f, const struct first_probe_observation *s);

/* The first `bind` after the `add` says who won; it may be heard before the `add` was dealt with. */
void first_probe_watch_bind(struct first_probe_watches *f, const char *devpath, const char *driver,
			    uint64_t seqnum);

/* A `remove` was heard: what is noted about the device that has gone is forgotten. */
void first_probe_watch_remove(struct first_probe_watches *f, const char *devpath);

/*
 * Settles those that are older than the delay: writes their records, logs those that were lost. Returns in
 * how many microseconds it wants to be called again; 0: not before the next first_probe_watch_add(). May
 * sleep on sysfs: call it from a thread that nobody waits for.
 */
uint64_t first_probe_watches_settle(struct first_probe_watches *f);

/* For the status text: devices settled with each result since the start. */
struct first_probe_counters {
	unsigned guaranteed, won, lost, unknown;
};
void first_probe_watches_count(struct first_probe_watches *f, struct first_probe_counters *ret);
