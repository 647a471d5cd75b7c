/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Calls that write policy, from their turn to their answer:
 *
 *     its turn -> plan -> dry run (mostly) -> write -> rebind -> (failed: write back) -> look -> answer
 *
 * Calls for one device, and those that write the same file, go one after the other, in the order in which
 * they came. Apply comes in at rebind.
 */
#include "daemon/bus/bus.h"
#include "base/text.h"
#include "daemon/operation/operation-steps.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

/* Less than this, and there is no point in beginning. */
#define LEAST_USEC (5U * UINT64_C(1000000))
#define PLAN_USEC (4U * UINT64_C(1000000))
/* Calls between their turn and their write, each mostly a process at work. */
#define BUSY_MAX 4U
#define WRITE_USEC (5U * UINT64_C(1000000))
#define WRITE_LEAST_USEC (1U * UINT64_C(1000000))

/* Time for one step: so much, or what is left but for a reserve. */
static uint64_t within(const struct operation *o, uint64_t usec, uint64_t reserve)
{
	uint64_t left = operation_left(o, reserve);

	return left == 0 ? 1 : left < usec ? left : usec;
}

static int on_late(sd_event_source *source, uint64_t usec, void *userdata);

static int arm(struct operation *o, uint64_t usec)
{
	o->timer = sd_event_source_disable_unref(o->timer);
	return sd_event_add_time(o->service->event, &o->timer, CLOCK_MONOTONIC, usec, 10000, on_late, o);
}

/* The last step: what the device is like now, so that who asks next is told. */

static void looked(void *userdata)
{
	struct operation *o = userdata;
	sd_bus_error error = SD_BUS_ERROR_NULL;

	o->survey = NULL;
	if (rebind_result_error(&o->result, &error) < 0)
		operation_fail_with(o, &error);
	else
		operation_answer_state(o);
	sd_bus_error_free(&error);
}

static void look(struct operation *o)
{
	int r;

	o->phase = PHASE_REFRESH;
	r = arm(o, o->deadline);
	if (r >= 0)
		r = refresh_device_now(o->service, o->bus, o->name, looked, o, &o->survey);
	if (r < 0)
		looked(o);
}

/* Rebinding, and the way back. */

static int write_work(FILE *out, struct task_note *note, void *arg)
{
	const struct operation *o = arg;

	(void)out;
	(void)note;
	return drop_in_plan_carry_out(&o->plan, o->service->settings, o->write_usec / 2);
}

static int start_writer(struct operation *o, uint64_t usec, task_done_t done)
{
	o->write_usec = usec;
	return task_fork(o->service->event, write_work, o, usec, done, o, &o->task);
}

static void load_policy(struct operation *o)
{
	int r = service_load_policy(o->service);

	if (r < 0)
		log_service(LOG_ERR, "cannot read the policy again: %s", strerror(-r));
}

static void restored(void *userdata, int result, const char *out, size_t size, const struct task_note *note)
{
	struct operation *o = userdata;

	(void)out;
	(void)size;
	(void)note;
	o->task = NULL;
	if (result != 0) {
		size_t n = strlen(o->result.reason);

		log_service(LOG_ERR, "%s: cannot be put back: %s", o->plan.files[0].path,
			    strerror(result > 0 ? result : -result));
		(void)snprintf(o->result.reason + n, sizeof(o->result.reason) - n,
			       "; and the policy file %s could not be put back", o->plan.files[0].path);
	}
	load_policy(o);
	look(o);
}

static void restore(struct operation *o)
{
	int r;

	o->phase = PHASE_RESTORE;
	drop_in_plan_reverse(&o->plan);
	r = start_writer(o, within(o, WRITE_USEC, RESERVE_USEC), restored);
	if (r < 0)
		restored(o, r, "", 0, NULL);
}

static void rebound(void *userdata, const struct rebind_result *result)
{
	struct operation *o = userdata;

	o->rebind_job = NULL;
	o->result = *result;
	if (result->error[0] && !drop_in_plan_is_empty(&o->plan))
		restore(o);
	else
		look(o);
}

void set_operation_rebind(struct operation *o)
{
	struct rebind_request order = operation_order(o, o->bus, o->name);
	struct rebind_result failed = { .error = "Failed", .reason = "starting the enforcer failed" };
	int r;

	o->phase = PHASE_REBIND;
	order.dry_run = o->options.dry_run;
	if (!drop_in_plan_is_empty(&o->plan))
		order.usec = operation_left(o, RESERVE_USEC + RESTORE_USEC);
	r = rebind_job_start(o->service, &order, rebound, o, &o->rebind_job);
	if (r < 0)
		rebound(o, &failed);
	else
		set_operations_run_waiting(o->service);
}

/* Writing. */

static void written(void *userdata, int result, const char *out, size_t size, const struct task_note *note)
{
	struct operation *o = userdata;

	(void)out;
	(void)size;
	(void)note;
	o->task = NULL;
	if (result < 0) {
		/* It was ended while it wrote: what it had done by then is taken back. */
		o->result = (struct rebind_result){ .error = "Stuck" };
		if (result != -ETIMEDOUT)
			text_copy(o->result.error, sizeof(o->result.error), "Failed");
		(void)snprintf(
			o->result.reason, sizeof(o->result.reason), "writing %s: %s", o->plan.files[0].path,
			result == -ETIMEDOUT ? "the file system does not come back" : strerror(-result));
		restore(o);
		return;
	}
	if (result == ETIMEDOUT) {
		operation_fail(
			o, ERROR_STUCK,
			"an earlier change has not come back from the file system; nothing was changed");
		return;
	}
	if (result > 0) {
		operation_task_failed(o, result, o->plan.files[0].path);
		return;
	}
	load_policy(o);
	set_operation_rebind(o);
}

static void fail_late(struct operation *o)
{
	operation_fail(o, ERROR_STUCK, "other changes, or polkit, took too long; nothing was changed");
}

void set_operation_write(struct operation *o)
{
	int r;

	o->phase = PHASE_WRITE;
	if (drop_in_plan_is_empty(&o->plan)) {
		set_operation_rebind(o);
		return;
	}
	if (operation_left(o, RESERVE_USEC + RESTORE_USEC) < WRITE_LEAST_USEC) {
		fail_late(o);
		return;
	}
	r = start_writer(o, within(o, WRITE_USEC, RESERVE_USEC + RESTORE_USEC), written);
	if (r < 0)
		operation_fail_errno(o, r, "writing the policy file");
}

/* Planning, within its turn. */

static void planned(void *userdata, int result, const char *out, size_t size, const struct task_note *note)
{
	struct operation *o = userdata, *other;
	sd_bus_error error = SD_BUS_ERROR_NULL;
	int r;

	(void)note;
	o->task = NULL;
	if (result != 0) {
		operation_task_failed(o, result, "reading the device's files");
		return;
	}
	r = drop_in_plan_read(out, size, &o->plan, &error);
	if (r < 0) {
		if (sd_bus_error_is_set(&error))
			operation_fail_with(o, &error);
		else
			operation_fail_errno(o, r, "planning");
		sd_bus_error_free(&error);
		return;
	}
	/* A rule for several devices: whoever is about to write it, or has, is to be through with it first.
	 */
	for (other = o->service->operations->first; other && !o->options.dry_run; other = other->next)
		if (other != o && !other->options.dry_run && drop_in_plans_meet(&other->plan, &o->plan)) {
			drop_in_plan_done(&o->plan);
			dry_run_leave_staging(o);
			o->phase = PHASE_WAIT;
			if (operation_left(o, 0) < LEAST_USEC) /* its timer has fired */
				fail_late(o);
			return;
		}
	dry_run_start(o);
}

int operation_alloc_staging_path(struct operation *o)
{
	struct service *s = o->service;

	if (asprintf(&o->staging, "%s/staging/%d-%ju", s->settings->state_dir, (int)getpid(),
		     (uintmax_t)++s->operations->serial) >= 0)
		return 0;
	o->staging = NULL;
	return -ENOMEM;
}

int set_operation_plan(struct operation *o, bool to_do, task_done_t done)
{
	struct service *s = o->service;

	if (to_do && operation_alloc_staging_path(o) < 0)
		return -ENOMEM;
	o->planning = (struct drop_in_plan_work){ .service = s,
						  .bus = o->bus,
						  .name = o->name,
						  .driver = o->driver,
						  .options = &o->options,
						  .staging = o->staging };
	return task_fork(s->event, drop_in_plan_work, &o->planning, within(o, PLAN_USEC, RESERVE_USEC), done,
			 o, &o->task);
}

/*
 * Its turn, as soon as nobody before it has the same device. Others may be under way: their files are others,
 * or else one of them waits (see above), so each file has one writer at a time, from the first look at it to
 * the last.
 */

bool operation_changes_policy(const struct operation *o)
{
	return o->kind == OPERATION_SET || o->kind == OPERATION_CLEAR;
}

static bool is_its_turn(const struct operation *o)
{
	unsigned busy = 0;
	bool before = true;

	for (const struct operation *x = o->service->operations->first; x; x = x->next) {
		if (x == o) {
			before = false;
			continue;
		}
		/* A dry run writes nothing, anybody may ask for one, and no change waits for it. */
		if (!operation_changes_policy(x) || x->phase < PHASE_WAIT ||
		    x->options.dry_run != o->options.dry_run)
			continue;
		if (x->phase >= PHASE_PLAN && x->phase <= PHASE_WRITE && ++busy >= BUSY_MAX)
			return false;
		if (!o->options.dry_run && (before || x->phase > PHASE_WAIT) && streq(x->name, o->name) &&
		    streq(x->bus, o->bus))
			return false;
	}
	return true;
}

void set_operations_run_waiting(struct service *s)
{
	for (struct operation *o = s->operations->first, *next; o; o = next) {
		int r;

		next = o->next;
		if (o->phase != PHASE_WAIT || !operation_changes_policy(o) || !is_its_turn(o))
			continue;
		if (operation_left(o, 0) < LEAST_USEC)
			continue; /* its timer is about to fire */
		o->phase = PHASE_PLAN;
		r = set_operation_plan(o, true, planned);
		if (r >= 0)
			continue;
		o->phase = PHASE_WAIT;
		operation_fail_errno(o, r, "planning");
		return; /* which has gone through the list itself */
	}
}

static int on_late(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct operation *o = userdata;

	(void)source;
	(void)usec;
	if (o->phase == PHASE_WAIT)
		fail_late(o);
	else if (o->phase == PHASE_REFRESH) {
		o->survey = refresh_forget(o->survey);
		looked(o); /* the look goes on, and who asks after it is told */
	}
	return 0;
}

void set_operation_wait(struct operation *o)
{
	int r;

	o->phase = PHASE_WAIT;
	r = arm(o, o->deadline - LEAST_USEC);
	if (r < 0)
		operation_fail_errno(o, r, "waiting");
	else
		set_operations_run_waiting(o->service);
}
