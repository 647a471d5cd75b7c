/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which driver probed a device first; see first-probe.h. */
#include "guard/first-probe.h"
#include "base/errno.h"
#include "base/hash.h"
#include "base/macro.h"
#include "base/text.h"
#include "base/time.h"
#include "guard/thread.h"
#include "state/device-event.h"
#include "state/record.h"
#include "state/record-file.h"
#include "sysfs/binding.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

/* A hold has ended long before, and a `bind` that belongs to the `add` has been received. */
#define SETTLE_USEC 300000U
/* A hold that has not ended by then will not be seen to end. Drivers that probe asynchronously have done it
 * by then, too. */
#define AWAIT_HOLD_USEC 10000000U

struct first_probe_watch {
	struct first_probe_watch *next;
	char *devpath, *bus, *name;
	uint64_t inode;
	uint64_t begun_usec, due_usec; /* when it was added; when it is to be looked at */
	struct record record;
	bool stands, had_other_driver, had_driver, stood_before_probe;
	uint64_t seqnum, ticket;
	char first_driver[128]; /* of the first `bind`; "": none was received */
	char prober[32]; /* the first that probed, as the hold has seen it; "": none has, or it is not known
			  */
	enum first_probe told; /* what was claimed; FIRST_PROBE_UNSEEN: nothing yet */
};

/* A `bind` that was received; its `add` may still be in another thread's hands. */
struct bind_event {
	uint64_t seqnum;
	uint64_t devpath; /* hashed */
	char driver[sizeof(((struct first_probe_watch *)NULL)->first_driver)];
};

#define BIND_EVENTS 32

struct first_probe_watches {
	pthread_mutex_t lock; /* for all below */
	struct first_probe_watch *list;
	struct bind_event binds[BIND_EVENTS]; /* the latest ones; the oldest is overwritten */
	unsigned next_bind;
	struct sysfs *sysfs;
	struct hold *hold;
	struct first_probe_counters counters;
};

struct first_probe_watches *first_probe_watches_new(struct sysfs *sysfs, struct hold *hold)
{
	struct first_probe_watches *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	if (priority_lock_init(&f->lock) < 0) {
		free(f);
		return NULL;
	}
	f->sysfs = sysfs;
	f->hold = hold;
	return f;
}

static void first_probe_watch_free(struct first_probe_watch *u)
{
	if (!u)
		return;
	free(u->devpath);
	free(u->bus);
	free(u->name);
	free(u);
}

static void first_probe_watch_freep(struct first_probe_watch **u)
{
	first_probe_watch_free(*u);
}

struct first_probe_watches *first_probe_watches_free(struct first_probe_watches *f)
{
	if (!f)
		return NULL;
	while (f->list) {
		struct first_probe_watch *u = f->list;

		f->list = u->next;
		first_probe_watch_free(u);
	}
	(void)pthread_mutex_destroy(&f->lock);
	free(f);
	return NULL;
}

/* With the lock held: where the list points to this device's watch, or ends. */
static struct first_probe_watch **first_probe_find_watch(struct first_probe_watches *f, const char *devpath)
{
	struct first_probe_watch **at = &f->list;

	while (*at && !streq((*at)->devpath, devpath))
		at = &(*at)->next;
	return at;
}

static uint64_t hash_devpath(const char *devpath)
{
	return fnv1a(FNV_BASIS, devpath, strlen(devpath));
}

/* With the lock held: the first `bind` of this device that was received before the watch was added. */
static void first_probe_watch_recall_bind(const struct first_probe_watches *f, struct first_probe_watch *u)
{
	const uint64_t devpath = hash_devpath(u->devpath);
	uint64_t first = UINT64_MAX;

	for (size_t i = 0; i < BIND_EVENTS; i++) {
		const struct bind_event *b = &f->binds[i];

		if (b->devpath != devpath || b->seqnum <= u->seqnum || b->seqnum >= first)
			continue;
		first = b->seqnum;
		(void)strcpy(u->first_driver, b->driver);
	}
}

/* With the lock held: takes the device's watch out of the list. NULL: there is none. */
static struct first_probe_watch *first_probe_take_watch(struct first_probe_watches *f, const char *devpath)
{
	struct first_probe_watch **at = first_probe_find_watch(f, devpath), *u = *at;

	if (u)
		*at = u->next;
	return u;
}

/* Two threads handled the same device; the one that came first saw more of it. */
static void first_probe_merge_watches(struct first_probe_watch *u, const struct first_probe_watch *before)
{
	if (before->seqnum < u->seqnum)
		u->seqnum = before->seqnum;
	u->had_other_driver = u->had_other_driver || before->had_other_driver;
	(void)strcpy(u->first_driver, before->first_driver);
	if (before->stood_before_probe && !u->stood_before_probe) {
		u->stood_before_probe = true;
		u->ticket = before->ticket;
		u->stands = true;
		u->had_driver = before->had_driver;
	}
}

int first_probe_watch_add(struct first_probe_watches *f, const struct first_probe_observation *seen)
{
	_cleanup_(first_probe_watch_freep) struct first_probe_watch *before = NULL;
	_cleanup_(first_probe_watch_freep) struct first_probe_watch *u = calloc(1, sizeof(*u));

	if (!u)
		return -ENOMEM;
	u->devpath = strdup(seen->devpath);
	u->bus = strdup(seen->bus);
	u->name = strdup(seen->name);
	if (!u->devpath || !u->bus || !u->name)
		return -ENOMEM;
	u->inode = seen->inode;
	u->begun_usec = now_usec();
	u->due_usec = u->begun_usec + SETTLE_USEC;
	u->record = seen->record;
	u->stands = seen->stands;
	u->had_other_driver = seen->had_other_driver;
	u->had_driver = seen->had_driver;
	u->stood_before_probe = seen->stood_before_probe;
	u->seqnum = seen->seqnum;
	u->ticket = seen->ticket;

	(void)pthread_mutex_lock(&f->lock);
	before = first_probe_take_watch(f, seen->devpath);
	if (before && before->inode == u->inode)
		first_probe_merge_watches(u, before);
	first_probe_watch_recall_bind(f, u);
	u->next = f->list;
	f->list = TAKE_PTR(u);
	(void)pthread_mutex_unlock(&f->lock);
	return 0;
}

void first_probe_watch_bind(struct first_probe_watches *f, const char *devpath, const char *driver,
			    uint64_t seqnum)
{
	struct first_probe_watch *u;
	struct bind_event *b;

	(void)pthread_mutex_lock(&f->lock);
	b = &f->binds[f->next_bind++ % BIND_EVENTS];
	*b = (struct bind_event){ .seqnum = seqnum, .devpath = hash_devpath(devpath) };
	(void)snprintf(b->driver, sizeof(b->driver), "%s", driver);
	u = *first_probe_find_watch(f, devpath);
	if (u && !u->first_driver[0] && seqnum > u->seqnum)
		(void)snprintf(u->first_driver, sizeof(u->first_driver), "%s", driver);
	(void)pthread_mutex_unlock(&f->lock);
}

void first_probe_watch_remove(struct first_probe_watches *f, const char *devpath)
{
	struct first_probe_watch *gone = NULL;
	const struct first_probe_watch *u;
	struct sysfs_device d;
	bool is_there;

	/* An old message may be about the predecessor of a device that is there now. */
	sysfs_device_init(&d, f->sysfs, devpath, "");
	is_there = sysfs_device_stat(&d) >= 0;
	(void)pthread_mutex_lock(&f->lock);
	u = *first_probe_find_watch(f, devpath);
	if (u && !(is_there && u->inode == d.inode))
		gone = first_probe_take_watch(f, devpath);
	(void)pthread_mutex_unlock(&f->lock);
	first_probe_watch_free(gone);
}

/* Whether the hold has seen that another driver than the decided one probed first. Its view of a name is cut
 * off. */
static bool first_probe_prober_is_other(const struct first_probe_watch *u)
{
	return u->prober[0] && strncmp(u->prober, u->record.decision, sizeof(u->prober) - 1) != 0;
}

/*
 * What may be claimed, never more than was seen: which driver was bound or probed first counts most, then how
 * the hold ended.
 */
static enum first_probe first_probe_classify(struct first_probe_watches *f, const struct first_probe_watch *u,
					     int outcome)
{
	const bool other = (u->first_driver[0] && !streq(u->first_driver, u->record.decision)) ||
			   first_probe_prober_is_other(u);
	const bool was_held = outcome == HOLD_PASSED && u->stood_before_probe;

	if (u->had_other_driver || other) {
		f->counters.lost++;
		return FIRST_PROBE_LOST;
	}
	if (!u->stands || outcome == HOLD_PROBED_EARLY || (u->had_driver && !was_held)) {
		f->counters.unknown++;
		return FIRST_PROBE_UNKNOWN;
	}
	if (was_held) {
		f->counters.guaranteed++;
		return FIRST_PROBE_GUARANTEED;
	}
	f->counters.won++;
	return FIRST_PROBE_WON;
}

static void first_probe_log_lost(const struct first_probe_watch *u)
{
	const bool is_bound = u->first_driver[0] && !streq(u->first_driver, u->record.decision);
	const char *driver = is_bound ? u->first_driver : first_probe_prober_is_other(u) ? u->prober : NULL;
	struct device_event event =
		device_event_of_record(DEVICE_LOST_FIRST_PROBE, u->bus, u->name, &u->record);

	event.driver = driver;
	device_event_log(LOG_WARNING, &event,
			 "%s %s: lost the first probe: %s was %s before override %s stood", u->bus, u->name,
			 driver ? driver : "another driver", is_bound || !driver ? "bound" : "matched",
			 u->record.decision);
}

/* Logged and counted in any case, whether the record can be written or not. */
static void first_probe_tell(const struct first_probe_watch *u, const struct sysfs_device *d,
			     enum first_probe claim)
{
	if (claim == FIRST_PROBE_LOST)
		first_probe_log_lost(u);
	ignore_error(record_set_first_probe(d->sysfs->state_dir, sysfs_device_key(d), claim));
}

/*
 * A driver that had matched before the override stood has probed only after FirstProbe was told: it is
 * corrected. Not when the device has been decided about anew meanwhile, by a change of policy or by a person.
 */
static void first_probe_correct(struct first_probe_watches *f, struct first_probe_watch *u,
				const struct sysfs_device *d)
{
	struct record record;

	if (hold_first_driver(f->hold, u->ticket, u->prober, sizeof(u->prober)) < 0 ||
	    !first_probe_prober_is_other(u) ||
	    record_read(f->sysfs->state_dir, u->bus, u->name, u->inode, &record) < 0 ||
	    !streq(record.decision, u->record.decision))
		return;
	if (u->told == FIRST_PROBE_GUARANTEED)
		f->counters.guaranteed--;
	else
		f->counters.won--;
	f->counters.lost++;
	first_probe_tell(u, d, FIRST_PROBE_LOST);
}

/* Writes down what was seen. False: the watch goes on. */
static bool first_probe_settle_watch(struct first_probe_watches *f, struct first_probe_watch *u)
{
	struct sysfs_device d;
	int outcome, r;

	sysfs_device_init(&d, f->sysfs, u->devpath, u->bus);
	if (sysfs_device_stat(&d) < 0 || d.inode != u->inode)
		return true; /* it has gone, and what the hold says by now is about another device */
	if (u->told != FIRST_PROBE_UNSEEN) {
		first_probe_correct(f, u, &d);
		return true;
	}
	/* The link is made at the beginning of a probe, the event is sent at its end. */
	if (!u->first_driver[0])
		bound_driver(&d, u->first_driver, sizeof(u->first_driver));
	outcome = hold_outcome(f->hold, u->bus, u->ticket);
	if (outcome == -EAGAIN && now_usec() - u->begun_usec < AWAIT_HOLD_USEC)
		return false;
	if (outcome == -EAGAIN)
		f->counters.unheld++;
	/* After the outcome: a probe that comes later cannot have been early. */
	r = hold_first_driver(f->hold, u->ticket, u->prober, sizeof(u->prober));
	u->told = first_probe_classify(f, u, outcome);
	first_probe_tell(u, &d, u->told);
	return r < 0 || u->prober[0] || (u->told != FIRST_PROBE_GUARANTEED && u->told != FIRST_PROBE_WON);
}

/* Keeps a watch for another while, unless the next device of its name is being watched by now. */
static void first_probe_put_back_watch(struct first_probe_watches *f, struct first_probe_watch *u)
{
	(void)pthread_mutex_lock(&f->lock);
	if (!*first_probe_find_watch(f, u->devpath)) {
		u->due_usec = u->told != FIRST_PROBE_UNSEEN ? u->begun_usec + AWAIT_HOLD_USEC
							    : now_usec() + SETTLE_USEC;
		first_probe_watch_recall_bind(f, u);
		u->next = f->list;
		f->list = TAKE_PTR(u);
	}
	(void)pthread_mutex_unlock(&f->lock);
	first_probe_watch_free(u);
}

/* The watch that is due first, out of the list. NULL: there is none, or it must wait *ret_left_usec
 * microseconds. */
static struct first_probe_watch *first_probe_take_due(struct first_probe_watches *f, uint64_t *ret_left_usec)
{
	struct first_probe_watch **first = NULL, *u = NULL;
	const uint64_t now = now_usec();

	*ret_left_usec = 0;
	(void)pthread_mutex_lock(&f->lock);
	for (struct first_probe_watch **at = &f->list; *at; at = &(*at)->next)
		if (!first || (*at)->due_usec < (*first)->due_usec)
			first = at;
	if (first && (*first)->due_usec > now)
		*ret_left_usec = (*first)->due_usec - now;
	else if (first) {
		u = *first;
		*first = u->next;
	}
	(void)pthread_mutex_unlock(&f->lock);
	return u;
}

uint64_t first_probe_watches_settle(struct first_probe_watches *f)
{
	struct first_probe_watch *u;
	uint64_t left_usec;

	while ((u = first_probe_take_due(f, &left_usec)))
		if (first_probe_settle_watch(f, u))
			first_probe_watch_free(u);
		else
			first_probe_put_back_watch(f, u);
	return left_usec;
}

bool first_probe_watches_told(struct first_probe_watches *f)
{
	bool told = true;

	(void)pthread_mutex_lock(&f->lock);
	for (const struct first_probe_watch *u = f->list; u; u = u->next)
		told = told && u->told != FIRST_PROBE_UNSEEN;
	(void)pthread_mutex_unlock(&f->lock);
	return told;
}

void first_probe_watches_count(struct first_probe_watches *f, struct first_probe_counters *ret)
{
	(void)pthread_mutex_lock(&f->lock);
	*ret = f->counters;
	(void)pthread_mutex_unlock(&f->lock);
}
