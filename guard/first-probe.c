/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What became of devices that were added a moment ago; see first-probe.h. */
#include "guard/first-probe.h"
#include "base/child.h"
#include "base/log.h"
#include "base/text.h"
#include "base/time.h"
#include "state/store.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* After this a hold has long ended, and a `bind` that belongs to the `add` has been heard. */
#define SETTLE_USEC 300000U
/* A hold that has not ended by then has been lost sight of. */
#define AWAIT_USEC 10000000U

struct first_probe_watch {
	struct first_probe_watch *next;
	char *devpath, *bus, *name;
	uint64_t inode;
	uint64_t noted, added; /* when it was noted; since when it is to be left alone for a while */
	struct record record;
	bool stands, had_other_driver, had_driver, stood_before_probe;
	uint64_t seqnum, ticket;
	char first_driver[128]; /* of the first bind, "" while there was none */
};

/* A bind that was heard; its `add` may still be with another thread. */
struct bind {
	uint64_t seqnum;
	uint64_t devpath; /* hashed */
	char driver[sizeof(((struct first_probe_watch *)NULL)->first_driver)];
};

#define BINDS 32

struct first_probe_watches {
	pthread_mutex_t lock;
	struct first_probe_watch *list;
	struct bind binds[BINDS]; /* the latest ones, oldest overwritten */
	unsigned next_bind;
	struct sysfs *sysfs;
	struct hold *hold;
	struct first_probe_counters counters;
};

int priority_lock_init(pthread_mutex_t *lock)
{
	pthread_mutexattr_t attr;
	int r = -pthread_mutexattr_init(&attr);

	if (r < 0)
		return r;
	(void)pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
	r = -pthread_mutex_init(lock, &attr);
	(void)pthread_mutexattr_destroy(&attr);
	return r;
}

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

/* With the lock held. */
static struct first_probe_watch **find(struct first_probe_watches *f, const char *devpath)
{
	struct first_probe_watch **at = &f->list;

	while (*at && !streq((*at)->devpath, devpath))
		at = &(*at)->next;
	return at;
}

static uint64_t hash_devpath(const char *s)
{
	uint64_t h = 14695981039346656037U; /* FNV-1a */

	while (*s)
		h = (h ^ (unsigned char)*s++) * 1099511628211U;
	return h;
}

/* With the lock held: the first bind of this device that was heard before it was noted here. */
static void recall_bind(const struct first_probe_watches *f, struct first_probe_watch *u)
{
	const uint64_t devpath = hash_devpath(u->devpath);
	uint64_t first = UINT64_MAX;

	for (size_t i = 0; i < BINDS; i++) {
		const struct bind *b = &f->binds[i];

		if (b->devpath != devpath || b->seqnum <= u->seqnum || b->seqnum >= first)
			continue;
		first = b->seqnum;
		(void)strcpy(u->first_driver, b->driver);
	}
}

/* With the lock held: out of the list; NULL: there is none. */
static struct first_probe_watch *take(struct first_probe_watches *f, const char *devpath)
{
	struct first_probe_watch **at = find(f, devpath), *u = *at;

	if (u)
		*at = u->next;
	return u;
}

/* Two threads had the same device in hand; who came first saw more of it. */
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

int first_probe_watch_add(struct first_probe_watches *f, const struct first_probe_observation *s)
{
	struct first_probe_watch *u = calloc(1, sizeof(*u)), *before;

	if (u) {
		u->devpath = strdup(s->devpath);
		u->bus = strdup(s->bus);
		u->name = strdup(s->name);
	}
	if (!u || !u->devpath || !u->bus || !u->name) {
		first_probe_watch_free(u);
		return -ENOMEM;
	}
	u->inode = s->inode;
	u->noted = u->added = now_usec();
	u->record = s->record;
	u->stands = s->stands;
	u->had_other_driver = s->had_other_driver;
	u->had_driver = s->had_driver;
	u->stood_before_probe = s->stood_before_probe;
	u->seqnum = s->seqnum;
	u->ticket = s->ticket;

	(void)pthread_mutex_lock(&f->lock);
	before = take(f, s->devpath);
	if (before && before->inode == u->inode)
		first_probe_merge_watches(u, before);
	recall_bind(f, u);
	u->next = f->list;
	f->list = u;
	(void)pthread_mutex_unlock(&f->lock);
	first_probe_watch_free(before);
	return 0;
}

void first_probe_watch_bind(struct first_probe_watches *f, const char *devpath, const char *driver,
			    uint64_t seqnum)
{
	struct first_probe_watch *u;
	struct bind *b;

	(void)pthread_mutex_lock(&f->lock);
	b = &f->binds[f->next_bind++ % BINDS];
	*b = (struct bind){ .seqnum = seqnum, .devpath = hash_devpath(devpath) };
	(void)snprintf(b->driver, sizeof(b->driver), "%s", driver);
	u = *find(f, devpath);
	if (u && !u->first_driver[0] && seqnum > u->seqnum)
		(void)snprintf(u->first_driver, sizeof(u->first_driver), "%s", driver);
	(void)pthread_mutex_unlock(&f->lock);
}

static void forget(struct first_probe_watches *f, const char *devpath)
{
	struct first_probe_watch *u;

	(void)pthread_mutex_lock(&f->lock);
	u = take(f, devpath);
	(void)pthread_mutex_unlock(&f->lock);
	first_probe_watch_free(u);
}

void first_probe_watch_remove(struct first_probe_watches *f, const char *devpath)
{
	struct sysfs_device d;
	const struct first_probe_watch *u;
	bool stays;

	/* An old message may speak of the predecessor of a device that is here now. */
	sysfs_device_init(&d, f->sysfs, devpath, "");
	stays = sysfs_device_stat(&d) >= 0;
	(void)pthread_mutex_lock(&f->lock);
	u = *find(f, devpath);
	stays = stays && u && u->inode == d.inode;
	(void)pthread_mutex_unlock(&f->lock);
	if (!stays)
		forget(f, devpath);
}

/* Never more than was observed: the hold's own account first, then who bound first. */
static const char *first_probe_classify(struct first_probe_watches *f, const struct first_probe_watch *u,
					int held)
{
	const bool other = u->first_driver[0] && !streq(u->first_driver, u->record.decision);
	const bool was_held = held == HOLD_PASSED && u->stood_before_probe;

	if (u->had_other_driver || other) {
		f->counters.lost++;
		return "lost";
	}
	if (!u->stands || held == HOLD_PROBED_EARLY || (u->had_driver && !was_held)) {
		f->counters.unknown++;
		return "unknown";
	}
	if (was_held) {
		f->counters.guaranteed++;
		return "guaranteed";
	}
	f->counters.won++;
	return "won";
}

/* False: its first probe is still to come. */
static bool settle(struct first_probe_watches *f, struct first_probe_watch *u)
{
	struct sysfs_device d;
	int held;

	sysfs_device_init(&d, f->sysfs, u->devpath, u->bus);
	if (sysfs_device_stat(&d) < 0 || d.inode != u->inode)
		return true; /* gone; what the hold says by now is of another */
	/* The link is there from the beginning of a probe, the event comes at its end. */
	if (!u->first_driver[0] &&
	    sysfs_device_link(&d, "driver", u->first_driver, sizeof(u->first_driver)) < 0)
		u->first_driver[0] = '\0';
	held = hold_outcome(f->hold, u->bus, u->ticket);
	if (held == -EAGAIN && now_usec() - u->noted < AWAIT_USEC)
		return false;
	(void)strcpy(u->record.first_probe, first_probe_classify(f, u, held));
	if (streq(u->record.first_probe, "lost"))
		log_line(LOG_WARNING, "%s %s: %s bound it before its override %s stood", u->bus, u->name,
			 u->first_driver[0] && !streq(u->first_driver, u->record.decision) ? u->first_driver
											   : "another driver",
			 u->record.decision);
	(void)record_set_first_probe(f->sysfs->state_dir, sysfs_device_key(&d), u->record.first_probe);
	return true;
}

static void put_back(struct first_probe_watches *f, struct first_probe_watch *u)
{
	(void)pthread_mutex_lock(&f->lock);
	if (*find(f, u->devpath)) { /* the next device of that name */
		(void)pthread_mutex_unlock(&f->lock);
		first_probe_watch_free(u);
		return;
	}
	u->added = now_usec();
	recall_bind(f, u);
	u->next = f->list;
	f->list = u;
	(void)pthread_mutex_unlock(&f->lock);
}

uint64_t first_probe_watches_settle(struct first_probe_watches *f)
{
	for (;;) {
		struct first_probe_watch **at, *u = NULL, **oldest = NULL;
		uint64_t now = now_usec(), left = 0;

		(void)pthread_mutex_lock(&f->lock);
		for (at = &f->list; *at; at = &(*at)->next)
			if (!oldest || (*at)->added < (*oldest)->added)
				oldest = at;
		if (oldest) {
			u = *oldest;
			left = u->added + SETTLE_USEC > now ? u->added + SETTLE_USEC - now : 0;
			if (left == 0)
				*oldest = u->next;
		}
		(void)pthread_mutex_unlock(&f->lock);
		if (!u || left > 0)
			return left;
		if (settle(f, u))
			first_probe_watch_free(u);
		else
			put_back(f, u);
	}
}

void first_probe_watches_count(struct first_probe_watches *f, struct first_probe_counters *ret)
{
	(void)pthread_mutex_lock(&f->lock);
	*ret = f->counters;
	(void)pthread_mutex_unlock(&f->lock);
}
