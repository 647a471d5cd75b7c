/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the steps of an operation share: its time, its changes, and how it ends: with an error, or with what
 * has become of its changes.
 */
#include "daemon/operation/operation-steps.h"
#include "base/child.h"
#include "base/list.h"
#include "base/macro.h"
#include "base/text.h"
#include "daemon/bus/bus-call.h"
#include "daemon/bus/errors.h"
#include "daemon/bus/limits.h"
#include "daemon/operation/change-trial.h"
#include "daemon/reconcile/move-log.h"
#include "daemon/reconcile/rebind-standby.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>
#include <time.h>

/* So many changes of a call cost its user one process: together they have one for a plan, and a few that
 * look. */
#define CHANGES_A_PROCESS 8U
/* So many refused changes are told in the error of a call that is refused as a whole. */
#define REFUSALS_TOLD_MAX 16U

uint64_t operation_now(const struct service *s)
{
	uint64_t usec = 0;

	(void)sd_event_now(s->event, CLOCK_MONOTONIC, &usec);
	return usec;
}

uint64_t operation_time_left(const struct operation *o, uint64_t reserve)
{
	uint64_t at = operation_now(o->service) + reserve;

	return o->deadline > at ? o->deadline - at : 0;
}

int operation_set_timer(struct operation *o, uint64_t usec, sd_event_time_handler_t handler)
{
	o->timer = sd_event_source_disable_unref(o->timer);
	return sd_event_add_time(o->service->event, &o->timer, CLOCK_MONOTONIC, usec, 10000, handler, o);
}

/* False: this user, or all users, have too many of these. */
bool operation_take_limit(struct operation *o, enum limit limit)
{
	bool taken = limit_take(o->service, o->uid, limit);

	o->limits |= (unsigned)taken << limit;
	return taken;
}

void operation_give_back_limit(struct operation *o, enum limit limit)
{
	if (o->limits & (1U << limit))
		limit_give_back(o->service, o->uid, limit);
	o->limits &= ~(1U << limit);
}

void operation_note_hang(struct operation *o, struct child_result result, const struct task_note *note)
{
	if (result.how == CHILD_TIMED_OUT && note->name[0])
		refresh_device_hangs(o->service, note->bus, note->name);
}

static bool operation_releases(const struct operation *o)
{
	return o->kind == OPERATION_RELEASE || o->kind == OPERATION_RELEASE_ALL;
}

void operation_options_for_enforcer(const struct operation *o, const struct operation_options *options,
				    struct rebind_request *request)
{
	request->rebind = options->rebind != REBIND_UNSET ? options->rebind
			  : options->force		  ? REBIND_FORCE
							  : REBIND_UNSET;
	request->overwrite = options->force && !operation_releases(o);
}

struct rebind_request operation_rebind_request(const struct operation *o)
{
	struct rebind_request request = { .release = operation_releases(o),
					  .dry_run = o->options.dry_run,
					  .query = o->options.dry_run,
					  .uid = o->uid,
					  /* Any user may ask for a dry run, which must not make another
					   * user's mount fail. */
					  .look_only = o->options.dry_run && o->uid != 0,
					  .usec = operation_time_left(o, RESERVE_USEC) };

	operation_options_for_enforcer(o, &o->options, &request);
	return request;
}

void change_refuse_gone(struct device_change *c)
{
	(void)sd_bus_error_setf(&c->error, ERROR_NO_SUCH_DEVICE,
				"%s %s has gone, or another device has its name now", c->bus, c->name);
}

bool operation_is_about(const struct operation *o, const char *bus, const char *name)
{
	for (const struct device_change *c = o->changes; c < o->changes + o->n_changes; c++)
		if (streq(c->name, name) && streq(c->bus, bus))
			return true;
	return false;
}

bool operations_share_device(const struct operation *a, const struct operation *b)
{
	for (const struct device_change *c = a->changes; c < a->changes + a->n_changes; c++)
		if (operation_is_about(b, c->bus, c->name))
			return true;
	return false;
}

int operation_refuse_limit(sd_bus_error *reterr, const char *what)
{
	return sd_bus_error_setf(reterr, SD_BUS_ERROR_LIMITS_EXCEEDED, "too many %s", what);
}

bool operations_share_file(const struct operation *a, const struct operation *b)
{
	FOREACH_LIVE_CHANGE (c, a)
		FOREACH_LIVE_CHANGE (d, b)
			if (drop_in_plans_overlap(&c->plan, &d->plan))
				return true;
	return false;
}

unsigned operation_processes(const struct operation *o)
{
	return (unsigned)(o->n_changes + CHANGES_A_PROCESS - 1) / CHANGES_A_PROCESS;
}

int operation_check_devices(struct operation *o, sd_bus_error *reterr)
{
	if (o->n_changes == 0)
		return refresh_check_device(o->service, NULL, NULL, reterr);
	FOREACH_LIVE_CHANGE (c, o)
		(void)refresh_check_device(o->service, c->bus, c->name, &c->error);
	return 0;
}

int operation_refresh_devices(struct operation *o, void (*done)(void *userdata))
{
	_cleanup_(freep) struct refresh_device *v = calloc(o->n_changes, sizeof(*v));
	size_t n = 0;

	if (!v)
		return -ENOMEM;
	FOREACH_LIVE_CHANGE (c, o)
		if (!c->is_absent)
			v[n++] = (struct refresh_device){ c->bus, c->name };
	if (n == 0) {
		done(o);
		return 0;
	}
	return refresh_devices_now(o->service, v, n, done, o, &o->refresh);
}

static void operation_free_changes(struct operation *o)
{
	for (struct device_change *c = o->changes; c < o->changes + o->n_changes; c++) {
		c->rebind_job = rebind_job_forget(c->rebind_job);
		drop_in_plan_done(&c->plan);
		change_trial_free(c);
		sd_bus_error_free(&c->error);
		free(c->bus);
		free(c->name);
		free(c->driver);
		free(c->modalias);
	}
	free(TAKE_PTR(o->changes));
	o->n_changes = 0;
}

void operation_free(struct operation *o)
{
	for (enum limit i = 0; i < LIMIT_COUNT; i++)
		operation_give_back_limit(o, i);
	if (list_remove(o->service->operations->first, o))
		o->service->operations->n--;
	if (o->staging)
		staging_remove(o->staging);
	o->authorization = polkit_authorization_free(o->authorization);
	for (size_t i = 0; i < ELEMENTSOF(o->polkit_texts); i++)
		free(o->polkit_texts[i]);
	o->task = task_forget(o->task);
	o->refresh = refresh_forget(o->refresh);
	o->timer = sd_event_source_disable_unref(o->timer);
	if (o->bulk)
		o->bulk_free(o->bulk);
	operation_free_batches(o);
	operation_free_changes(o);
	(void)sd_bus_message_unref(o->call);
	free(o->staging);
	free(o);
}

void operation_finish(struct operation *o)
{
	struct service *s = o->service;

	s->last_used = operation_now(s);
	/* What the devices needed meanwhile was left to this call. */
	for (size_t i = 0; i < o->n_changes; i++)
		refresh_follow_up(s, o->changes[i].bus, o->changes[i].name);
	operation_free(o);
	if (s->operations->n == 0)
		rebind_standby_dismiss(s);
	(void)sd_event_source_set_enabled(s->operations->run_waiting, SD_EVENT_ONESHOT);
}

static bool operation_has_refused_changes(const struct operation *o)
{
	for (size_t i = 0; i < o->n_changes; i++)
		if (sd_bus_error_is_set(&o->changes[i].error))
			return true;
	return false;
}

/* Why nothing is done about them, or is done any more. */
static void operation_log_refusals(const struct operation *o, const sd_bus_error *error)
{
	bool each_has_its_own = operation_has_refused_changes(o);

	for (const struct device_change *c = o->changes; c < o->changes + o->n_changes; c++) {
		const sd_bus_error *why = each_has_its_own ? &c->error : error;

		if (sd_bus_error_is_set(why))
			refusal_log(o->service, c->bus, c->name, why, o->uid);
	}
}

void operation_fail_with(struct operation *o, const sd_bus_error *error)
{
	/* Not what any user may ask for, who could fill the journal. */
	if (!o->options.dry_run && o->phase >= PHASE_WAIT)
		operation_log_refusals(o, error);
	for (struct device_change *c = o->changes; c < o->changes + o->n_changes; c++)
		change_trial_end(c, o->service, false);
	(void)sd_bus_reply_method_error(o->call, error);
	operation_finish(o);
}

void operation_fail(struct operation *o, const char *name, const char *format, ...)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	va_list ap;

	va_start(ap, format);
	(void)sd_bus_error_setfv(&error, name, format, ap);
	va_end(ap);
	operation_fail_with(o, &error);
	sd_bus_error_free(&error);
}

void operation_fail_late(struct operation *o)
{
	operation_fail(o, ERROR_STUCK, "other changes, or polkit, took too long; nothing was changed");
}

void operation_fail_errno(struct operation *o, int r, const char *doing)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;

	(void)sd_bus_error_set_errnof(&error, r, "%s: %s", doing, strerror(-r));
	operation_fail_with(o, &error);
	sd_bus_error_free(&error);
}

void operation_fail_task(struct operation *o, struct child_result result, const char *doing)
{
	if (result.how == CHILD_TIMED_OUT)
		operation_fail(o, ERROR_STUCK, "timed out: %s is blocked in the kernel", doing);
	else
		operation_fail_errno(o, child_result_errno(result), doing);
}

/* The first error's name, and what is wrong with each change. */
static void operation_refuse_whole(struct operation *o)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	const char *name = NULL;
	char *text = NULL;
	size_t size, n = 0;
	FILE *f = open_memstream(&text, &size);

	for (const struct device_change *c = o->changes; f && c < o->changes + o->n_changes; c++) {
		if (!sd_bus_error_is_set(&c->error))
			continue;
		if (!name)
			name = c->error.name;
		if (n++ >= REFUSALS_TOLD_MAX)
			continue;
		/* A name in a change need not be one of a device. */
		(void)fprintf(f, "%.*s %.*s: %s; ", (int)utf8_prefix(c->bus, 64), c->bus,
			      (int)utf8_prefix(c->name, 256), c->name, c->error.message);
	}
	if (n > REFUSALS_TOLD_MAX)
		(void)fprintf(f, "%zu more are refused; ", n - REFUSALS_TOLD_MAX);
	if (f)
		(void)fprintf(f, "nothing was changed");
	if (f && fclose(f) == 0)
		(void)sd_bus_error_set(&error, name, text);
	else
		(void)sd_bus_error_set_errno(&error, -ENOMEM);
	free(text);
	operation_fail_with(o, &error);
	sd_bus_error_free(&error);
}

bool operation_goes_on_or_refuse(struct operation *o)
{
	bool any_refused = operation_has_refused_changes(o), all_refused = true;

	FOREACH_LIVE_CHANGE (c, o)
		all_refused = false;
	if (o->kind == OPERATION_SET_MANY &&
	    (any_refused ? all_refused && o->options.partial : o->n_changes == 0)) {
		operation_answer(o);
		return false;
	}
	if (!any_refused || (o->options.partial && !all_refused))
		return true;
	if (o->kind == OPERATION_SET_MANY)
		operation_refuse_whole(o);
	else
		operation_fail_with(o, &o->changes[0].error);
	return false;
}

/* The state that a change is told to have come to. */
static const char *change_state(const struct device_change *c)
{
	const struct device_entry *e = devices_find(&c->operation->service->devices, c->bus, c->name);

	if (!sd_bus_error_is_set(&c->error))
		return c->result.state;
	return e ? e->field[FIELD_STATE] : "";
}

static int operation_append_changes(sd_bus_message *reply, const void *userdata)
{
	const struct operation *o = userdata;
	int r = sd_bus_message_open_container(reply, 'a', "(ssss)");

	for (const struct device_change *c = o->changes; r >= 0 && c < o->changes + o->n_changes; c++) {
		_cleanup_(freep) char *error = NULL;

		if (sd_bus_error_is_set(&c->error) &&
		    asprintf(&error, "%s: %s", c->error.name, c->error.message) < 0)
			return -ENOMEM;
		r = sd_bus_message_append(reply, "(ssss)", c->bus, c->name, change_state(c),
					  error ? error : "");
	}
	return r < 0 ? r : sd_bus_message_close_container(reply);
}

void operation_answer(struct operation *o)
{
	int r = 0;

	if (o->kind != OPERATION_SET_MANY && sd_bus_error_is_set(&o->changes[0].error)) {
		operation_fail_with(o, &o->changes[0].error);
		return;
	}
	for (struct device_change *c = o->changes; c < o->changes + o->n_changes; c++)
		change_trial_end(c, o->service, !sd_bus_error_is_set(&c->error));
	for (const struct device_change *c = o->changes; c < o->changes + o->n_changes && !o->options.dry_run;
	     c++)
		if (c->is_absent || c->follows)
			continue;
		else if (!sd_bus_error_is_set(&c->error))
			move_log(o->service, c->bus, c->name, &c->result, o->uid);
		else if (o->phase >= PHASE_WAIT)
			refusal_log(o->service, c->bus, c->name, &c->error, o->uid);
	operation_start_rest(o);
	if (o->kind == OPERATION_SET_MANY)
		r = bus_reply(o->call, operation_append_changes, o);
	else
		(void)sd_bus_reply_method_return(o->call, "s", o->changes[0].result.state);
	if (r < 0)
		operation_fail_errno(o, r, "answering");
	else
		operation_finish(o);
}
