/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SetOverride and ClearOverride, from waiting to the answer; Apply and Release take the last three steps:
 *
 *     wait -> plan -> dry run (mostly) -> write -> rebind -> (failed: restore) -> refresh -> answer
 *
 * Calls for one device, and calls that write the same file, run one after the other, in the order in which
 * they came.
 */
#include "daemon/bus/caller.h"
#include "daemon/bus/errors.h"
#include "base/child.h"
#include "base/log.h"
#include "base/text.h"
#include "daemon/operation/operation-steps.h"
#include "daemon/operation/change-trial.h"
#include "daemon/reconcile/rebind-standby.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>
#include <unistd.h>

/* An operation that has less time left is not begun. */
#define LEAST_USEC (5U * UINT64_C(1000000))
#define PLAN_USEC (4U * UINT64_C(1000000))
/* Operations from planning to writing at once; most of them have a process at work. */
#define PREPARING_MAX 4U
/* So many of these may be dry runs of one user other than root. */
#define PREPARING_DRY_RUNS_OF_USER_MAX 2U
/* How often an operation plans anew since a file was changed meanwhile. */
#define PLANS_ANEW_MAX 3U
#define WRITE_USEC (5U * UINT64_C(1000000))
#define WRITE_LEAST_USEC (1U * UINT64_C(1000000))

/* The time for one step: usec, or what is left of the operation's time, less a reserve. */
static uint64_t operation_step_time(const struct operation *o, uint64_t usec, uint64_t reserve)
{
	uint64_t left = operation_time_left(o, reserve);

	return left == 0 ? 1 : left < usec ? left : usec;
}

static int on_set_late(sd_event_source *source, uint64_t usec, void *userdata);

/* The last step: the device is read again, so that properties are up to date before the call is answered. */

static void on_refreshed(void *userdata)
{
	struct operation *o = userdata;

	o->refresh = NULL;
	FOREACH_LIVE_CHANGE (c, o)
		(void)rebind_result_error(&c->result, &c->error);
	operation_answer(o);
}

static void set_operation_refresh(struct operation *o)
{
	int r;

	o->phase = PHASE_REFRESH;
	r = operation_set_timer(o, o->deadline, on_set_late);
	if (r >= 0)
		r = operation_refresh_devices(o, on_refreshed);
	if (r < 0)
		on_refreshed(o);
}

/* Rebinding; where it fails, the policy files are restored. */

static bool change_has_failed(const struct device_change *c)
{
	return c->result.error[0] != '\0';
}

/* The plans that are to be executed now, in an array to free: all, or those that are to be undone. */
static const struct drop_in_plan **set_operation_plans(const struct operation *o, size_t *ret_n)
{
	const struct drop_in_plan **v = calloc(o->n_changes, sizeof(*v));

	*ret_n = 0;
	FOREACH_LIVE_CHANGE (c, o)
		if (v && (o->phase != PHASE_RESTORE || change_has_failed(c)) &&
		    !drop_in_plan_is_empty(&c->plan))
			v[(*ret_n)++] = &c->plan;
	return v;
}

static bool set_operation_writes_nothing(const struct operation *o)
{
	FOREACH_LIVE_CHANGE (c, o)
		if (!drop_in_plan_is_empty(&c->plan))
			return false;
	return true;
}

/* A file that it writes, to be named in messages. */
static const char *set_operation_file(const struct operation *o)
{
	FOREACH_LIVE_CHANGE (c, o)
		if (c->plan.n > 0)
			return c->plan.files[0].path;
	return "";
}

static int set_operation_write_work(FILE *out, struct task_note *note, void *arg)
{
	const struct operation *o = arg;
	_cleanup_(freep) const struct drop_in_plan **plans = NULL;
	size_t n;

	(void)out;
	(void)note;
	plans = set_operation_plans(o, &n);
	if (!plans)
		return -ENOMEM;
	return (o->phase == PHASE_RESTORE ? drop_in_plans_restore : drop_in_plans_execute)(
		plans, n, o->service->settings, o->write_usec / 2);
}

static int set_operation_start_writer(struct operation *o, uint64_t usec, task_done_t done)
{
	o->write_usec = usec;
	return task_fork(o->service->event, set_operation_write_work, o, usec, done, o, &o->task);
}

static void operation_load_policy(struct operation *o)
{
	int r = service_load_policy(o->service);

	if (r < 0)
		log_errno(LOG_ERR, r, "reading the policy failed: %m, keeping the one before");
}

static void on_policy_restored(void *userdata, struct child_result result, const char *out, size_t size,
			       const struct task_note *note)
{
	struct operation *o = userdata;

	(void)out;
	(void)size;
	(void)note;
	o->task = NULL;
	FOREACH_LIVE_CHANGE (c, o) {
		size_t n = strlen(c->result.reason);

		if (result.how == CHILD_OK || !change_has_failed(c) || c->plan.n == 0)
			continue;
		log_line(LOG_ERR,
			 "%s: restoring failed: %s, the policy file stays as the failed change left it",
			 c->plan.files[0].path, child_result_text(result));
		(void)snprintf(c->result.reason + n, sizeof(c->result.reason) - n,
			       "; and the policy file %s could not be restored", c->plan.files[0].path);
	}
	operation_load_policy(o);
	set_operation_refresh(o);
}

static void set_operation_restore(struct operation *o)
{
	int r;

	o->phase = PHASE_RESTORE;
	FOREACH_LIVE_CHANGE (c, o)
		if (change_has_failed(c))
			drop_in_plan_reverse(&c->plan);
	r = set_operation_start_writer(o, operation_step_time(o, WRITE_USEC, RESERVE_USEC),
				       on_policy_restored);
	if (r < 0)
		on_policy_restored(o, (struct child_result){ CHILD_FAILED, r }, "", 0, NULL);
}

static void set_operation_rebound(struct operation *o)
{
	operation_note_rest(o);
	FOREACH_LIVE_CHANGE (c, o)
		if (change_has_failed(c) && !drop_in_plan_is_empty(&c->plan)) {
			set_operation_restore(o);
			return;
		}
	set_operation_refresh(o);
}

static bool change_is_of_absent_device(const struct device_change *c)
{
	return c->is_absent;
}

void set_operation_rebind(struct operation *o)
{
	uint64_t reserve = set_operation_writes_nothing(o) ? RESERVE_USEC : RESERVE_USEC + RESTORE_USEC;
	struct rebind_request request = operation_rebind_request(o);

	o->phase = PHASE_REBIND;
	request.usec = operation_time_left(o, reserve);
	/* Others may be prepared now; this one may have ended afterwards. */
	(void)sd_event_source_set_enabled(o->service->operations->run_waiting, SD_EVENT_ONESHOT);
	operation_enforce(o, &request, change_is_of_absent_device, set_operation_rebound);
}

/* Writing. */

static void set_operation_undo_write(struct operation *o, struct child_result result)
{
	FOREACH_LIVE_CHANGE (c, o) {
		c->result = (struct rebind_result){};
		text_copy(c->result.error, sizeof(c->result.error),
			  result.how == CHILD_TIMED_OUT ? "Stuck" : "Failed");
		(void)snprintf(c->result.reason, sizeof(c->result.reason), "writing %s: %s",
			       c->plan.n > 0 ? c->plan.files[0].path : set_operation_file(o),
			       result.how == CHILD_TIMED_OUT ? "timed out, the file system does not respond"
							     : child_result_text(result));
	}
	set_operation_restore(o);
}

/* Waits for its turn again, with no plan. */
static void set_operation_wait_again(struct operation *o)
{
	FOREACH_LIVE_CHANGE (c, o)
		drop_in_plan_done(&c->plan);
	operation_remove_staging(o);
	o->phase = PHASE_WAIT;
	if (operation_time_left(o, 0) < LEAST_USEC) /* its timer has fired already */
		operation_fail_late(o);
}

/* A file was changed since the plan was made: by the undo of a trial, or a person. */
static void set_operation_plan_anew(struct operation *o)
{
	if (++o->n_plans_anew > PLANS_ANEW_MAX) {
		operation_fail(o, SD_BUS_ERROR_FAILED,
			       "the policy files of %s %s are changed all the time; nothing was changed",
			       o->changes[0].bus, o->changes[0].name);
		return;
	}
	FOREACH_LIVE_CHANGE (c, o) {
		change_trial_end(c, o->service, false);
		c->result = (struct rebind_result){};
	}
	(void)sd_event_source_set_enabled(o->service->operations->run_waiting, SD_EVENT_ONESHOT);
	set_operation_wait_again(o);
}

static void on_policy_written(void *userdata, struct child_result result, const char *out, size_t size,
			      const struct task_note *note)
{
	struct operation *o = userdata;

	(void)out;
	(void)size;
	(void)note;
	o->task = NULL;
	switch (result.how) {
	case CHILD_OK:
		operation_load_policy(o);
		set_operation_rebind(o);
		break;
	case CHILD_FAILED:
		if (result.error == -ESTALE)
			set_operation_plan_anew(o);
		else if (result.error == -ETIMEDOUT)
			operation_fail(
				o, ERROR_STUCK,
				"an earlier change is blocked in the file system; nothing was changed");
		else
			operation_fail_task(o, result, set_operation_file(o));
		break;
	case CHILD_TIMED_OUT:
	case CHILD_KILLED:
		/* The writer was killed half-way: undo what it may have written. */
		set_operation_undo_write(o, result);
		break;
	}
}

static void set_operation_write_plan(struct operation *o)
{
	int r;

	o->phase = PHASE_WRITE;
	if (set_operation_writes_nothing(o)) {
		set_operation_rebind(o);
		return;
	}
	if (operation_time_left(o, RESERVE_USEC + RESTORE_USEC) < WRITE_LEAST_USEC) {
		operation_fail_late(o);
		return;
	}
	r = set_operation_start_writer(o, operation_step_time(o, WRITE_USEC, RESERVE_USEC + RESTORE_USEC),
				       on_policy_written);
	if (r < 0)
		operation_fail_errno(o, r, "writing the policy file");
}

/* systemd has the timer of a trial before anything is written, which may be the end of us. */

static void set_operation_timers_started(struct operation *o)
{
	if (operation_goes_on_or_refuse(o))
		set_operation_write_plan(o);
}

static int on_timer_started(sd_bus_message *m, void *userdata, sd_bus_error *unused)
{
	struct device_change *c = userdata;
	const sd_bus_error *error = sd_bus_message_get_error(m);

	(void)unused;
	c->timer_slot = sd_bus_slot_unref(c->timer_slot);
	c->has_timer = !error;
	if (error)
		(void)sd_bus_error_setf(&c->error, SD_BUS_ERROR_FAILED,
					"systemd gives no timer to go back by, so nothing was changed: %s",
					error->message ? error->message : error->name);
	if (--c->operation->n_jobs == 0)
		set_operation_timers_started(c->operation);
	return 1;
}

void set_operation_write(struct operation *o)
{
	o->phase = PHASE_ARM;
	FOREACH_LIVE_CHANGE (c, o) {
		int r = change_trial_begin(c, o->service, on_timer_started);

		if (r > 0)
			o->n_jobs++;
		else if (r < 0)
			(void)sd_bus_error_set_errnof(&c->error, r, "preparing to go back: %s", strerror(-r));
	}
	if (o->n_jobs == 0)
		set_operation_timers_started(o);
}

/* Planning. */

/*
 * Some other operation is going to write one of the same files, or has, and is not done: a rule by id may be
 * for several devices. So a file has one writer from planning to restoring.
 */
static bool set_operation_has_to_wait(const struct operation *o)
{
	for (const struct operation *x = o->service->operations->first; x && !o->options.dry_run; x = x->next)
		if (x != o && !x->options.dry_run && operations_share_file(x, o))
			return true;
	return false;
}

bool set_operation_take_plan_or_refuse(struct operation *o, struct child_result result, const char *out,
				       size_t size, const struct task_note *note)
{
	int r;

	o->task = NULL;
	operation_note_hang(o, result, note);
	if (result.how != CHILD_OK) {
		operation_fail_task(o, result, "reading the device's files");
		return false;
	}
	r = drop_in_plan_work_read(&o->plan_work, out, size);
	if (r < 0) {
		operation_fail_errno(o, r, "planning");
		return false;
	}
	return operation_goes_on_or_refuse(o);
}

static void on_planned(void *userdata, struct child_result result, const char *out, size_t size,
		       const struct task_note *note)
{
	struct operation *o = userdata;

	if (!set_operation_take_plan_or_refuse(o, result, out, size, note))
		return;
	if (set_operation_has_to_wait(o)) {
		set_operation_wait_again(o);
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

int set_operation_plan(struct operation *o, bool with_staging, task_done_t done)
{
	struct service *s = o->service;

	if (with_staging && operation_alloc_staging_path(o) < 0)
		return -ENOMEM;
	o->plan_work = (struct drop_in_plan_work){
		.service = s, .changes = o->changes, .n = o->n_changes, .staging = o->staging
	};
	return task_fork(s->event, drop_in_plan_work, &o->plan_work,
			 operation_step_time(o, PLAN_USEC, RESERVE_USEC), done, o, &o->task);
}

bool operation_changes_policy(const struct operation *o)
{
	return o->kind == OPERATION_SET || o->kind == OPERATION_SET_MANY || o->kind == OPERATION_CLEAR;
}

/*
 * An operation starts when no earlier one targets the same device, and few enough are being prepared.
 * Operations on other devices run in parallel; on_planned() defers one if two plans have the same file.
 */
static bool set_operation_may_begin(const struct operation *o)
{
	unsigned n_preparing = 0, n_of_user = 0;
	bool before = true, is_root = caller_is_root(o->uid);

	for (const struct operation *x = o->service->operations->first; x; x = x->next) {
		if (x == o) {
			before = false;
			continue;
		}
		/* No change waits for a dry run, which writes nothing and any user may ask for; nor does one
		 * of root for those of others. */
		if (!operation_changes_policy(x) || x->phase < PHASE_WAIT ||
		    x->options.dry_run != o->options.dry_run ||
		    (o->options.dry_run && caller_is_root(x->uid) != is_root))
			continue;
		if (x->phase >= PHASE_PLAN && x->phase <= PHASE_WRITE) {
			n_of_user += o->options.dry_run && !is_root && x->uid == o->uid;
			if (++n_preparing >= PREPARING_MAX || n_of_user >= PREPARING_DRY_RUNS_OF_USER_MAX)
				return false;
		}
		if (!o->options.dry_run && (before || x->phase > PHASE_WAIT) && operations_share_device(x, o))
			return false;
	}
	return true;
}

void set_operations_run_waiting(struct service *s)
{
	for (struct operation *o = s->operations->first, *next; o; o = next) {
		int r;

		next = o->next;
		if (o->phase != PHASE_WAIT || !operation_changes_policy(o) || !set_operation_may_begin(o))
			continue;
		if (operation_time_left(o, 0) < LEAST_USEC)
			continue; /* its timer fires in a moment */
		o->phase = PHASE_PLAN;
		r = set_operation_plan(o, true, on_planned);
		if (r >= 0 && !o->options.dry_run)
			rebind_standby_prepare(s);
		if (r >= 0)
			continue;
		o->phase = PHASE_WAIT;
		operation_fail_errno(o, r, "planning");
	}
}

static int on_set_late(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct operation *o = userdata;

	(void)source;
	(void)usec;
	if (o->phase == PHASE_WAIT)
		operation_fail_late(o);
	else if (o->phase == PHASE_REFRESH) {
		o->refresh = refresh_forget(o->refresh);
		on_refreshed(o); /* the refresh goes on without this call */
	}
	return 0;
}

void set_operation_wait(struct operation *o)
{
	int r;

	o->phase = PHASE_WAIT;
	r = operation_set_timer(o, o->deadline - LEAST_USEC, on_set_late);
	if (r < 0)
		operation_fail_errno(o, r, "waiting");
	else
		set_operations_run_waiting(o->service);
}
