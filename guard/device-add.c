/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One device's addition: the kernel waits for us until its override stands, so everything else comes after
 * that.
 */
#include "guard/worker.h"
#include "base/arena.h"
#include "base/errno.h"
#include "base/log.h"
#include "base/macro.h"
#include "base/text.h"
#include "guard/buses.h"
#include "enforce/apply.h"
#include "state/intent.h"
#include "state/store.h"
#include "policy/decide.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

/* A decision, and what came of writing it: see write_override(). */
struct written {
	struct decision decision;
	int stands;
	bool wrote;
	struct intent *intent;
	uint64_t ticket; /* of its hold; 0: none */
	bool let_go;
	bool first_probe_to_come; /* what comes of it is to be told */
	bool stood_before_probe;  /* the override stood, and after that the hold had not ended */
};

static bool is_ours(const struct policy_snapshot *p, const char *bus)
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
	/*
	 * One that has the device in hand as well is slow, or stands by for us who are: let him, and look
	 * then. He may be stuck, so it is not for ever, and nobody waits as long as another.
	 */
	done->intent = intent_begin(w->guard->intents, d->bus, d->name, want);
	if (intent_is_shared(w->guard->intents, done->intent))
		(void)usleep(w->recheck_delay_usec);
	n = read(w->fd, w->override, sizeof(w->override) - 1);
	if (n < 0) {
		r = negative_errno();
		intent_end(TAKE_PTR(done->intent));
		return r;
	}
	w->override[n] = '\0';
	w->override[strcspn(w->override, "\n")] = '\0';
	if (streq(w->override, "(null)"))
		w->override[0] = '\0';
	if (w->override[0]) {
		/* Not ours to claim, but for who wrote it. */
		intent_end(TAKE_PTR(done->intent));
		return streq(w->override, want);
	}
	n = pwrite(w->fd, want, strlen(want), 0);
	if (n < 0)
		return negative_errno();
	done->wrote = (size_t)n == strlen(want);
	return done->wrote ? 1 : -EIO;
}

/* The record of a device that was just written to, and what is to be told of its first probe later. */
static void record_and_follow(struct worker *w, struct written *done, uint64_t seqnum)
{
	const struct decision *decision = &done->decision;
	struct sysfs_device *d = to_sysfs_device(decision->device);
	const int stands = done->stands;
	struct first_probe_observation first_probe_observation = {
		.devpath = d->devpath,
		.bus = d->bus,
		.name = d->name,
		.stands = stands == 1,
		.stood_before_probe = stands == 1 && done->stood_before_probe,
		.seqnum = seqnum,
		.ticket = done->ticket
	};
	struct record *record = &first_probe_observation.record;
	char driver[256];
	struct outcome outcome;

	if (!decision->rule || sysfs_device_stat(d) < 0)
		return; /* gone again */
	if (stands == 0) {
		/*
		 * Another value: whether it is ours after all the enforcer's way tells. Drivers are not asked
		 * from here: that is udev's event's affair, which has a deadline.
		 */
		apply_override(decision, OCCASION_LATER, &outcome);
		return;
	}
	first_probe_observation.inode = d->inode;
	record_describe(record, decision);
	record->inode = d->inode;
	if (done->wrote)
		(void)snprintf(record->owned_override, sizeof(record->owned_override), "%s",
			       decision->driver);
	(void)strcpy(record->state, device_state_to_string(stands == 1	 ? STATE_PENDING
							   : stands == 0 ? STATE_FOREIGN
									 : STATE_FAILED));
	if (stands < 0)
		(void)snprintf(record->reason, sizeof(record->reason), "writing %s to driver_override: %s",
			       decision->driver, strerror(-stands));
	if (w->sysfs.state_dir && record_write(w->sysfs.state_dir, sysfs_device_key(d), record) < 0 &&
	    done->wrote) {
		/* All that is left to say that the override is ours. */
		log_line(LOG_WARNING, "%s %s: its record cannot be written", d->bus, d->name);
		intent_keep(TAKE_PTR(done->intent));
	}

	if (!done->first_probe_to_come)
		return;
	if (sysfs_device_link(d, "driver", driver, sizeof(driver)) < 0)
		driver[0] = '\0';
	first_probe_observation.had_other_driver = driver[0] && !streq(driver, decision->driver);
	first_probe_observation.had_driver = driver[0];
	if (first_probe_watch_add(w->guard->first_probe_watches, &first_probe_observation) >= 0 &&
	    !atomic_exchange(&w->guard->settle, true))
		guard_wake_main(w->guard);
}

/* All that can wait until the kernel goes on. seqnum: of the device's `add`. */
static void afterwards(struct worker *w, struct written *done, uint64_t seqnum)
{
	record_and_follow(w, done, seqnum);
	intent_end(done->intent);
	done->intent = NULL;
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

/* Marks the ticket; what stands by then stood before any driver looked at the device. */
static void let_go(struct worker *w, struct written *done)
{
	if (!done->let_go)
		done->stood_before_probe = hold_release(w->guard->hold, done->ticket);
	done->let_go = true;
}

/*
 * Companions that are just being added as well: a rule that has come to their group with this device may
 * decide about them, and they are let go only when this device is, too (hold.bpf.c). No driver has looked at
 * them, so none can keep us.
 */
static void write_waiting_companions(struct worker *w, struct written *companions, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct written *c = &companions[i];
		const struct sysfs_device *d = to_sysfs_device(c->decision.device);

		if (!says_what_to_write(&c->decision))
			continue;
		c->ticket = hold_ticket(w->guard->hold, d->bus, d->name);
		c->first_probe_to_come = c->ticket != 0;
		if (!c->ticket)
			continue;
		write_decision(w, c);
		/* Who has its own event in hand may have been woken on the very CPU that waits. */
		if (c->stands == 1)
			let_go(w, c);
	}
}

/*
 * The others, which have neither driver nor override. One that a driver is just leaving looks like that, too,
 * and may let us sleep: nobody waits for this any more. With a driver they are the enforcer's affair.
 */
static void write_idle_companions(struct worker *w, struct written *companions, size_t n)
{
	char driver[256];

	for (size_t i = 0; i < n; i++) {
		struct written *c = &companions[i];

		if (says_what_to_write(&c->decision) && !c->ticket &&
		    sysfs_device_link(to_sysfs_device(c->decision.device), "driver", driver, sizeof(driver)) <
			    0)
			write_decision(w, c);
	}
}

/*
 * Whether the kernel is done with making the device's folder. If not, another device has come under the name
 * of the one that this message is of; its own is still to come. The kernel makes this link behind all
 * attributes (bus_add_device()).
 */
static bool is_whole(const struct sysfs_device *d)
{
	char path[PATH_MAX];

	return sysfs_device_path(d, "subsystem", path, sizeof(path)) >= 0 && access(path, F_OK) >= 0;
}

/* A bus whose devices have no such file turns out to be none of ours only when it has a device. */
static void look_at_buses_again(struct guard *g, const struct sysfs_device *d)
{
	if (!bus_may_have_overrides(d->sysfs->root, d->bus)) {
		atomic_store(&g->new_bus, true);
		guard_wake_main(g);
	}
}

static void decide_and_write(struct worker *w, const struct policy_snapshot *p, const struct uevent *e,
			     struct written *own)
{
	struct guard *g = w->guard;
	struct sysfs_device *d = &w->device;
	struct decision group = {};
	struct written *companions = NULL;
	size_t n = 0;

	policy_decide_own(p->policy, &d->device, &own->decision);
	write_decision(w, own);
	/* The group's other members matter to the wait only where one of them waits, too. */
	if (own->decision.rule && !hold_siblings_wait(g->hold, d->bus, d->name))
		let_go(w, own);
	/* A rule that leaves the group alone changes nothing for the companions. */
	if (p->policy->has_groups && !(own->decision.rule && own->decision.rule->group == GROUP_LEAVE) &&
	    policy_decide(p->policy, &d->device, &group) >= 0) {
		if (!own->decision.rule) {
			own->decision = group;
			write_decision(w, own);
		}
		companions = arena_alloc(&w->arena, group.n_members * sizeof(*companions));
		n = companions ? group.n_members : 0;
		for (size_t i = 0; i < n; i++)
			companions[i].decision = group.members[i];
		write_waiting_companions(w, companions, n);
	}
	let_go(w, own);
	/* Who stands by shall be there for the next one. */
	if (!w->is_standby)
		write_idle_companions(w, companions, n);
	close_override(w);
	if (own->stands == -ENOENT)
		look_at_buses_again(g, d);
	else if (says_what_to_write(&own->decision))
		afterwards(w, own, e->seqnum);
	atomic_fetch_add(&g->handled, 1);
	for (size_t i = 0; i < n; i++)
		if (companions[i].intent || companions[i].wrote)
			afterwards(w, &companions[i], e->seqnum);
}

void worker_add_device(struct worker *w, const struct uevent *e)
{
	struct guard *g = w->guard;
	struct policy_snapshot *p = policy_snapshot_ref(g);
	struct sysfs_device *d = &w->device;
	const char *name = strrchr(e->devpath, '/') + 1;
	struct written own = { .first_probe_to_come = true };

	own.ticket = hold_ticket(g->hold, e->subsystem, name);
	if (!p || !is_ours(p, e->subsystem)) {
		let_go(w, &own);
		policy_snapshot_unref(p);
		return;
	}
	/*
	 * What the device is, it is asked itself unless this event is the kernel's latest: it may be old and
	 * the device another one under the same name, which had better be decided about as what it is.
	 */
	sysfs_device_init(d, &w->sysfs, e->devpath, e->subsystem);
	d->device.scratch = &w->arena;
	if (sysfs_device_announced(d, e->modalias, e->seqnum) || is_whole(d))
		decide_and_write(w, p, e, &own);
	close_override(w);
	sysfs_device_reset(d);
	arena_reset(&w->arena);
	policy_snapshot_unref(p);
}
