/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Devices side by side; see rebind-workers.h. A device is rebound by one process at a time: a child holds the
 * device's lock, and one that was left behind keeps it until it has come back from the kernel, so no second
 * one follows it.
 */
#include "enforcer/rebind-workers.h"
#include "base/child.h"
#include "base/errno.h"
#include "base/log.h"
#include "base/macro.h"
#include "base/text.h"
#include "base/time.h"
#include "enforce/apply-record.h"
#include "enforce/group.h"
#include "enforce/in-use.h"
#include "policy/policy-current.h"
#include "state/policy-copy.h"
#include "state/state-lock.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Left for the parent when the time of the group is up. */
#define REST_USEC 100000U
/* No device is begun with less time, or less than a third of all: it would be left behind half-way. */
#define LEAST_USEC 3000000U
/* At work side by side. What moves wait for is mostly the kernel; dry runs wait for the CPU. */
#define MOVES_MAX 16U
#define DRY_RUNS_MAX 4U
/* One that has been at a device for so long is not counted: another one goes on. */
#define SLOW_USEC 1000000U

struct rebind_shared {
	_Atomic(size_t) next;	  /* the first target that no worker has taken */
	_Atomic(bool) has_groups; /* the policy has rules for groups */
};

/* One child, as the parent knows it. */
struct rebind_worker {
	struct rebind_run *run;
	struct child child;
	_Atomic(size_t) *target; /* that it is at, plus one; shared with it */
	size_t seen;		 /* that it was at, when the parent looked last */
	uint64_t since;
	bool runs;
	bool is_first;	       /* to have read the policy: it keeps the copies */
	struct policy *policy; /* in the child: as it was read last; NULL: not yet */
};

/* A device that has gone meanwhile is no failure of a step, so the error says that it has gone. */
static void rebind_check_device_gone(const struct sysfs_device *d, struct move_result *m)
{
	if (m->error == MOVE_FAILED && sysfs_device_is_gone(d))
		move_result_set(m, STATE_FAILED, MOVE_NO_SUCH_DEVICE, "it has gone");
}

/* Refuses a device that is not the one that the caller meant, but has its name since. */
static bool rebind_device_is_meant_or_refuse(const struct rebind_target *t)
{
	struct sysfs_device *d = t->device;

	if (!t->inode || (sysfs_device_stat(d) >= 0 && d->inode == t->inode))
		return true;
	move_result_set(&t->report->moved, STATE_FAILED, MOVE_NO_SUCH_DEVICE,
			"another device has the name %s %s now", d->bus, d->name);
	return false;
}

/* A policy directory that cannot be listed may contain an earlier rule. */
static void rebind_refuse_policy(const struct rebind_run *run, const struct rebind_target *t,
				 const struct policy *policy)
{
	const struct policy_error *e = policy->errors;

	while (e < policy->errors + policy->n_errors && !settings_is_conf_dir(run->settings, e->file))
		e++;
	move_result_set(&t->report->moved, STATE_FAILED, MOVE_POLICY_INVALID, "%.256s: %.200s", e->file,
			e->text);
}

/* A dry run's is only so that whoever waits for the device knows of a child that was left behind: see
 * recovery.h. */
static int rebind_lock_device(const struct rebind_run *run, const struct sysfs_device *d)
{
	const char *state_dir = run->settings->state_dir;

	return run->options->dry_run ? device_look_lock_acquire(state_dir, d->bus, d->name)
				     : device_lock_acquire(state_dir, d->bus, d->name, run->deadline);
}

/*
 * With the device locked: another process may have changed the policy and moved the device meanwhile, and the
 * last one to move it must know the last policy.
 */
static int rebind_worker_read_policy(struct rebind_worker *w)
{
	const struct rebind_run *run = w->run;
	int r;

	if (w->policy && policy_is_current(w->policy, run->settings))
		return 0;
	w->policy = policy_free(w->policy);
	r = policy_load(run->settings, &w->policy);
	if (r < 0)
		return r;
	if (w->is_first && !run->options->dry_run && !w->policy->incomplete)
		policy_copies_update(run->settings->state_dir, w->policy);
	w->is_first = false;
	if (w->policy->has_groups)
		atomic_store(&run->shared->has_groups, true);
	return 0;
}

static int rebind_move_device(const struct rebind_run *run, const struct rebind_target *t,
			      const struct policy *policy)
{
	struct move_options options = *run->options;
	struct sysfs_device *d = t->device;
	enum device_state before;
	struct decision decision;
	int r;

	/* Ask the group only where it decides: another member may be slow to answer. */
	policy_decide_own(policy, &d->device, &decision);
	if (!decision.rule && policy->has_groups) {
		r = policy_decide(policy, &d->device, &decision);
		if (r < 0)
			return r;
	}
	options.policy = policy;
	options.search = run->search;
	before = apply_recorded_state(d);
	move_device(&decision, &options, &t->report->moved);
	if (!options.dry_run)
		apply_announce_state(d, before);
	rebind_check_device_gone(d, &t->report->moved);
	return 0;
}

static void rebind_refuse_locked(const struct rebind_target *t)
{
	move_result_set(&t->report->moved, STATE_STUCK, MOVE_STUCK, "another rebind of it has not come back");
}

static void rebind_target_run(struct rebind_worker *w, const struct rebind_target *t)
{
	const struct rebind_run *run = w->run;
	_cleanup_(closep) int lock = rebind_lock_device(run, t->device);
	struct move_result *m = &t->report->moved;
	int r = 0;

	if (lock == -ETIMEDOUT)
		rebind_refuse_locked(t);
	else if (lock < 0 && !run->options->dry_run)
		move_result_set(m, STATE_FAILED, MOVE_FAILED, "locking it under %s: %s",
				run->settings->state_dir, strerror(-lock));
	if (lock < 0 && !run->options->dry_run)
		return;
	atomic_store(&t->report->locked, true);
	if (rebind_device_is_meant_or_refuse(t)) {
		r = rebind_worker_read_policy(w);
		if (r >= 0 && w->policy->incomplete)
			rebind_refuse_policy(run, t, w->policy);
		else if (r >= 0)
			r = rebind_move_device(run, t, w->policy);
	}
	if (r < 0)
		move_result_set(m, STATE_FAILED, MOVE_FAILED, "%s", strerror(-r));
	atomic_store(&t->report->done, true);
}

/* Too little time is left to begin the i-th target. */
static bool rebind_is_late(const struct rebind_run *run, size_t i)
{
	return i > 0 && now_usec() >= run->last_begin;
}

static int rebind_worker_run(void *userdata)
{
	/* What it reads of devices is not freed: this process ends with its work. */
	struct rebind_worker *w = userdata;
	const struct rebind_run *run = w->run;

	for (;;) {
		size_t i = atomic_fetch_add(&run->shared->next, 1);
		const struct rebind_target *t = &run->targets[i];

		if (i >= run->n || rebind_is_late(run, i))
			return 0;
		if (!t->device)
			continue;
		atomic_store(&t->report->begun, true);
		atomic_store(w->target, i + 1);
		t->device->sysfs->progress = &t->report->progress;
		rebind_target_run(w, t);
	}
}

/* Whose file the child waits for: another member of the group may have been asked what the policy needs to
 * know.
 */
static struct sysfs_device *rebind_awaited_device(const struct rebind_target *t)
{
	struct device **members;
	size_t n;

	if (t->device->device.ops->group(&t->device->device, &members, &n) < 0)
		return t->device;
	for (size_t i = 0; i < n; i++)
		if (t->report->progress.device == to_sysfs_device(members[i]))
			return to_sysfs_device(members[i]);
	return t->device;
}

/* The worker did not come back: the parent says so for it, without asking the kernel anything that may sleep.
 */
static void rebind_give_up(const struct rebind_run *run, const struct rebind_target *t)
{
	struct move_result *m = &t->report->moved;
	char doing[256];

	if (!atomic_load(&t->report->locked)) {
		rebind_refuse_locked(t);
		return;
	}
	progress_text(&t->report->progress, doing, sizeof(doing));
	move_result_set(m, STATE_STUCK, MOVE_STUCK, "%s did not come back", doing);
	bound_driver(t->device, m->driver, sizeof(m->driver));
	if (!run->options->dry_run)
		apply_record_stuck(rebind_awaited_device(t), doing);
}

static uint64_t usec_until(uint64_t deadline)
{
	uint64_t now = now_usec();

	return deadline > now ? deadline - now : 0;
}

static bool rebind_target_is_open(const struct rebind_target *t)
{
	return t->device && !atomic_load(&t->report->done);
}

/* The device that the worker was at when it ended, or was given up, is not done. */
static void rebind_worker_end(struct rebind_worker *w, struct child_result result)
{
	const size_t at = atomic_load(w->target);
	const struct rebind_target *t = at ? &w->run->targets[at - 1] : NULL;

	w->runs = false;
	if (result.how == CHILD_TIMED_OUT)
		child_abandon(&w->child);
	if (!t || result.how == CHILD_OK || !rebind_target_is_open(t))
		return;
	if (result.how == CHILD_TIMED_OUT)
		rebind_give_up(w->run, t);
	else
		move_result_set(&t->report->moved, STATE_FAILED, MOVE_FAILED, "%s",
				child_result_text(result));
}

/* Looks after all workers once: true if it makes no sense to start another one. */
static bool rebind_workers_check(const struct rebind_run *run, struct rebind_worker *workers, size_t n,
				 struct child_result *last)
{
	uint64_t now = now_usec();
	size_t busy = 0;

	for (struct rebind_worker *w = workers; w < workers + n; w++) {
		const size_t at = w->runs ? atomic_load(w->target) : 0;
		struct child_result result;

		if (!w->runs)
			continue;
		result = child_wait(&w->child, 0);
		if (result.how != CHILD_TIMED_OUT) {
			*last = result;
			rebind_worker_end(w, result);
			continue;
		}
		if (at != w->seen) {
			w->since = w->seen ? now : w->since; /* at the first it has been since its start */
			w->seen = at;
		}
		busy += now - w->since < SLOW_USEC;
	}
	return busy >= (run->options->dry_run ? DRY_RUNS_MAX : MOVES_MAX);
}

static void rebind_workers_wait(const struct rebind_worker *workers, size_t n, uint64_t deadline)
{
	struct pollfd *fds = calloc(n + 1, sizeof(*fds));
	uint64_t usec = usec_until(deadline);
	nfds_t k = 0;

	/* The wait ends in time to notice a worker that has become slow. */
	if (usec > SLOW_USEC)
		usec = SLOW_USEC;
	for (size_t i = 0; fds && i < n; i++)
		if (workers[i].runs)
			fds[k++] = (struct pollfd){ .fd = workers[i].child.pidfd, .events = POLLIN };
	(void)poll(fds, k, (int)(usec / 1000U) + 1);
	free(fds);
}

static int rebind_worker_start(struct rebind_worker *w, bool is_first)
{
	w->since = now_usec();
	w->is_first = is_first;
	return child_start(&w->child, CHILD_COPY, rebind_worker_run, w);
}

static bool rebind_workers_run_any(const struct rebind_worker *workers, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (workers[i].runs)
			return true;
	return false;
}

/* There are targets that no worker has taken, and the last one could be started. */
static bool rebind_needs_worker(const struct rebind_run *run, size_t n, struct child_result last)
{
	const size_t next = atomic_load(&run->shared->next);

	return n < run->n && next < run->n && !rebind_is_late(run, next) && last.how != CHILD_FAILED;
}

/* As many workers as there are targets do, even if none of them comes back. */
static struct child_result rebind_with_workers(struct rebind_run *run, struct rebind_worker *workers)
{
	struct child_result last = { CHILD_OK, 0 };
	size_t n = 0;

	do {
		while (rebind_needs_worker(run, n, last) && !rebind_workers_check(run, workers, n, &last)) {
			int r = rebind_worker_start(&workers[n], n == 0);

			if (r < 0) {
				last = (struct child_result){ CHILD_FAILED, r };
				break;
			}
			workers[n++].runs = true;
		}
		rebind_workers_wait(workers, n, run->deadline);
		(void)rebind_workers_check(run, workers, n, &last);
	} while ((rebind_workers_run_any(workers, n) || rebind_needs_worker(run, n, last)) &&
		 usec_until(run->deadline) > 0);
	for (size_t i = 0; i < n; i++)
		if (workers[i].runs)
			rebind_worker_end(&workers[i], (struct child_result){ CHILD_TIMED_OUT, 0 });
	return last;
}

/* What no worker has come to. */
static void rebind_refuse_rest(struct rebind_run *run, struct child_result last)
{
	for (struct rebind_target *t = run->targets; t < run->targets + run->n; t++) {
		if (!rebind_target_is_open(t) || atomic_load(&t->report->begun))
			continue;
		if (last.how == CHILD_FAILED || last.how == CHILD_KILLED)
			move_result_set(&t->report->moved, STATE_FAILED, MOVE_FAILED, "%s",
					child_result_text(last));
		else
			move_result_set(&t->report->moved, STATE_PENDING, MOVE_NOT_BEGUN,
					"other devices took all the time; nothing was done");
	}
}

/* The first target of a group enforces the group for all its members: each of these has been moved by now. */
static bool rebind_target_has_group_to_do(const struct rebind_run *run, const struct rebind_target *t)
{
	if (!t->device || !atomic_load(&t->report->done) || t->report->moved.error == MOVE_NO_SUCH_DEVICE ||
	    !group_has_other_members(t->device))
		return false;
	for (const struct rebind_target *before = run->targets; before < t; before++)
		if (before->device && before->device->group_id && t->device->group_id &&
		    streq(before->device->group_id, t->device->group_id) &&
		    atomic_load(&before->report->done) && before->report->moved.error != MOVE_NO_SUCH_DEVICE)
			return false;
	return true;
}

static int rebind_groups_child_run(void *userdata)
{
	const struct rebind_run *run = userdata;
	struct policy *policy;
	int r = policy_load(run->settings, &policy);

	/* As above, nothing is freed. */
	for (struct rebind_target *t = run->targets; r >= 0 && t < run->targets + run->n; t++)
		if (rebind_target_has_group_to_do(run, t))
			r = group_enforce(policy, t->device, run->deadline - REST_USEC);
	return r;
}

/* Without the devices' locks: the other members are no reason to refuse a device. */
static void rebind_groups(struct rebind_run *run)
{
	const struct rebind_target *first = run->targets;
	struct child_result result;
	struct child child;

	while (first < run->targets + run->n && !rebind_target_has_group_to_do(run, first))
		first++;
	if (first == run->targets + run->n)
		return;
	result = child_run(&child, CHILD_COPY, rebind_groups_child_run, run, usec_until(run->deadline));
	if (result.how == CHILD_TIMED_OUT)
		child_abandon(&child);
	if (result.how != CHILD_OK)
		log_line(LOG_WARNING, "%s %s: the other members of its group are not done: %s",
			 first->device->bus, first->device->name, child_result_text(result));
}

/* About the users of several devices; those of the functions of one card are asked about with each of them.
 */
static bool rebind_asks_more_than_once(const struct rebind_run *run)
{
	return run->n > 1 || (run->targets[0].device && group_has_other_members(run->targets[0].device));
}

static void rebind_run_all(struct rebind_run *run)
{
	const size_t size = sizeof(*run->shared) + run->n * sizeof(_Atomic(size_t));
	struct rebind_worker *workers = calloc(run->n + 1, sizeof(*workers));
	struct sysfs_device **devices = calloc(run->n + 1, sizeof(*devices));
	struct in_use_search *search = NULL;
	struct child_result last = { CHILD_FAILED, -ENOMEM };
	_Atomic(size_t) *at;

	run->shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (size_t i = 0; devices && i < run->n; i++)
		devices[i] = run->targets[i].device;
	if (devices && rebind_asks_more_than_once(run))
		search = in_use_search_of(devices, run->n);
	run->search = search;
	if (run->shared != MAP_FAILED && workers) {
		at = (_Atomic(size_t) *)(run->shared + 1);
		for (size_t i = 0; i < run->n; i++)
			workers[i] = (struct rebind_worker){ .run = run, .target = &at[i] };
		last = rebind_with_workers(run, workers);
	}
	rebind_refuse_rest(run, last);
	if (run->shared != MAP_FAILED && !run->options->dry_run && atomic_load(&run->shared->has_groups))
		rebind_groups(run);
	if (run->shared != MAP_FAILED)
		(void)munmap(run->shared, size);
	(void)in_use_search_free(search);
	free(devices);
	free(workers);
}

/* Finds the device, and refuses what cannot be moved. */
static void rebind_target_find(struct rebind_target *t, struct sysfs *sysfs)
{
	struct move_result *m = &t->report->moved;
	struct device **members;
	size_t n;
	int r = sysfs_device_lookup(sysfs, t->name, &t->device);

	if (r < 0)
		move_result_set(m, STATE_FAILED,
				r == -ENODEV || r == -ENAMETOOLONG ? MOVE_NO_SUCH_DEVICE
				: r == -EINVAL || r == -ENOTUNIQ   ? MOVE_INVALID
								   : MOVE_FAILED,
				"%.256s: %s", t->name, sysfs_lookup_error(r));
	else if (!sysfs_device_is_supported(t->device)) {
		move_result_set(m, STATE_FAILED, MOVE_NOT_SUPPORTED, "%s %s has no driver_override",
				t->device->bus, t->device->name);
		t->device = sysfs_device_free(t->device);
	} else
		/* The parent must know the members as well: a child may be waiting for a file of theirs. */
		(void)t->device->device.ops->group(&t->device->device, &members, &n);
}

void rebind_run_named(struct rebind_run *run)
{
	const uint64_t third = usec_until(run->deadline) / 3;
	struct sysfs sysfs;

	run->last_begin = run->deadline - (third < LEAST_USEC ? third : LEAST_USEC);
	sysfs_init(&sysfs, run->settings);
	for (size_t i = 0; i < run->n; i++)
		rebind_target_find(&run->targets[i], &sysfs);
	rebind_run_all(run);
	for (size_t i = 0; i < run->n; i++)
		sysfs_device_free(run->targets[i].device);
	sysfs_done(&sysfs);
}
