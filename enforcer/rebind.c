/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The verb `rebind`: makes one device as the policy says, unbinding it if needed, for a person or a service
 * that waits. A child does it and may be left behind; the parent answers within the deadline, in KEY=value
 * lines on stdout.
 *
 * A device is rebound by one process at a time. The lock belongs to the open file, which the child has as
 * well: a child that was left behind keeps it until it has come back from the kernel, so no second one
 * follows it. The group's other members are handled afterwards, without the lock: they are no reason to
 * refuse the device.
 */
#include "enforce/apply-record.h"
#include "enforce/group.h"
#include "base/child.h"
#include "base/log.h"
#include "base/macro.h"
#include "base/text.h"
#include "base/time.h"
#include "enforcer/verbs.h"
#include "enforce/move.h"
#include "state/policy-copy.h"
#include "state/state-lock.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define TIMEOUT_MAX 3600U
/* Left for the parent when the time of the group is up. */
#define REST_USEC 100000U

/* In memory that parent and child share. */
struct rebind_report {
	struct progress progress;
	struct move_result moved;
	_Atomic(bool) done;	  /* `moved` is complete */
	_Atomic(bool) has_groups; /* the policy has rules for groups */
};

struct rebind_run {
	const struct settings *settings;
	const struct move_options *options;
	struct sysfs_device *device;
	struct rebind_report *report;
	uint64_t deadline;
	uint64_t inode; /* of the device that the caller means; 0: whichever has the name */
};

/* A device that has gone meanwhile is no failure of a step, so the error says that it has gone. */
static void rebind_check_device_gone(const struct sysfs_device *d, struct move_result *m)
{
	struct sysfs_device now = *d;

	if (m->error == MOVE_FAILED && (sysfs_device_stat(&now) == -ENODEV || now.inode != d->inode))
		move_result_set(m, STATE_FAILED, MOVE_NO_SUCH_DEVICE, "it has gone");
}

/* Refuses a device that is not the one that the caller meant, but has its name since. */
static bool rebind_device_is_meant_or_refuse(const struct rebind_run *w)
{
	struct sysfs_device *d = w->device;

	if (!w->inode || (sysfs_device_stat(d) >= 0 && d->inode == w->inode))
		return true;
	move_result_set(&w->report->moved, STATE_FAILED, MOVE_NO_SUCH_DEVICE,
			"another device has the name %s %s now", d->bus, d->name);
	atomic_store(&w->report->done, true);
	return false;
}

/* A policy directory that cannot be listed may contain an earlier rule. */
static void rebind_refuse_policy(const struct rebind_run *w, const struct policy *policy)
{
	const struct policy_error *e = policy->errors;

	while (e < policy->errors + policy->n_errors && !settings_is_conf_dir(w->settings, e->file))
		e++;
	move_result_set(&w->report->moved, STATE_FAILED, MOVE_POLICY_INVALID, "%.256s: %.200s", e->file,
			e->text);
	atomic_store(&w->report->done, true);
}

static int rebind_child_run(void *userdata)
{
	const struct rebind_run *w = userdata;
	struct sysfs_device *d = w->device;
	struct move_result *moved = &w->report->moved;
	struct move_options options = *w->options;
	enum device_state before;
	struct policy *policy;
	struct decision decision;
	int r;

	/* Here the device is locked, and the wait for the lock is over. */
	if (!rebind_device_is_meant_or_refuse(w))
		return 0;
	/* Nothing is freed: this process ends with its work. */
	r = policy_load(w->settings, &policy);
	if (r < 0)
		return r;
	if (policy->incomplete) {
		rebind_refuse_policy(w, policy);
		return 0;
	}
	if (!w->options->dry_run)
		policy_copies_update(w->settings->state_dir, policy);

	/* Ask the group only where it decides: another member may be slow to answer. */
	policy_decide_own(policy, &d->device, &decision);
	if (!decision.rule && policy->has_groups) {
		r = policy_decide(policy, &d->device, &decision);
		if (r < 0)
			return r;
	}
	options.policy = policy;
	before = apply_recorded_state(d);
	move_device(&decision, &options, moved);
	if (!options.dry_run)
		apply_announce_state(d, before);
	rebind_check_device_gone(d, moved);
	atomic_store(&w->report->has_groups, policy->has_groups);
	atomic_store(&w->report->done, true);
	return 0;
}

static int rebind_group_child_run(void *userdata)
{
	const struct rebind_run *w = userdata;
	struct policy *policy;
	int r = policy_load(w->settings, &policy);

	/* As above, nothing is freed. */
	return r < 0 ? r : group_enforce(policy, w->device, w->deadline - REST_USEC);
}

/* Control characters become spaces: an override is anybody's text and must not begin another line. */
static void answer_print_line(const char *key, const char *value)
{
	(void)printf("%s=", key);
	for (const char *s = value; *s; s++)
		(void)putchar((unsigned char)*s < ' ' ? ' ' : *s);
	(void)putchar('\n');
}

static int answer_print(const struct move_result *m)
{
	answer_print_line("STATE", device_state_to_string(m->state));
	answer_print_line("REASON", m->reason);
	if (m->error != MOVE_DONE)
		answer_print_line("ERROR", move_error_to_string(m->error));
	answer_print_line("DRIVER", m->driver);
	answer_print_line("OVERRIDE", m->override);
	answer_print_line("DECISION", m->decision);
	answer_print_line("CHANGED", m->changed ? "1" : "0");
	return m->error == MOVE_DONE ? 0 : 1;
}

/* Whose file the child waits for: another member of the group may have been asked what the policy needs to
 * know.
 */
static struct sysfs_device *rebind_awaited_device(const struct rebind_run *w)
{
	struct device **members;
	size_t n;

	if (w->device->device.ops->group(&w->device->device, &members, &n) < 0)
		return w->device;
	for (size_t i = 0; i < n; i++)
		if (w->report->progress.device == to_sysfs_device(members[i]))
			return to_sysfs_device(members[i]);
	return w->device;
}

/* The child did not come back: the parent says so for it, without asking the kernel anything that may sleep.
 */
static void rebind_give_up(struct child *child, const struct rebind_run *w)
{
	struct move_result *m = &w->report->moved;
	char doing[256];

	progress_text(&w->report->progress, doing, sizeof(doing));
	child_abandon(child);
	move_result_set(m, STATE_STUCK, MOVE_STUCK, "%s did not come back", doing);
	bound_driver(w->device, m->driver, sizeof(m->driver));
	if (!w->options->dry_run)
		apply_record_stuck(rebind_awaited_device(w), doing);
}

static uint64_t usec_until(uint64_t deadline)
{
	uint64_t now = now_usec();

	return deadline > now ? deadline - now : 0;
}

/* A dry run's is only so that whoever waits for the device knows of a child that was left behind: see
 * recovery.h. */
static int rebind_lock_device(const struct rebind_run *w)
{
	const char *state_dir = w->settings->state_dir, *bus = w->device->bus, *name = w->device->name;

	return w->options->dry_run ? device_look_lock_acquire(state_dir, bus, name)
				   : device_lock_acquire(state_dir, bus, name, w->deadline);
}

/* Refuses, with the reason in the report, where the device itself could not be handled. */
static bool rebind_device_or_refuse(const struct rebind_run *w)
{
	struct move_result *m = &w->report->moved;
	_cleanup_(closep) int lock = rebind_lock_device(w);
	struct child_result result;
	struct child child;

	if (lock < 0 && !w->options->dry_run) {
		if (lock == -ETIMEDOUT)
			move_result_set(m, STATE_STUCK, MOVE_STUCK, "another rebind of it has not come back");
		else
			move_result_set(m, STATE_FAILED, MOVE_FAILED, "locking it under %s: %s",
					w->settings->state_dir, strerror(-lock));
		return false;
	}
	result = child_run(&child, CHILD_COPY, rebind_child_run, (void *)(uintptr_t)w,
			   usec_until(w->deadline));
	if (atomic_load(&w->report->done)) {
		if (result.how == CHILD_TIMED_OUT)
			child_abandon(&child); /* about to end */
		return true;
	}
	if (result.how == CHILD_TIMED_OUT)
		rebind_give_up(&child, w);
	else
		move_result_set(m, STATE_FAILED, MOVE_FAILED, "%s", child_result_text(result));
	return false;
}

static void rebind_group(const struct rebind_run *w)
{
	struct child_result result;
	struct child child;

	result = child_run(&child, CHILD_COPY, rebind_group_child_run, (void *)(uintptr_t)w,
			   usec_until(w->deadline));
	if (result.how == CHILD_TIMED_OUT)
		child_abandon(&child);
	if (result.how != CHILD_OK)
		log_line(LOG_WARNING, "%s %s: the other members of its group are not done: %s",
			 w->device->bus, w->device->name, child_result_text(result));
}

static void rebind_device_and_group(const struct rebind_run *w)
{
	if (rebind_device_or_refuse(w) && atomic_load(&w->report->has_groups) && !w->options->dry_run &&
	    w->report->moved.error != MOVE_NO_SUCH_DEVICE && group_has_other_members(w->device))
		rebind_group(w);
}

static void rebind_named_device(const struct settings *settings, const struct rebind_options *options,
				const char *name, struct rebind_report *report)
{
	struct rebind_run w = { .settings = settings,
				.options = &options->move,
				.report = report,
				.deadline = now_usec() + options->timeout_usec,
				.inode = options->inode };
	struct move_result *m = &report->moved;
	struct device **members;
	struct sysfs sysfs;
	size_t n;
	int r;

	sysfs_init(&sysfs, settings);
	r = sysfs_device_lookup(&sysfs, name, &w.device);
	if (r >= 0) {
		/* The parent must know the members as well: the child may be waiting for a file of theirs. */
		(void)w.device->device.ops->group(&w.device->device, &members, &n);
		sysfs.progress = &report->progress;
	}
	if (r < 0)
		move_result_set(m, STATE_FAILED,
				r == -ENODEV || r == -ENAMETOOLONG ? MOVE_NO_SUCH_DEVICE
				: r == -EINVAL || r == -ENOTUNIQ   ? MOVE_INVALID
								   : MOVE_FAILED,
				"%.256s: %s", name, sysfs_lookup_error(r));
	else if (!sysfs_device_is_supported(w.device))
		move_result_set(m, STATE_FAILED, MOVE_NOT_SUPPORTED, "%s %s has no driver_override",
				w.device->bus, w.device->name);
	else
		rebind_device_and_group(&w);
	sysfs_device_free(w.device);
	sysfs_done(&sysfs);
}

static int rebind_option_mode(struct rebind_options *o, const char *argument)
{
	return rebind_from_string(argument, &o->move.rebind) < 0 ? -EINVAL : 1;
}

static int rebind_option_inode(struct rebind_options *o, const char *argument)
{
	char *end;

	errno = 0;
	o->inode = strtoull(argument, &end, 10);
	return argument[0] < '0' || argument[0] > '9' || *end || errno || !o->inode ? -EINVAL : 1;
}

static int rebind_option_timeout(struct rebind_options *o, const char *argument)
{
	char *end;
	unsigned long seconds = strtoul(argument, &end, 10);

	if (argument[0] < '0' || argument[0] > '9' || *end || seconds < 1 || seconds > TIMEOUT_MAX)
		return -EINVAL;
	o->timeout_usec = seconds * 1000000U;
	return 1;
}

int rebind_option(struct rebind_options *o, int option, const char *argument)
{
	if (option < OPTION_REBIND || option > OPTION_TIMEOUT)
		return 0;
	switch ((enum rebind_option)option) {
	case OPTION_REBIND:
		return rebind_option_mode(o, argument);
	case OPTION_OVERWRITE:
		o->move.overwrite = true;
		break;
	case OPTION_ONLY_IF_CHANGED:
		o->move.only_if_changed = true;
		break;
	case OPTION_RELEASE:
		o->move.release = true;
		break;
	case OPTION_KEEP_RELEASED:
		o->move.keep_released = true;
		break;
	case OPTION_DRY_RUN:
		o->move.dry_run = true;
		break;
	case OPTION_LOOK_ONLY:
		o->move.look_only = true;
		break;
	case OPTION_INODE:
		return rebind_option_inode(o, argument);
	case OPTION_TIMEOUT:
		return rebind_option_timeout(o, argument);
	}
	return 1;
}

int verb_rebind(const struct settings *settings, const struct rebind_options *options, const char *device)
{
	struct rebind_report *report =
		mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (report == MAP_FAILED) {
		log_line(LOG_ERR, "rebind: %m");
		return 1;
	}
	if (settings_turned_off(settings))
		move_result_set(&report->moved, STATE_UNMANAGED, MOVE_DONE,
				"turned off by driver_overrides=off on the kernel command line");
	else
		rebind_named_device(settings, options, device, report);
	return answer_print(&report->moved);
}
