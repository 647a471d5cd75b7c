/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One device's `add` event. udev waits for us with the device's other rules, so whatever the kernel does we
 * answer within two seconds: all the work is done by a child, the parent waits and prints properties.
 */
#include "enforce/apply.h"
#include "base/child.h"
#include "base/log.h"
#include "base/text.h"
#include "base/time.h"
#include "enforce/group.h"
#include "enforcer/verbs.h"
#include "state/store.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of the two seconds that an event has; the rest is for what comes before and after. */
#define EVENT_USEC 1800000U
/* Its group ends before that, and says which member it was that did not answer. */
#define GROUP_USEC 1500000U

/* In memory that parent and child share. The child writes a part, then says how far it is. */
struct event {
	const struct settings *settings;
	const char *named;   /* by a person, in any way that devices are named; NULL: udev's devpath counts */
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

/* What udev's kmod builtin can take as one word. */
static bool is_module_word(const char *s)
{
	return *s && *s != '-' &&
	       !s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+.:*,")];
}

static void event_set_decision(struct event *e, const struct decision *decision)
{
	const struct rule *rule = decision->rule;

	if (decision->kind == DECISION_NOTHING)
		return;
	if (decision->kind != DECISION_UNKNOWN)
		text_copy(e->driver, sizeof(e->driver), decision_text(decision));
	text_copy(e->rule, sizeof(e->rule), rule->label);
	rule_source(rule, e->source, sizeof(e->source));
	/*
	 * The module: as the rule says, else of the driver's name. Where a module has another name its
	 * aliases find it, and those udev loads for every device anyway; the override lets only the right
	 * driver in.
	 */
	if (decision->kind == DECISION_DRIVER) {
		const char *module = decision->module ? decision->module : decision->driver;

		if (is_module_word(module))
			text_copy(e->modalias, sizeof(e->modalias), module);
	}
	atomic_store(&e->stage, STAGE_DECIDED);
}

static void event_log_outcome(const struct sysfs_device *d, const struct outcome *o)
{
	if (o->state == STATE_FAILED)
		log_line(LOG_ERR, "%s %s: %s", d->bus, d->name, o->reason);
}

static void event_apply_own(struct event *e, const struct decision *decision)
{
	struct outcome outcome;

	event_set_decision(e, decision);
	apply_decision(decision, e->occasion, &outcome);
	event_log_outcome(to_sysfs_device(decision->device), &outcome);
	if (decision->kind == DECISION_NOTHING)
		return;
	e->state = outcome.state;
	atomic_store(&e->stage, STAGE_DONE);
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
 * The device by its own rule, and its companions beside it in another process: neither waits when the other
 * has to do with a device that does not answer, or that is long in probing.
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
	/* Who waits for us stops waiting before that. */
	return child_result_errno(child_wait(&child, 2U * EVENT_USEC));
}

static int event_child_run(void *userdata)
{
	struct event *e = userdata;
	struct sysfs sysfs;
	struct sysfs_device *d;
	struct policy *policy;
	struct decision decision;
	const char *modalias, *from_udev = getenv("DEVPATH");
	int r;

	/* Nothing is freed: this process ends with its work. */
	sysfs_init(&sysfs, e->settings);
	sysfs.progress = &e->progress;

	r = e->named ? sysfs_device_lookup(&sysfs, e->named, &d)
		     : sysfs_device_new(&sysfs, e->devpath, e->bus, &d);
	if (r < 0)
		return r == -ENODEV ? 0 : r; /* gone again: nothing to do */
	r = policy_load(e->settings, &policy);
	if (r < 0)
		return r;
	policy_copies_update(e->settings->state_dir, policy);
	if (policy->n_rules == 0 || !sysfs_device_is_supported(d))
		return 0;

	/* udev has read it already; on other buses a device may have several, and udev passes on one. */
	modalias = from_udev && streq(from_udev, e->devpath) ? getenv("MODALIAS") : NULL;
	if (modalias && *modalias && streq(d->bus, "pci"))
		(void)sysfs_device_tell(d, FACT_MODALIAS, modalias);

	policy_decide_own(policy, &d->device, &decision);
	if (!policy->has_groups) {
		event_apply_own(e, &decision);
		return 0;
	}
	if (decision.rule)
		return event_apply_own_and_group(e, policy, &decision);
	/* The group decides, and one member that is slow to answer must not keep us from that. */
	if (group_has_other_members(d))
		r = group_ask_members(policy, d, e->group_deadline);
	d->unreadable =
		false; /* without it nothing can be decided: who waits for us says that it is pending */
	if (r >= 0)
		r = policy_decide(policy, &d->device, &decision);
	if (r < 0)
		return r;
	event_apply_own(e, &decision);
	return group_is_affected(policy, d) ? group_enforce(policy, d, e->group_deadline) : 0;
}

/* udev takes quotation marks at both ends away; a value that has one in front needs a pair around it. */
static void property_print(const char *key, const char *value)
{
	bool quote = *value == '"' || *value == '\'' || *value == ' ';

	if (!*value)
		return;
	(void)fputs(key, stdout);
	(void)fputs(quote ? "=\"" : "=", stdout);
	(void)fputs(value, stdout);
	(void)fputs(quote ? "\"\n" : "\n", stdout);
}

static void event_print_properties(const struct event *e, int stage)
{
	if (stage >= STAGE_DECIDED) {
		property_print("DRIVER_OVERRIDE", e->driver);
		property_print("DRIVER_OVERRIDE_RULE", e->rule);
		property_print("DRIVER_OVERRIDE_SOURCE", e->source);
	}
	if (stage == STAGE_DONE)
		property_print("DRIVER_OVERRIDE_STATE", device_state_to_string(e->state));
	if (stage >= STAGE_DECIDED)
		property_print("DRIVER_OVERRIDE_MODALIAS", e->modalias);
}

int verb_event(const struct settings *settings, const char *device)
{
	static char buffer[8192]; /* so that no malloc() is needed where a child may hold its lock */
	static struct event e;	  /* too large for a stack, and a child that is left behind may write to it */
	struct child_result result;
	struct child child;
	int stage;
	char doing[256];

	(void)setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
	e.settings = settings;
	e.named = device;
	e.devpath = device ? device : getenv("DEVPATH");
	if (!e.devpath) {
		log_line(LOG_ERR, "event: no device given, and no DEVPATH in the environment");
		return 2;
	}
	e.occasion = OCCASION_LATER;
	if (!device) {
		const char *action = getenv("ACTION");

		e.bus = getenv("SUBSYSTEM");
		/* Who asks for an event again has the kernel mark it. */
		if (action && streq(action, "add") && !getenv("SYNTH_UUID"))
			e.occasion = OCCASION_ADDED;
	}

	e.group_deadline = now_usec() + GROUP_USEC;
	result = child_run(&child, CHILD_SHARED, event_child_run, &e, EVENT_USEC);
	stage = atomic_load(&e.stage);

	if (result.how == CHILD_TIMED_OUT) {
		child_abandon(&child);
		progress_text(&e.progress, doing, sizeof(doing));
		if (stage == STAGE_DONE)
			log_line(LOG_WARNING, "%s: its group takes longer than an event may", e.devpath);
		else
			log_line(LOG_WARNING, "%s: %s takes longer than an event may; left pending",
				 e.devpath, doing);
		event_print_properties(&e, stage);
		if (stage != STAGE_DONE)
			property_print("DRIVER_OVERRIDE_STATE", device_state_to_string(STATE_PENDING));
		return 0;
	}
	event_print_properties(&e, stage);
	if (result.how != CHILD_OK) {
		log_line(LOG_ERR, "%s: %s", e.devpath, child_result_text(result));
		return 1;
	}
	return 0;
}
