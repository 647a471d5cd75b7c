/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The threads that hear the kernel and write overrides; see guard.h. */
#include "guard.h"
#include "buses.h"
#include "uevent.h"

#include "../enforce/bounded.h"
#include "../enforce/intent.h"
#include "../enforce/log.h"
#include "../enforce/store.h"
#include "../policy/decide.h"
#include "../policy/index.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/eventfd.h>

#define THREADS_FIRST 3
#define THREADS_MAX 64
#define REARM_MAX 5U
#define REARM_FORGET_USEC (15U * 60U * 1000000U)
#define THREAD_STACK (256U * 1024U)
/* What devices answer, a group's as well; a few hundred bytes each. Only a group of dozens needs more. */
#define WORKER_MEMORY (32U * 1024U)

/* What a thread needs, made before the first event so that nothing is allocated at one. */
struct worker {
	struct guard *guard;
	struct sysfs sysfs;
	struct sysfs_device device;
	struct arena arena; /* for the device, and what goes with it */
	char buf[UEVENT_SIZE];
	char override[OVERRIDE_MAX];
	int fd; /* of the driver_override that was open last: closing it can wait, the kernel cannot */
};

/* A decision, and what came of writing it: see write_override(). */
struct written {
	struct decision decision;
	int stands;
	bool wrote;
	struct intent *intent;
	bool first_probe_to_come; /* what comes of it is to be told */
};

struct prepared *prepared_load(const struct settings *settings)
{
	struct prepared *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->users = 1;
	if (policy_load(settings, &p->policy) < 0 || policy_build_index(p->policy) < 0 ||
		buses_of_policy(p->policy, settings->sysfs, &p->arena, &p->buses) == -ENOMEM) {
		prepared_done(p);
		return NULL;
	}
	return p;
}

void prepared_done(struct prepared *p)
{
	if (!p || atomic_fetch_sub(&p->users, 1) > 1)
		return;
	policy_free(p->policy);
	strings_done(&p->buses);
	arena_done(&p->arena);
	free(p);
}

struct prepared *prepared_use(struct guard *g)
{
	struct prepared *p;

	(void)pthread_mutex_lock(g->policy_lock);
	p = g->prepared;
	if (p)
		atomic_fetch_add(&p->users, 1);
	(void)pthread_mutex_unlock(g->policy_lock);
	return p;
}

void guard_set_policy(struct guard *g, struct prepared *p)
{
	struct prepared *old;

	(void)pthread_mutex_lock(g->policy_lock);
	old = g->prepared;
	g->prepared = p;
	(void)pthread_mutex_unlock(g->policy_lock);
	prepared_done(old);
	guard_hold(g);
}

void guard_hold(struct guard *g)
{
	hold_set_buses(g->hold, g->prepared->buses.v, g->prepared->buses.n);
}

static void wake_main(struct guard *g)
{
	(void)eventfd_write(g->wake, 1);
}

static bool is_ours(const struct prepared *p, const char *bus)
{
	for (size_t i = 0; i < p->buses.n; i++)
		if (streq(p->buses.v[i], bus))
			return true;
	return false;
}

static void close_override(struct worker *w)
{
	closep(&w->fd);
	w->fd = -EBADF;
}

/*
 * Compares and writes, through one descriptor. A new device has no override unless the kernel set it (virtual
 * functions of a physical function at vfio-pci), and such a one stays. 1: what was decided stands now; 0:
 * another override does; negative errno: nobody knows.
 */
static int write_override(struct worker *w, struct written *done)
{
	const struct sysfs_device *d = to_sysfs_device(done->decision.device);
	const char *want = done->decision.driver;
	char path[PATH_MAX];
	ssize_t n;
	int r;

	r = sysfs_device_path(d, "driver_override", path, sizeof(path));
	if (r < 0)
		return r;
	close_override(w);
	w->fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (w->fd < 0)
		return negative_errno();
	n = read(w->fd, w->override, sizeof(w->override) - 1);
	if (n < 0)
		return negative_errno();
	w->override[n] = '\0';
	w->override[strcspn(w->override, "\n")] = '\0';
	if (streq(w->override, "(null)"))
		w->override[0] = '\0';
	if (w->override[0])
		return streq(w->override, want);
	done->intent = intent_begin(w->guard->intents, d->bus, d->name, want);
	n = pwrite(w->fd, want, strlen(want), 0);
	if (n < 0)
		return negative_errno();
	done->wrote = (size_t)n == strlen(want);
	return done->wrote ? 1 : -EIO;
}

/* The record of a device that was just written to, and what is to be told of its first probe later. */
static void record_and_follow(struct worker *w, const struct written *done, uint64_t seqnum)
{
	const struct decision *decision = &done->decision;
	struct sysfs_device *d = to_sysfs_device(decision->device);
	const int stands = done->stands;
	struct sighting sighting = {
		.devpath = d->devpath, .bus = d->bus, .name = d->name, .stands = stands == 1, .seqnum = seqnum
	};
	struct record *record = &sighting.record;
	char driver[256];
	struct outcome outcome;

	if (!decision->rule || sysfs_device_stat(d) < 0)
		return; /* gone again */
	if (stands == 0) {
		/* Another value: whether it is ours after all, and what follows, the enforcer's way tells. */
		apply_decision(decision, OCCASION_LATER, &outcome);
		return;
	}
	sighting.inode = d->inode;
	(void)snprintf(record->decision, sizeof(record->decision), "%s", decision_text(decision));
	(void)strcpy(record->cause, decision->cause == CAUSE_GROUP ? "group" : "rule");
	(void)snprintf(record->rule, sizeof(record->rule), "%s", decision->rule->label);
	rule_source(decision->rule, record->source, sizeof(record->source));
	record->rule_id = rule_id(decision->rule);
	record->inode = d->inode;
	if (done->wrote)
		(void)snprintf(record->set, sizeof(record->set), "%s", decision->driver);
	(void)strcpy(record->state, state_to_string(stands == 1	  ? STATE_PENDING
						    : stands == 0 ? STATE_FOREIGN
								  : STATE_FAILED));
	if (stands < 0)
		(void)snprintf(record->reason, sizeof(record->reason), "writing %s to driver_override: %s",
			decision->driver, strerror(-stands));
	if (w->sysfs.state_dir)
		(void)record_write(w->sysfs.state_dir, d, record);

	if (!done->first_probe_to_come)
		return;
	if (sysfs_device_link(d, "driver", driver, sizeof(driver)) < 0)
		driver[0] = '\0';
	sighting.had_other_driver = driver[0] && !streq(driver, decision->driver);
	sighting.had_driver = driver[0] && done->wrote;
	if (followups_add(w->guard->followups, &sighting) >= 0 && !atomic_exchange(&w->guard->settle, true))
		wake_main(w->guard);
}

/* All that can wait until the kernel goes on. seqnum: of the device's `add`. */
static void afterwards(struct worker *w, struct written *done, uint64_t seqnum)
{
	record_and_follow(w, done, seqnum);
	intent_end(done->intent);
	done->intent = NULL;
}

/*
 * We are awake, so the kernel may wait for us again; unless that went wrong again and again: then something
 * else than a stopped guard is the matter, and each try would cost the machine as many holds as it took to
 * give up.
 */
static void take_up_holding(struct guard *g)
{
	const unsigned long long now = now_usec();

	if (!hold_has_given_up(g->hold))
		return;
	/* Long ago is another story: a machine that was suspended, a person who stopped it. */
	if (now - atomic_load(&g->rearmed_usec) > REARM_FORGET_USEC)
		atomic_store(&g->rearmed, 0);
	if (atomic_load(&g->rearmed) >= REARM_MAX)
		return;
	atomic_store(&g->rearmed_usec, now);
	if (atomic_fetch_add(&g->rearmed, 1) < REARM_MAX)
		hold_rearm(g->hold);
	wake_main(g);
}

const char *guard_hold_text(const struct guard *g)
{
	const char *why_not = hold_why_not(g->hold);

	if (why_not)
		return why_not;
	if (hold_has_given_up(g->hold))
		return atomic_load(&g->rearmed) >= REARM_MAX ? "given up: the limit was reached again and "
							       "again; restart the guard to try again"
							     : "given up until the guard's next event: holds "
							       "reached the limit one after the other";
	return "active";
}

static bool says_what_to_write(const struct decision *decision)
{
	return decision->kind == DECISION_NONE || decision->kind == DECISION_DRIVER;
}

static void write_decision(struct worker *w, struct written *done)
{
	if (says_what_to_write(&done->decision))
		done->stands = write_override(w, done);
}

/*
 * Companions without a driver and without an override: a rule that has just come to their group with this
 * device may decide about them, and those that wait for their own first probe are let go only when this
 * device is, too (hold.bpf.c). Others are the enforcer's affair.
 */
static void write_companions(struct worker *w, struct written *companions, size_t n)
{
	char driver[256];

	for (size_t i = 0; i < n; i++) {
		const struct decision *decision = &companions[i].decision;
		const struct sysfs_device *d = to_sysfs_device(decision->device);

		if (says_what_to_write(decision) &&
			sysfs_device_link(d, "driver", driver, sizeof(driver)) < 0) {
			companions[i].first_probe_to_come = hold_awaits(w->guard->hold, d->bus, d->name);
			write_decision(w, &companions[i]);
		}
	}
}

static void handle_add(struct worker *w, const struct uevent *e)
{
	struct guard *g = w->guard;
	struct prepared *p = prepared_use(g);
	struct sysfs_device *d = &w->device;
	const char *name = strrchr(e->devpath, '/') + 1;
	struct written own = { .first_probe_to_come = true };
	struct decision group = {};
	struct written *companions = NULL;

	if (!p || !is_ours(p, e->subsystem)) {
		hold_release(g->hold, e->subsystem, name);
		prepared_done(p);
		return;
	}
	/*
	 * What the device is, it is asked itself unless this event is the kernel's latest: it may be old and
	 * the device another one under the same name, which had better be decided about as what it is.
	 */
	sysfs_device_init(d, &w->sysfs, e->devpath, e->subsystem);
	d->device.lent = &w->arena;
	sysfs_device_announced(d, e->modalias, e->seqnum);
	policy_decide_own(p->policy, &d->device, &own.decision);
	write_decision(w, &own);
	/* A rule that leaves the group alone changes nothing for the companions. */
	if (p->policy->has_groups && !(own.decision.rule && own.decision.rule->group == GROUP_LEAVE) &&
		policy_decide(p->policy, &d->device, &group) >= 0) {
		if (!own.decision.rule) {
			own.decision = group;
			write_decision(w, &own);
		}
		companions = arena_alloc(&w->arena, group.n_members * sizeof(*companions));
		for (size_t i = 0; companions && i < group.n_members; i++)
			companions[i].decision = group.members[i];
		write_companions(w, companions, companions ? group.n_members : 0);
	}
	/* Not there yet, or gone again: the device that may be waiting is another, and its own event is to
	 * come. */
	if (own.stands != -ENOENT) {
		hold_release(g->hold, d->bus, d->name);
		close_override(w);
		if (says_what_to_write(&own.decision))
			afterwards(w, &own, e->seqnum);
	}
	atomic_fetch_add(&g->handled, 1);
	for (size_t i = 0; companions && i < group.n_members; i++)
		if (companions[i].intent || companions[i].wrote)
			afterwards(w, &companions[i], e->seqnum);
	close_override(w);
	sysfs_device_reset(d);
	arena_reset(&w->arena);
	prepared_done(p);
}

static int spawn(struct guard *g);

static void handle(struct worker *w, const struct uevent *e)
{
	struct guard *g = w->guard;

	switch (e->action) {
	case UEVENT_ADD:
		/* What somebody asks for again is udev's affair, and no probe waits for it. */
		if (e->synthetic)
			atomic_fetch_add(&g->noted, 1);
		else if (startswith(e->devpath, "/bus/")) {
			atomic_store(&g->new_bus, true);
			wake_main(g);
		} else if (e->subsystem) {
			handle_add(w, e);
			take_up_holding(g);
		}
		break;
	case UEVENT_BIND:
		if (e->driver && !e->synthetic)
			followups_bind(g->followups, e->devpath, e->driver, e->seqnum);
		break;
	case UEVENT_REMOVE:
		if (!e->synthetic)
			followups_remove(g->followups, e->devpath);
		break;
	case UEVENT_UNBIND:
	case UEVENT_MOVE:
	case UEVENT_OTHER:
		break;
	}
}

int guard_turn(struct worker *w)
{
	struct guard *g = w->guard;
	bool draining, alone;
	struct uevent e;
	int r;

	/*
	 * Once it has lost a message the kernel drops all that follow, until the queue has been read
	 * to its end: until then nobody shall wait for us, and only then is it worth while to sweep.
	 */
	draining = atomic_load(&g->draining);
	if (draining)
		hold_release_all(g->hold);
	atomic_fetch_add(&g->idle, 1);
	r = uevent_receive(g->socket, w->buf, &e, draining);
	alone = atomic_fetch_sub(&g->idle, 1) == 1 && r == 1 && spawn(g) < 0;
	if (r == 1)
		handle(w, &e);
	else if (r == -ENOBUFS)
		atomic_store(&g->draining, true);
	else if (r == -EAGAIN && draining) {
		if (atomic_exchange(&g->draining, false)) {
			atomic_store(&g->overflow, true);
			wake_main(g);
		}
	} else if (r < 0 && r != -EINTR && r != -EAGAIN)
		return r;
	if (alone && !atomic_exchange(&g->told_alone, true))
		log_line(LOG_WARNING, "cannot start another thread: a device that hangs may delay the next");
	return 0;
}

static void *run(void *userdata)
{
	struct worker *w = userdata;
	int r;

	do
		r = guard_turn(w);
	while (r == 0);
	/* Deaf: systemd shall start another. */
	log_line(LOG_ERR, "reading the kernel's events: %s", strerror(-r));
	_exit(EXIT_FAILURE);
}

struct worker *guard_worker_new(struct guard *g)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (w) {
		w->guard = g;
		w->fd = -EBADF;
		sysfs_init(&w->sysfs, g->settings);
		sysfs_prepare(&w->sysfs);
		(void)arena_alloc(&w->arena, WORKER_MEMORY);
		arena_reset(&w->arena);
	}
	return w;
}

static int spawn(struct guard *g)
{
	struct worker *w;
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	if (atomic_fetch_add(&g->threads, 1) >= THREADS_MAX) {
		atomic_fetch_sub(&g->threads, 1);
		return -EAGAIN;
	}
	w = guard_worker_new(g);
	if (!w) {
		atomic_fetch_sub(&g->threads, 1);
		return -ENOMEM;
	}
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, THREAD_STACK);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	r = -pthread_create(&thread, &attr, run, w);
	(void)pthread_attr_destroy(&attr);
	if (r < 0) {
		atomic_fetch_sub(&g->threads, 1);
		free(w);
	}
	return r;
}

int guard_start(struct guard *g)
{
	int r = 0;

	for (int i = 0; i < THREADS_FIRST && r >= 0; i++)
		r = spawn(g);
	return r;
}
