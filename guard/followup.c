/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What became of devices that were added a moment ago; see followup.h. */
#include "followup.h"

#include "../enforce/bounded.h"
#include "../enforce/log.h"
#include "../enforce/store.h"

/* After this a hold has long ended, and a `bind` that belongs to the `add` has been heard. */
#define SETTLE_USEC 300000U

struct followup {
	struct followup *next;
	char *devpath, *bus, *name;
	uint64_t inode, added;
	struct record record;
	bool stands, had_other_driver, had_driver;
	char first_driver[128]; /* of the first bind, "" while there was none */
};

struct followups {
	pthread_mutex_t lock;
	struct followup *list;
	struct sysfs *sysfs;
	struct hold *hold;
	struct followup_counters counters;
};

int lock_init(pthread_mutex_t *lock)
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

struct followups *followups_new(struct sysfs *sysfs, struct hold *hold)
{
	struct followups *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	if (lock_init(&f->lock) < 0) {
		free(f);
		return NULL;
	}
	f->sysfs = sysfs;
	f->hold = hold;
	return f;
}

static void followup_free(struct followup *u)
{
	if (!u)
		return;
	free(u->devpath);
	free(u->bus);
	free(u->name);
	free(u);
}

struct followups *followups_free(struct followups *f)
{
	if (!f)
		return NULL;
	while (f->list) {
		struct followup *u = f->list;

		f->list = u->next;
		followup_free(u);
	}
	(void)pthread_mutex_destroy(&f->lock);
	free(f);
	return NULL;
}

/* With the lock held. */
static struct followup **find(struct followups *f, const char *devpath)
{
	struct followup **at = &f->list;

	while (*at && !streq((*at)->devpath, devpath))
		at = &(*at)->next;
	return at;
}

static void forget(struct followups *f, const char *devpath);

int followups_add(struct followups *f, const struct sighting *s)
{
	struct followup *u = calloc(1, sizeof(*u));

	if (u) {
		u->devpath = strdup(s->devpath);
		u->bus = strdup(s->bus);
		u->name = strdup(s->name);
	}
	if (!u || !u->devpath || !u->bus || !u->name) {
		followup_free(u);
		return -ENOMEM;
	}
	u->inode = s->inode;
	u->added = now_usec();
	u->record = s->record;
	u->stands = s->stands;
	u->had_other_driver = s->had_other_driver;
	u->had_driver = s->had_driver;

	forget(f, s->devpath);
	(void)pthread_mutex_lock(&f->lock);
	u->next = f->list;
	f->list = u;
	(void)pthread_mutex_unlock(&f->lock);
	return 0;
}

void followups_bind(struct followups *f, const char *devpath, const char *driver)
{
	struct followup *u;

	(void)pthread_mutex_lock(&f->lock);
	u = *find(f, devpath);
	if (u && !u->first_driver[0])
		(void)snprintf(u->first_driver, sizeof(u->first_driver), "%s", driver);
	(void)pthread_mutex_unlock(&f->lock);
}

static void forget(struct followups *f, const char *devpath)
{
	struct followup **at, *u;

	(void)pthread_mutex_lock(&f->lock);
	at = find(f, devpath);
	u = *at;
	if (u)
		*at = u->next;
	(void)pthread_mutex_unlock(&f->lock);
	followup_free(u);
}

void followups_remove(struct followups *f, const char *devpath)
{
	struct sysfs_device d;
	const struct followup *u;
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
static const char *judge(struct followups *f, const struct followup *u)
{
	bool other = u->first_driver[0] && !streq(u->first_driver, u->record.decision);
	uint64_t waited;
	int held = hold_outcome(f->hold, u->bus, u->name, &waited);

	if (u->had_other_driver || other) {
		f->counters.lost++;
		return "lost";
	}
	if (!u->stands || (u->had_driver && held != 1)) {
		f->counters.unknown++;
		return "unknown";
	}
	if (held == 1) {
		f->counters.guaranteed++;
		return "guaranteed";
	}
	f->counters.won++;
	return "won";
}

static void settle(struct followups *f, struct followup *u)
{
	struct sysfs_device d;

	sysfs_device_init(&d, f->sysfs, u->devpath, u->bus);
	if (sysfs_device_stat(&d) < 0 || d.inode != u->inode)
		return; /* gone; what the hold says by now is of another */
	(void)strcpy(u->record.first_probe, judge(f, u));
	if (streq(u->record.first_probe, "lost"))
		log_line(LOG_WARNING, "%s %s: %s bound it before its override %s stood", u->bus, u->name,
			u->first_driver[0] ? u->first_driver : "another driver", u->record.decision);
	(void)record_set_first_probe(f->sysfs->state_dir, &d, u->record.first_probe);
}

uint64_t followups_settle(struct followups *f)
{
	for (;;) {
		struct followup **at, *u = NULL, **oldest = NULL;
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
		settle(f, u);
		followup_free(u);
	}
}

void followups_count(struct followups *f, struct followup_counters *ret)
{
	(void)pthread_mutex_lock(&f->lock);
	*ret = f->counters;
	(void)pthread_mutex_unlock(&f->lock);
}
