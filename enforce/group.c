/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The other members of an IOMMU group, in children; see group.h. */
#include "enforce/group.h"
#include "enforce/apply-record.h"
#include "base/child.h"
#include "base/errno.h"
#include "base/log.h"
#include "base/macro.h"
#include "base/text.h"
#include "base/time.h"
#include "enforce/apply.h"
#include "state/device-event.h"
#include "sysfs/binding.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * If a child makes no progress for this long, another one is started for the remaining members. The first is
 * killed only at the deadline, since it may merely be in a slow probe.
 */
#define STEP_USEC 400000U

/* In memory that parent and children share. Slot k is for child k, and `wrote` in it for member k. */
struct group_slot {
	struct progress progress;
	_Atomic(size_t) done;	 /* number of the step that the child is in */
	_Atomic(bool) overtaken; /* another child does the steps after the current one */
	_Atomic(bool) wrote;	 /* the override of the member was written */
};

struct group_run {
	const struct policy *policy;
	struct sysfs_device *device; /* the one whose other members are seen to */
	struct device **members;     /* all of the group, `device` among them */
	size_t n;
	struct group_slot
		*slots; /* n + 1 of them, as many as there may be children: each has a member less to do */
	struct group_slot *own; /* of the child that is started next, or that we are */
	size_t first;		/* the step where that child begins */
	size_t end; /* the number of steps: two for each member, or none where the members are only asked */
	struct child *children;
	size_t n_overtaken; /* the first children, so many */
};

/*
 * Has the kernel send the member's uevent again, by which udev treats it like a new device and loads the
 * module of the driver that it was just given. It has no event of its own now.
 */
static void member_announce_again(struct sysfs_device *d)
{
	int r = device_announce(d, "add");

	if (r < 0)
		log_line(LOG_WARNING,
			 "%s %s: cannot ask for its uevent: %s, not having the driver's module loaded",
			 d->bus, d->name, strerror(-r));
}

static bool member_is_to_be_applied(const struct decision *companion)
{
	return companion->cause == CAUSE_GROUP && !decision_is_nothing(companion) &&
	       companion->kind != DECISION_UNKNOWN;
}

/*
 * The override came from Group=, and no rule decides about the device now: an earlier rule governs the group.
 * (If only the matched member had been unplugged, kept_rule() would still name the rule.)
 */
static bool member_is_to_be_released(const struct policy *policy, const struct decision *companion)
{
	const struct sysfs_device *d = to_sysfs_device(companion->device);
	struct record record;

	/* A policy directory that could not be read may contain the rule. */
	return decision_is_nothing(companion) && !policy->incomplete && d->sysfs->state_dir &&
	       record_read(d->sysfs->state_dir, d->bus, d->name, d->inode, &record) >= 0 &&
	       streq(record.cause, "group") && (record.owned_override[0] || record.previous_override[0]);
}

static bool group_member_is_manageable(const struct group_run *g, size_t i)
{
	const struct sysfs_device *d = to_sysfs_device(g->members[i]);

	return d != g->device && !d->unreadable && sysfs_device_is_supported(d);
}

static void member_release(struct sysfs_device *d)
{
	const struct device_event event = { .kind = DEVICE_RELEASED, .bus = d->bus, .name = d->name };
	char reason[512];
	int r = apply_release(d, reason, sizeof(reason));

	if (r < 0)
		log_line(LOG_ERR, "%s %s: %s", d->bus, d->name, reason);
	else if (r > 0)
		device_event_log(LOG_INFO, &event, "%s %s: override cleared, the group no longer asks for it",
				 d->bus, d->name);
}

static void member_settle(const struct decision *companion, bool wrote)
{
	struct sysfs_device *d = to_sysfs_device(companion->device);
	struct outcome outcome;

	apply_decision(companion, OCCASION_AGAIN, &outcome);
	if (outcome.state == STATE_FAILED)
		outcome_log_failure(companion, &outcome);
	if (wrote && outcome.needs_module)
		member_announce_again(d);
}

/* The first n steps write the overrides, so that all of them stand before the first probe, which may take
 * long. */
static void group_do_step(const struct group_run *g, size_t number, const struct decision *companion)
{
	struct group_slot *of_member = &g->slots[number % g->n];
	struct outcome outcome;

	if (number < g->n) {
		if (member_is_to_be_applied(companion)) {
			apply_override(companion, OCCASION_AGAIN, &outcome);
			atomic_store(&of_member->wrote, outcome.wrote);
		}
	} else if (member_is_to_be_applied(companion)) {
		member_settle(companion, atomic_load(&of_member->wrote));
	} else if (member_is_to_be_released(g->policy, companion)) {
		member_release(to_sysfs_device(companion->device));
	}
}

static int group_child_run(void *userdata)
{
	const struct group_run *g = userdata;
	_cleanup_(freep) struct decision *decisions = calloc(g->n, sizeof(*decisions));

	if (!decisions)
		return -ENOMEM;
	g->device->sysfs->progress = &g->own->progress;
	policy_decide_group(g->policy, g->members, g->n, decisions);
	for (size_t i = g->first; i < g->end && !atomic_load(&g->own->overtaken); i++) {
		if (group_member_is_manageable(g, i % g->n))
			group_do_step(g, i, &decisions[i % g->n]);
		atomic_store(&g->own->done, i + 1);
	}
	return 0;
}

/* Waits until the child has ended, the deadline, or *ret_no_progress: it makes none, and there is time left.
 */
static struct child_result group_watch_child(struct child *child, const struct group_slot *slot,
					     uint64_t deadline, bool *ret_no_progress)
{
	struct child_result result = { CHILD_TIMED_OUT, 0 };

	*ret_no_progress = false;
	for (;;) {
		const struct sysfs_device *device = slot->progress.device;
		size_t before = atomic_load(&slot->done);
		uint64_t now = now_usec();

		if (now >= deadline)
			return result;
		result = child_wait(child, deadline - now < STEP_USEC ? deadline - now : STEP_USEC);
		if (result.how != CHILD_TIMED_OUT)
			return result;
		if (now_usec() < deadline && atomic_load(&slot->done) == before &&
		    slot->progress.device == device) {
			*ret_no_progress = true;
			return result;
		}
	}
}

/* The member whose file a child waits for; NULL: none. */
static struct sysfs_device *group_awaited_member(const struct group_run *g, const struct group_slot *slot)
{
	for (size_t i = 0; i < g->n; i++)
		if (slot->progress.device == to_sysfs_device(g->members[i]))
			return to_sysfs_device(g->members[i]);
	return NULL;
}

/* Waits for a child that was overtaken until the deadline, then leaves it behind and records the member. */
static void group_child_finish(const struct group_run *g, struct child *child, struct group_slot *slot,
			       uint64_t deadline)
{
	struct sysfs_device *d = group_awaited_member(g, slot);
	uint64_t now = now_usec();
	char doing[256];

	if (child_wait(child, now < deadline ? deadline - now : 0).how != CHILD_TIMED_OUT)
		return;
	progress_text(&slot->progress, doing, sizeof(doing));
	child_abandon(child);
	if (d)
		apply_record_stuck(d, doing);
	log_line(LOG_WARNING, "%s %s: timed out while %s; the other group members are done", g->device->bus,
		 g->device->name, doing);
}

/* Starts child after child; each continues after the member that the one before it waits for. */
static int group_run_children(struct group_run *g, uint64_t deadline)
{
	struct child_result result = { CHILD_TIMED_OUT, 0 };
	bool no_progress = true;
	char doing[256];

	for (size_t k = 0; k <= g->n && no_progress; k++) {
		struct sysfs_device *d;
		int r;

		g->own = &g->slots[k];
		atomic_store(&g->own->done, g->first);
		r = child_start(&g->children[k], CHILD_COPY, group_child_run, g);
		if (r < 0)
			return r;
		result = group_watch_child(&g->children[k], g->own, deadline, &no_progress);
		if (result.how == CHILD_TIMED_OUT && !no_progress) {
			progress_text(&g->own->progress, doing, sizeof(doing));
			child_abandon(&g->children[k]);
			log_line(LOG_WARNING,
				 "%s %s: timed out while %s, leaving the rest of its group undone",
				 g->device->bus, g->device->name, doing);
		}
		if (!no_progress)
			break;
		atomic_store(&g->own->overtaken, true);
		g->n_overtaken++;
		d = group_awaited_member(g, g->own);
		g->first = atomic_load(&g->own->done);
		if (d && !d->unreadable)
			d->unreadable = true; /* the next child decides without it */
		else
			g->first++;
	}
	return result.how == CHILD_TIMED_OUT ? 0 : child_result_errno(result);
}

static size_t group_slots_size(const struct group_run *g)
{
	return (g->n + 1) * sizeof(*g->slots);
}

/* 1; 0: there is no other member; negative errno. */
static int group_open(struct group_run *g, const struct policy *policy, struct sysfs_device *d)
{
	*g = (struct group_run){ .policy = policy, .device = d };
	if (d->device.ops->group(&d->device, &g->members, &g->n) < 0 || g->n < 2)
		return 0;
	g->slots = mmap(NULL, group_slots_size(g), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (g->slots == MAP_FAILED)
		return negative_errno();
	g->children = calloc(g->n + 1, sizeof(*g->children));
	if (!g->children) {
		(void)munmap(g->slots, group_slots_size(g));
		return -ENOMEM;
	}
	return 1;
}

static void group_close(struct group_run *g)
{
	free(g->children);
	(void)munmap(g->slots, group_slots_size(g));
}

bool group_has_other_members(struct sysfs_device *d)
{
	struct device **members;
	size_t n;

	return d->device.ops->group(&d->device, &members, &n) >= 0 && n > 1;
}

int group_ask_members(const struct policy *policy, struct sysfs_device *d, uint64_t deadline)
{
	struct group_run g;
	int r = group_open(&g, policy, d);

	if (r <= 0)
		return r;
	r = group_run_children(&g, deadline);
	for (size_t i = 0; i < g.n_overtaken; i++)
		child_abandon(&g.children[i]);
	group_close(&g);
	return r;
}

int group_enforce(const struct policy *policy, struct sysfs_device *d, uint64_t deadline)
{
	struct group_run g;
	int r = group_open(&g, policy, d);

	if (r <= 0)
		return r;
	g.end = 2 * g.n;
	r = group_run_children(&g, deadline);
	for (size_t i = 0; i < g.n_overtaken; i++)
		group_child_finish(&g, &g.children[i], &g.slots[i], deadline);
	group_close(&g);
	return r;
}

bool group_is_affected(const struct policy *policy, struct sysfs_device *d)
{
	_cleanup_(freep) struct decision *decisions = NULL;
	struct group_run g = { .policy = policy, .device = d };

	if (d->device.ops->group(&d->device, &g.members, &g.n) < 0 || g.n < 2)
		return false;
	decisions = calloc(g.n, sizeof(*decisions));
	if (!decisions)
		return true; /* not known, so assume it */
	policy_decide_group(policy, g.members, g.n, decisions);
	for (size_t i = 0; i < g.n; i++)
		if (group_member_is_manageable(&g, i) && (member_is_to_be_applied(&decisions[i]) ||
							  member_is_to_be_released(policy, &decisions[i])))
			return true;
	return false;
}
