/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a thread does with a device that was added. The kernel waits until the device is released, so only
 * what must be done before that is done before that.
 */
#include "guard/worker.h"
#include "base/arena.h"
#include "base/errno.h"
#include "base/log.h"
#include "base/macro.h"
#include "base/text.h"
#include "enforce/apply.h"
#include "guard/buses.h"
#include "policy/decide.h"
#include "state/device-event.h"
#include "state/intent.h"
#include "state/record.h"
#include "state/record-file.h"
#include "sysfs/binding.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A guard that is about to hand over writes within this time; one that is stopped does not, and the kernel
 * waits. */
#define PREDECESSOR_WRITES_USEC 3000U

/* The decision about one device, and how far it has been carried out. */
struct addition {
	struct decision decision;
	int stands; /* see override_compare_and_write(); 0 while nothing was tried */
	bool wrote;
	struct intent *intent;
	uint64_t ticket; /* of its hold; 0: none */
	bool is_released;
	bool has_first_probe;	 /* its first probe was still to come, so FirstProbe can be told */
	bool stood_before_probe; /* the override stood, and after that the hold had not ended */
	int override_fd;	 /* of the device that was written to; it is closed when the kernel goes on */
};

static bool policy_may_match_bus(const struct policy_snapshot *p, const char *bus)
{
	for (size_t i = 0; i < p->buses.n; i++)
		if (streq(p->buses.v[i], bus))
			return true;
	return false;
}

static void addition_done(struct addition *a)
{
	closep(&a->override_fd);
	a->override_fd = -EBADF;
}

/* Reads the override into w->override, "" when none is set. 0 or negative errno. */
static int worker_read_override(struct worker *w, const struct addition *a)
{
	ssize_t n = read(a->override_fd, w->override, sizeof(w->override) - 1);

	if (n < 0)
		return negative_errno();
	w->override[n] = '\0';
	w->override[strcspn(w->override, "\n")] = '\0';
	if (streq(w->override, "(null)"))
		w->override[0] = '\0';
	return 0;
}

/*
 * Compares and writes, through one descriptor. A new device has no override unless the kernel set it (virtual
 * functions of a physical function at vfio-pci), and that one stays. 1: the decided override stands; 0:
 * another one does; negative errno: it is unknown what stands.
 */
static int override_compare_and_write(struct worker *w, struct addition *a)
{
	const struct sysfs_device *d = to_sysfs_device(a->decision.device);
	const char *want = a->decision.driver;
	char path[PATH_MAX];
	ssize_t n;
	int r;

	r = sysfs_device_path(d, "driver_override", path, sizeof(path));
	if (r < 0)
		return r;
	a->override_fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (a->override_fd < 0)
		return negative_errno();
	/*
	 * Another thread may be handling the same device, because one of the two was late. Wait a moment for
	 * it before reading the override. The wait is bounded, since that thread may be stuck, and differs
	 * per thread, so that two never wait for each other equally long.
	 */
	a->intent = intent_begin(w->guard->intents, d->bus, d->name, want);
	if (intent_is_shared(w->guard->intents, a->intent))
		(void)usleep(w->recheck_delay_usec);
	/* The guard before this one has heard of the device as well, and writes the same. */
	if (atomic_load(&w->guard->has_predecessor))
		(void)usleep(PREDECESSOR_WRITES_USEC);
	r = worker_read_override(w, a);
	if (r < 0) {
		intent_end(TAKE_PTR(a->intent));
		return r;
	}
	if (w->override[0]) {
		/* The thread or program that wrote it claims it. */
		intent_end(TAKE_PTR(a->intent));
		return streq(w->override, want);
	}
	n = pwrite(a->override_fd, want, strlen(want), 0);
	if (n < 0)
		return negative_errno();
	a->wrote = (size_t)n == strlen(want);
	return a->wrote ? 1 : -EIO;
}

static bool decision_has_override(const struct decision *decision)
{
	return decision->kind == DECISION_NONE || decision->kind == DECISION_DRIVER;
}

static void addition_write(struct worker *w, struct addition *a)
{
	if (!decision_has_override(&a->decision))
		return;
	addition_done(a);
	a->stands = override_compare_and_write(w, a);
}

/* Marks the ticket. If the override stands by now, it stood before any driver looked at the device. */
static void addition_release(struct worker *w, struct addition *a)
{
	if (!a->is_released)
		a->stood_before_probe = hold_release(w->guard->hold, a->ticket);
	a->is_released = true;
}

/* Notes a device whose record has just been written, so that its FirstProbe can be told later. */
static void addition_watch_first_probe(struct worker *w, const struct addition *a,
				       const struct record *record, uint64_t seqnum)
{
	const struct sysfs_device *d = to_sysfs_device(a->decision.device);
	struct first_probe_observation seen = {
		.devpath = d->devpath,
		.bus = d->bus,
		.name = d->name,
		.inode = d->inode,
		.record = *record,
		.stands = a->stands == 1,
		.stood_before_probe = a->stands == 1 && a->stood_before_probe,
		.seqnum = seqnum,
		.ticket = a->ticket,
	};
	char driver[256];

	bound_driver(d, driver, sizeof(driver));
	seen.had_other_driver = driver[0] && !streq(driver, a->decision.driver);
	seen.had_driver = driver[0];
	if (first_probe_watch_add(w->guard->first_probe_watches, &seen) >= 0 &&
	    !atomic_exchange(&w->guard->settles_pending, true))
		guard_wake_main(w->guard);
}

/* Writes the record of a device whose override stands, or could not be written. */
static void addition_record(struct worker *w, struct addition *a, uint64_t seqnum)
{
	const struct decision *decision = &a->decision;
	struct sysfs_device *d = to_sysfs_device(decision->device);
	struct record record = {};

	record_describe(&record, decision);
	record.inode = d->inode;
	if (a->wrote)
		(void)snprintf(record.owned_override, sizeof(record.owned_override), "%s", decision->driver);
	record.state = a->stands == 1 ? STATE_PENDING : STATE_FAILED;
	if (a->stands < 0)
		(void)snprintf(record.reason, sizeof(record.reason), "writing %s to driver_override: %s",
			       decision->driver, strerror(-a->stands));
	if (w->sysfs.state_dir && record_write(w->sysfs.state_dir, sysfs_device_key(d), &record) < 0 &&
	    a->wrote) {
		log_line(LOG_WARNING,
			 "%s %s: cannot write its record, the intent in memory claims the override instead",
			 d->bus, d->name);
		intent_keep(TAKE_PTR(a->intent));
	}
	device_event_log_decision(d->bus, d->name, &record);
	if (a->has_first_probe)
		addition_watch_first_probe(w, a, &record, seqnum);
}

/*
 * Reads the inode of the device that has the name now, by which its record is known. False: that is not the
 * device that was written to, but one that has taken its name since the kernel went on. It has its own
 * message.
 */
static bool addition_read_inode(const struct addition *a)
{
	struct sysfs_device *d = to_sysfs_device(a->decision.device);
	struct stat written, now;
	char path[PATH_MAX];

	if (sysfs_device_stat(d) < 0)
		return false;
	return a->override_fd < 0 || (sysfs_device_path(d, "driver_override", path, sizeof(path)) >= 0 &&
				      fstat(a->override_fd, &written) >= 0 && stat(path, &now) >= 0 &&
				      written.st_ino == now.st_ino);
}

/* Does what can wait until the kernel goes on. seqnum: of the device's `add`. */
static void addition_finish(struct worker *w, struct addition *a, uint64_t seqnum)
{
	struct outcome ignored;

	if (a->decision.rule && addition_read_inode(a)) {
		/*
		 * Another value stands: the enforcer's code finds out whether it is ours after all. It does
		 * not have the device probed from here: udev's event does that, with a deadline.
		 */
		if (a->stands == 0)
			apply_override(&a->decision, OCCASION_LATER, &ignored);
		else
			addition_record(w, a, seqnum);
	}
	intent_end(TAKE_PTR(a->intent));
}

/*
 * Companions that are being added at the same moment: a rule that has come to their group with this device
 * may decide about them, and they are released only when this device is, too (hold.bpf.c). No driver has
 * looked at them yet, so none can make this thread sleep.
 */
static void companions_write_held(struct worker *w, struct addition *companions, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct addition *c = &companions[i];
		const struct sysfs_device *d = to_sysfs_device(c->decision.device);

		if (!decision_has_override(&c->decision))
			continue;
		c->ticket = hold_ticket(w->guard->hold, d->bus, d->name);
		c->has_first_probe = c->ticket != 0;
		if (!c->ticket)
			continue;
		addition_write(w, c);
		/* The thread that has its own event may have been woken on the very CPU that waits for it. */
		if (c->stands == 1)
			addition_release(w, c);
	}
}

/*
 * The other companions, where they have neither driver nor override. One that a driver is just leaving looks
 * like that, too, and may make this thread sleep; nothing waits for this thread any more. Companions with a
 * driver are left to the enforcer.
 */
static void companions_write_driverless(struct worker *w, struct addition *companions, size_t n)
{
	char driver[256];

	for (size_t i = 0; i < n; i++) {
		struct addition *c = &companions[i];

		if (decision_has_override(&c->decision) && !c->ticket &&
		    sysfs_device_link(to_sysfs_device(c->decision.device), "driver", driver, sizeof(driver)) <
			    0)
			addition_write(w, c);
	}
}

/*
 * Whether the kernel has finished making the device's folder. If not, another device has come under the name
 * of the one that this message announced, and its own message is still to come. The kernel makes this link
 * after all attributes (bus_add_device()).
 */
static bool device_is_complete(const struct sysfs_device *d)
{
	char path[PATH_MAX];
	struct stat st;

	/* Where it leads to need not be looked at. */
	return sysfs_device_path(d, "subsystem", path, sizeof(path)) >= 0 && lstat(path, &st) >= 0;
}

/* A bus whose devices have no driver_override can only be known as such once it has a device. */
static void guard_recheck_bus(struct guard *g, const struct sysfs_device *d)
{
	if (!bus_may_have_overrides(d->sysfs->root, d->bus)) {
		atomic_store(&g->buses_changed, true);
		guard_wake_main(g);
	}
}

/*
 * Decides about the companions, and about the device itself where it has no rule of its own; writes what is
 * held. Returns how many companions there are.
 */
static size_t worker_decide_group(struct worker *w, const struct policy_snapshot *p, struct addition *own,
				  struct addition **ret_companions)
{
	struct decision group = {};
	struct addition *companions;

	/* A rule that leaves the group alone changes nothing for the companions. */
	if (!p->policy->has_groups || (own->decision.rule && own->decision.rule->group == GROUP_LEAVE) ||
	    policy_decide(p->policy, &w->device.device, &group) < 0)
		return 0;
	if (!own->decision.rule) {
		own->decision = group;
		addition_write(w, own);
	}
	companions = arena_alloc(&w->arena, group.n_members * sizeof(*companions));
	if (!companions)
		return 0;
	for (size_t i = 0; i < group.n_members; i++) {
		companions[i].decision = group.members[i];
		companions[i].override_fd = -EBADF;
	}
	companions_write_held(w, companions, group.n_members);
	*ret_companions = companions;
	return group.n_members;
}

static void worker_decide_device(struct worker *w, const struct policy_snapshot *p, const struct uevent *e,
				 struct addition *own)
{
	struct guard *g = w->guard;
	struct sysfs_device *d = &w->device;
	struct addition *companions = NULL;
	size_t n;

	policy_decide_own(p->policy, &d->device, &own->decision);
	addition_write(w, own);
	/* The rest of the group can wait, unless a member of it is held as well. */
	if (own->decision.rule && !hold_siblings_wait(g->hold, d->bus, d->name))
		addition_release(w, own);
	n = worker_decide_group(w, p, own, &companions);
	addition_release(w, own);
	/* A standby thread must be free for the next late device. */
	if (!w->is_standby)
		companions_write_driverless(w, companions, n);
	if (own->stands == -ENOENT)
		guard_recheck_bus(g, d);
	else if (decision_has_override(&own->decision))
		addition_finish(w, own, e->seqnum);
	atomic_fetch_add(&g->n_added, 1);
	for (size_t i = 0; i < n; i++) {
		if (companions[i].intent || companions[i].wrote)
			addition_finish(w, &companions[i], e->seqnum);
		addition_done(&companions[i]);
	}
	addition_done(own);
}

void worker_add_device(struct worker *w, const struct uevent *e)
{
	struct guard *g = w->guard;
	struct sysfs_device *d = &w->device;
	struct policy_snapshot *p;
	const char *name = strrchr(e->devpath, '/') + 1;
	struct addition own = { .has_first_probe = true, .override_fd = -EBADF };

	/* Before anything is found out: if another device takes the name meanwhile, this ticket is not its.
	 */
	own.ticket = hold_ticket(g->hold, e->subsystem, name);
	/* Not before: a device that a filter may spare must not be decided about by an older policy. */
	p = guard_get_policy(g);
	/* The guard before this one has decided about it, and has its record. */
	if (!own.ticket && e->seqnum < atomic_load(&g->inherited_seqnum)) {
		policy_snapshot_unref(p);
		return;
	}
	if (!p || !policy_may_match_bus(p, e->subsystem)) {
		addition_release(w, &own);
		policy_snapshot_unref(p);
		return;
	}
	/*
	 * Only the kernel's latest event is believed about what the device is. An older one may announce a
	 * device that has gone, and another one with its name must be decided about as what it is.
	 */
	sysfs_device_init(d, &w->sysfs, e->devpath, e->subsystem);
	d->device.scratch = &w->arena;
	d->is_new = own.ticket != 0;
	w->sysfs.lent_present = &p->present;
	if (sysfs_device_announced(d, e->modalias, e->seqnum) || device_is_complete(d))
		worker_decide_device(w, p, e, &own);
	if (e->seqnum > atomic_load(&g->heard_since))
		atomic_fetch_add(&g->n_heard, 1);
	sysfs_device_reset(d);
	arena_reset(&w->arena);
	w->sysfs.lent_present = NULL;
	policy_snapshot_unref(p);
}
