/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The verb `event`: one device's `add` event. udev processes the device's other rules only after we have
 * answered, so we answer within two seconds whatever the kernel does: a child does all the work, the parent
 * waits for it and prints properties.
 */
#include "enforce/apply-record.h"
#include "base/child.h"
#include "base/log.h"
#include "base/text.h"
#include "base/time.h"
#include "enforce/group.h"
#include "enforce/node-rule.h"
#include "enforcer/property.h"
#include "enforcer/verbs.h"
#include "state/policy-copy.h"
#include "state/service-wanted.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The child's part of the two seconds for an event; the rest is for what comes before and after it. */
#define EVENT_USEC 1800000U
/* The group ends before that, and the log names the member that did not answer. */
#define GROUP_USEC 1500000U

/* In memory that parent and child share. The child writes a part, then sets the stage. */
struct event {
	const struct settings *settings;
	const char *named;   /* the device as a caller named it; NULL: udev's devpath counts */
	const char *writer;  /* the other program that wrote its override last; "": not known */
	const char *devpath; /* for messages, too */
	const char *bus;
	enum occasion occasion;
	uint64_t group_deadline;
	struct progress progress;
	_Atomic(int) stage;
	/* from stage 1 */
	char driver[DRIVER_NAME_MAX + 1];
	char rule[256];
	char source[PATH_MAX];
	char modalias[DRIVER_NAME_MAX + 1];
	/* from stage 2 */
	enum device_state state;
};

enum {
	STAGE_STARTED,
	STAGE_DECIDED,
	STAGE_DONE,
};

/* Whether udev's kmod builtin takes it as one word. */
static bool is_module_word(const char *s)
{
	return *s && *s != '-' &&
	       !s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+.:*,")];
}

static void event_set_decision(struct event *e, const struct decision *decision)
{
	const struct rule *rule = decision->rule;

	if (decision_is_nothing(decision) || apply_is_released(to_sysfs_device(decision->device)))
		return;
	if (decision->kind != DECISION_UNKNOWN)
		text_copy(e->driver, sizeof(e->driver), decision_text(decision));
	text_copy(e->rule, sizeof(e->rule), rule->label);
	rule_source(rule, e->source, sizeof(e->source));
	/*
	 * The module of the rule, else the driver's name. Where the module has another name, the device's
	 * aliases find it; udev loads those for every device anyway, and the override admits only the decided
	 * driver.
	 */
	if (decision->kind == DECISION_DRIVER) {
		const char *module = decision->module ? decision->module : decision->driver;

		if (is_module_word(module))
			text_copy(e->modalias, sizeof(e->modalias), module);
	}
	atomic_store(&e->stage, STAGE_DECIDED);
}

static void event_apply_own(struct event *e, const struct decision *decision)
{
	struct sysfs_device *d = to_sysfs_device(decision->device);
	const enum device_state before = apply_recorded_state(d);
	struct outcome outcome;

	event_set_decision(e, decision);
	if (e->writer[0])
		apply_decision_after(decision, e->writer, &outcome);
	else
		apply_decision(decision, e->occasion, &outcome);
	if (outcome.state == STATE_FAILED)
		outcome_log_failure(decision, &outcome);
	if (decision_is_nothing(decision))
		return;
	if (outcome.gone) {
		atomic_store(&e->stage, STAGE_STARTED); /* nothing to print */
		return;
	}
	e->state = outcome.state;
	atomic_store(&e->stage, STAGE_DONE);
	/* udev is not the caller, so it has to be told. */
	if (e->named)
		apply_announce_state(d, before);
}

struct event_group {
	const struct event *event;
	const struct policy *policy;
	struct sysfs_device *device;
};

static int event_group_child_run(void *userdata)
{
	const struct event_group *w = userdata;

	return group_enforce(w->policy, w->device, w->event->group_deadline);
}

/*
 * Applies the device's own rule here, and the group's other members in another process, at the same time:
 * neither waits if the other is busy with a device that does not answer or probes slowly.
 */
static int event_apply_own_and_group(struct event *e, const struct policy *policy, const struct decision *own)
{
	struct event_group group = { e, policy, to_sysfs_device(own->device) };
	struct child child;
	int r;

	event_set_decision(e, own);
	if (!group_has_other_members(group.device)) {
		event_apply_own(e, own);
		return 0;
	}
	r = child_start(&child, CHILD_COPY, event_group_child_run, &group);
	event_apply_own(e, own);
	if (r < 0)
		return event_group_child_run(&group);
	/* Our parent stops waiting earlier than that. */
	return child_result_errno(child_wait(&child, 2U * EVENT_USEC));
}

/*
 * udev has read the modalias already, but on a busy machine long ago: another card may be under the name by
 * now. So its word counts only if the kernel has sent no event since. On other buses than pci a device may
 * have several, and udev passes on one.
 */
static void event_take_modalias(const struct event *e, struct sysfs_device *d)
{
	const char *devpath = getenv("DEVPATH"), *modalias = getenv("MODALIAS"), *seqnum = getenv("SEQNUM");

	if (!devpath || !streq(devpath, e->devpath) || !modalias || !*modalias || !seqnum)
		return;
	sysfs_prepare(d->sysfs);
	(void)sysfs_device_announced(d, modalias, text_to_number(seqnum));
}

static int event_child_run(void *userdata)
{
	struct event *e = userdata;
	struct sysfs sysfs;
	struct sysfs_device *d;
	struct policy *policy;
	struct decision decision;
	int r;

	/* Nothing is freed: this process ends with its work. */
	sysfs_init(&sysfs, e->settings);
	sysfs.progress = &e->progress;

	r = e->named ? sysfs_device_lookup(&sysfs, e->named, &d)
		     : sysfs_device_new(&sysfs, e->devpath, e->bus, &d);
	if (r < 0)
		return r == -ENODEV ? 0 : r; /* the device has gone: nothing to do */
	r = policy_load(e->settings, &policy);
	if (r < 0)
		return r;
	policy_copies_update(e->settings->state_dir, policy);
	policy_incomplete_log_once(e->settings->state_dir, policy);
	if (policy->n_rules == 0 || !sysfs_device_is_supported(d))
		return 0;

	event_take_modalias(e, d);

	policy_decide_own(policy, &d->device, &decision);
	if (!policy->has_groups) {
		event_apply_own(e, &decision);
		return 0;
	}
	if (decision.rule)
		return event_apply_own_and_group(e, policy, &decision);
	/* The group decides. A member that is slow to answer must not delay that. */
	if (group_has_other_members(d))
		r = group_ask_members(policy, d, e->group_deadline);
	/* Nothing can be decided without the device itself; if it does not answer, the parent says "pending".
	 */
	d->unreadable = false;
	if (r >= 0)
		r = policy_decide(policy, &d->device, &decision);
	if (r < 0)
		return r;
	event_apply_own(e, &decision);
	return group_is_affected(policy, d) ? group_enforce(policy, d, e->group_deadline) : 0;
}

/* A state is for people and programs to see: whoever has one is on the bus. */
static void event_print_state(const struct settings *settings, const char *state)
{
	property_print("DRIVER_OVERRIDE_STATE", state);
	if (state[0])
		service_want(settings->state_dir);
}

static void event_print_properties(const struct event *e, int stage)
{
	if (stage >= STAGE_DECIDED) {
		property_print("DRIVER_OVERRIDE", e->driver);
		property_print("DRIVER_OVERRIDE_RULE", e->rule);
		property_print("DRIVER_OVERRIDE_SOURCE", e->source);
	}
	if (stage == STAGE_DONE)
		event_print_state(e->settings, device_state_to_string(e->state));
	if (stage >= STAGE_DECIDED)
		property_print("DRIVER_OVERRIDE_MODALIAS", e->modalias);
}

/* The child did not come back in time: what it has written so far is the answer, and the rest is pending. */
static void event_answer_timed_out(const struct event *e, int stage)
{
	char doing[256];

	progress_text(&e->progress, doing, sizeof(doing));
	if (stage == STAGE_DONE)
		log_line(LOG_WARNING, "%s: timed out after 1.8 s, leaving its group unfinished", e->devpath);
	else
		log_line(LOG_WARNING, "%s: timed out after 1.8 s while %s, leaving it pending", e->devpath,
			 doing);
	event_print_properties(e, stage);
	if (stage != STAGE_DONE)
		event_print_state(e->settings, device_state_to_string(STATE_PENDING));
}

/*
 * Another event than `add`: nothing is decided, and nothing of the device is read that could sleep. What its
 * record says now takes the place of what udev remembers of earlier events.
 */
static int event_print_record(const struct settings *settings, const char *devpath, const char *bus,
			      const char *action)
{
	struct sysfs_device *d = NULL;
	struct record record;
	struct sysfs sysfs;

	sysfs_init(&sysfs, settings);
	if (settings->state_dir && sysfs_device_new(&sysfs, devpath, bus, &d) >= 0 &&
	    record_read(settings->state_dir, d->bus, d->name, d->inode, &record) >= 0) {
		property_print("DRIVER_OVERRIDE", record.decision);
		property_print("DRIVER_OVERRIDE_RULE", record.rule);
		property_print("DRIVER_OVERRIDE_SOURCE", record.source);
		property_print("DRIVER_OVERRIDE_STATE", record_state_text(&record));
		if (streq(action, "bind") || streq(action, "unbind"))
			node_announce_of_group(d);
	}
	(void)sysfs_device_free(d);
	sysfs_done(&sysfs);
	return 0;
}

int verb_event(const struct settings *settings, const char *device, const char *writer)
{
	static char buffer[8192]; /* spares stdio a malloc(), whose lock an abandoned child may hold */
	static struct event e;	  /* too large for a stack, and an abandoned child may still write to it */
	struct child_result result;
	struct child child;
	int stage;

	(void)setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
	e.settings = settings;
	e.named = device;
	e.writer = writer;
	e.devpath = device ? device : getenv("DEVPATH");
	if (!e.devpath) {
		log_line(LOG_ERR, "event: no device: neither an argument nor DEVPATH in the environment");
		return 2;
	}
	e.occasion = OCCASION_AGAIN;
	if (!device) {
		const char *action = getenv("ACTION");

		e.bus = getenv("SUBSYSTEM");
		if (action && !streq(action, "add"))
			return event_print_record(settings, e.devpath, e.bus, action);
		/* The kernel marks an event that somebody asked for by writing to `uevent`. */
		if (action && streq(action, "add") && !getenv("SYNTH_UUID"))
			e.occasion = OCCASION_ADDED;
	}

	e.group_deadline = now_usec() + GROUP_USEC;
	result = child_run(&child, CHILD_SHARED, event_child_run, &e, EVENT_USEC);
	stage = atomic_load(&e.stage);

	if (result.how == CHILD_TIMED_OUT) {
		child_abandon(&child);
		event_answer_timed_out(&e, stage);
		return 0;
	}
	event_print_properties(&e, stage);
	if (result.how != CHILD_OK) {
		log_line(LOG_ERR, "%s: %s", e.devpath, child_result_text(result));
		return 1;
	}
	return 0;
}
