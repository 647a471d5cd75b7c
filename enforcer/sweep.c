/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The verb `sweep`: all devices present. One child handles them in turn. If a device makes the child hang,
 * the device is recorded as stuck and another child continues with the next, so no device waits for another.
 */
#include "enforce/apply.h"
#include "base/child.h"
#include "base/errno.h"
#include "base/log.h"
#include "base/macro.h"
#include "enforce/apply-record.h"
#include "enforcer/boot.h"
#include "enforcer/sweep-boot.h"
#include "enforcer/verbs.h"
#include "policy/policy-in-force.h"
#include "policy/rule-index.h"
#include "state/image-note.h"
#include "state/policy-copy.h"
#include "state/service-wanted.h"
#include "state/state-file.h"
#include "sysfs/iommu.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>

#define DEVICE_USEC 2000000U

/* In memory that parent and child share. */
struct sweep_report {
	struct progress progress;
	_Atomic(size_t) next; /* devices before this one are done */
	_Atomic(size_t) wrote;
	_Atomic(size_t) unrecorded; /* devices whose record could not be written */
	atomic_bool decided;	    /* something is decided about a device */
};

struct sweep {
	const struct policy *policy;
	struct sysfs_device **v;
	size_t n;
	struct sweep_report *report;
	enum occasion occasion;
	bool unlisted; /* the list of present devices could not be written */
};

/* Members of a group are next to each other in the list, and are decided together. */
static size_t sweep_group_end(const struct sweep *s, size_t i)
{
	return s->v[i]->n_members > 1 ? i + s->v[i]->n_members : i + 1;
}

static int sweep_group(const struct sweep *s, size_t from, size_t end, size_t first)
{
	_cleanup_(freep) struct decision *decisions = calloc(end - from, sizeof(*decisions));
	struct device *alone[] = { &s->v[from]->device };
	struct sysfs_device *head = s->v[from];

	if (!decisions)
		return -ENOMEM;
	policy_decide_group(s->policy, head->n_members > 0 ? head->members : alone, end - from, decisions);

	for (size_t i = first; i < end; i++) {
		struct outcome outcome = {};

		if (!s->v[i]->unreadable)
			apply_decision(&decisions[i - from], s->occasion, &outcome);
		if (!decision_is_nothing(&decisions[i - from]))
			atomic_store(&s->report->decided, true);
		if (outcome.wrote)
			atomic_fetch_add(&s->report->wrote, 1);
		if (outcome.unrecorded)
			atomic_fetch_add(&s->report->unrecorded, 1);
		if (outcome.state == STATE_FAILED)
			outcome_log_failure(&decisions[i - from], &outcome);
		atomic_store(&s->report->next, i + 1);
	}
	return 0;
}

static int sweep_child_run(void *userdata)
{
	const struct sweep *s = userdata;
	size_t first = atomic_load(&s->report->next);

	for (size_t i = 0, end; i < s->n; i = end) {
		int r;

		end = sweep_group_end(s, i);
		if (end <= first)
			continue;
		r = sweep_group(s, i, end, first > i ? first : i);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The child waits for a file of `stuck`: leaves that device out from now on, and records why. */
static void sweep_give_up_device(struct sweep *s, const struct sysfs_device *stuck)
{
	char doing[256];

	for (size_t i = 0; i < s->n; i++) {
		if (s->v[i] != stuck || s->v[i]->unreadable)
			continue;
		s->v[i]->unreadable = true;
		progress_text(&s->report->progress, doing, sizeof(doing));
		apply_record_stuck(s->v[i], doing);
		log_line(LOG_ERR, "%s %s: timed out after %u s while %s, leaving it as it is", s->v[i]->bus,
			 s->v[i]->name, DEVICE_USEC / 1000000U, doing);
		return;
	}
	/* The file is not of a device in the list, or of one that hangs a second time: skip one device. */
	atomic_fetch_add(&s->report->next, 1);
}

static int sweep_run_children(struct sweep *s)
{
	struct child_result result;
	struct child child;

	while (atomic_load(&s->report->next) < s->n) {
		int r = child_start(&child, CHILD_COPY, sweep_child_run, s);

		if (r < 0)
			return r;
		for (;;) {
			size_t before = atomic_load(&s->report->next);
			const struct sysfs_device *device = s->report->progress.device;

			result = child_wait(&child, DEVICE_USEC);
			if (result.how != CHILD_TIMED_OUT)
				return child_result_errno(result);
			if (atomic_load(&s->report->next) == before && s->report->progress.device == device) {
				child_abandon(&child);
				sweep_give_up_device(s, device);
				break;
			}
		}
	}
	return 0;
}

static int sweep_listed_devices(struct sweep *s, const struct settings *settings)
{
	const size_t n_rules = s->policy->n_rules;
	int r = n_rules > 0 ? sweep_run_children(s) : 0;

	/* After a soft-reboot no device has an event of its own, by which udev's rule would have it started.
	 */
	if (atomic_load(&s->report->decided))
		service_want(settings->state_dir);
	if (r >= 0)
		log_line(atomic_load(&s->report->wrote) > 0 ? LOG_INFO : LOG_DEBUG,
			 "sweep: %zu devices, %zu rules, %zu overrides written", s->n, n_rules,
			 atomic_load(&s->report->wrote));
	return r;
}

static void sweep_begin_boot(const struct settings *settings)
{
	enum policy_failure failure;

	/* Where the root file system cannot be written yet, the boot is counted a little later. */
	boot_begin_or_log(settings, true);
	if (policy_has_failed(settings, &failure) && failure == FAILURE_COUNTED)
		last_good_give_back(settings);
}

static int sweep_all_devices(struct sweep *s, const struct settings *settings, bool at_boot)
{
	struct policy *policy = NULL;
	struct sysfs sysfs;
	int r;

	sysfs_init(&sysfs, settings);
	sysfs.progress = &s->report->progress;
	r = image_digest_keep(settings);
	if (r < 0)
		log_errno(LOG_WARNING, r,
			  IMAGE_DIGEST ": %m, so nobody will know which policy this image has");

	if (at_boot)
		sweep_begin_boot(settings);

	/* At boot, nothing waits for a file that somebody is writing right now. */
	r = at_boot ? policy_load(settings, &policy) : policy_load_settled(settings, &policy);
	if (r < 0)
		return r;
	/* Without the index each rule is tried, which takes longer. */
	ignore_error(policy_build_index(policy));
	s->policy = policy;
	policy_copies_update(settings->state_dir, policy);
	policy_copies_clean(settings->state_dir, policy);
	state_dir_remove_temporary(settings->state_dir);
	for (size_t i = 0; i < policy->n_errors; i++)
		if (policy->errors[i].line == 0 && settings_is_conf_dir(settings, policy->errors[i].file))
			log_line(LOG_ERR, "%s: %s", policy->errors[i].file, policy->errors[i].text);

	r = sysfs_enumerate(&sysfs, &s->v, &s->n);
	if (r < 0)
		return r;
	r = sweep_write_boot_devices(settings, s->v, s->n);
	/*
	 * Where the package was installed later, the first sweep may be any time after the boot: nothing is
	 * known of first probes then. Only at boot are all links of devices made; later a virtual function
	 * may be appearing right now.
	 */
	sysfs.settled = r == 1 && at_boot && !coldplug_has_begun(settings);
	s->occasion = sysfs.settled ? OCCASION_BOOT : OCCASION_LATER;
	s->unlisted = r < 0;
	if (s->unlisted)
		log_errno(
			LOG_WARNING, r,
			"sweep: cannot write the list of present devices under %s: %m, so Group=hold leaves "
			"all devices alone",
			settings->state_dir);
	return sweep_listed_devices(s, settings);
}

/* A unit that is green must mean that all later programs know what was done here. */
static bool sweep_is_recorded_or_log(const struct sweep *s, const struct settings *settings)
{
	const size_t n = atomic_load(&s->report->unrecorded);

	if (n > 0)
		log_line(LOG_ERR,
			 "sweep: %s cannot be written: %zu devices have no record, so only Driver=none is "
			 "enforced on them",
			 settings->state_dir, n);
	return n == 0 && !s->unlisted;
}

int verb_sweep(const struct settings *settings, bool at_boot)
{
	static struct sweep s; /* devices and rules live until the process ends */
	int r;

	s.report = mmap(NULL, sizeof(*s.report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	r = s.report == MAP_FAILED ? negative_errno() : sweep_all_devices(&s, settings, at_boot);
	if (r < 0) {
		log_errno(LOG_ERR, r, "sweep");
		return 1;
	}
	return sweep_is_recorded_or_log(&s, settings) ? 0 : 1;
}
