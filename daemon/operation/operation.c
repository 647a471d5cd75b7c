/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The first and the last steps of calls that change something; see operation.h. */
#include "daemon/bus/bus-call.h"
#include "daemon/bus/caller.h"
#include "daemon/bus/limits.h"
#include "base/child.h"
#include "base/list.h"
#include "base/macro.h"
#include "base/text.h"
#include "daemon/bus/errors.h"
#include "daemon/operation/operation-steps.h"
#include "daemon/reconcile/move-log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

/* One connection of root may have so many calls at once, so that a program of root leaves room for another.
 */
#define OPERATIONS_OF_SENDER_MAX 32U
/* Processes that a call may cost: the plan, and one that tries it. */
#define PLAN_PROCESSES 1U
#define DRY_RUN_PROCESSES 1U

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
static bool operation_take_limit(struct operation *o, enum limit limit)
{
	bool taken = limit_take(o->service, o->uid, limit);

	o->limits |= (unsigned)taken << limit;
	return taken;
}

static void operation_give_back_limit(struct operation *o, enum limit limit)
{
	if (o->limits & (1U << limit))
		limit_give_back(o->service, o->uid, limit);
	o->limits &= ~(1U << limit);
}

static void operation_free(struct operation *o)
{
	for (enum limit i = 0; i < LIMIT_COUNT; i++)
		operation_give_back_limit(o, i);
	if (list_remove(o->service->operations->first, o))
		o->service->operations->n--;
	if (o->staging)
		staging_remove(o->staging);
	o->polkit_authorization = polkit_authorization_free(o->polkit_authorization);
	o->task = task_forget(o->task);
	o->rebind_job = rebind_job_forget(o->rebind_job);
	o->refresh = refresh_forget(o->refresh);
	o->timer = sd_event_source_disable_unref(o->timer);
	bulk_operation_free(o->bulk);
	drop_in_plan_done(&o->plan);
	(void)sd_bus_message_unref(o->call);
	free(o->bus);
	free(o->name);
	free(o->driver);
	free(o->modalias);
	free(o->staging);
	free(o);
}

void operation_finish(struct operation *o)
{
	struct service *s = o->service;
	char *bus = TAKE_PTR(o->bus), *name = TAKE_PTR(o->name);

	s->last_used = operation_now(s);
	operation_free(o);
	/* What the device needed meanwhile was left to this call. */
	if (name)
		refresh_follow_up(s, bus, name);
	free(bus);
	free(name);
	set_operations_run_waiting(s);
	bulk_operations_run_waiting(s);
}

void operation_fail_with(struct operation *o, const sd_bus_error *error)
{
	/* Not what any user may ask for, who could fill the journal. */
	if (o->name && !o->options.dry_run && o->phase >= PHASE_WAIT)
		refusal_log(o->service, o->bus, o->name, error, o->uid);
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

void operation_fail_errno(struct operation *o, int r, const char *doing)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;

	(void)sd_bus_error_set_errnof(&error, r, "%s: %s", doing, strerror(-r));
	operation_fail_with(o, &error);
	sd_bus_error_free(&error);
}

void operation_answer_state(struct operation *o)
{
	if (!o->options.dry_run)
		move_log(o->service, o->bus, o->name, &o->result, o->uid);
	(void)sd_bus_reply_method_return(o->call, "s", o->result.state);
	operation_finish(o);
}

void operation_fail_task(struct operation *o, struct child_result result, const char *doing)
{
	if (result.how == CHILD_TIMED_OUT)
		operation_fail(o, ERROR_STUCK, "timed out: %s is blocked in the kernel", doing);
	else
		operation_fail_errno(o, child_result_errno(result), doing);
}

void operation_note_hang(struct operation *o, struct child_result result, const struct task_note *note)
{
	if (result.how == CHILD_TIMED_OUT && note->name[0])
		refresh_device_hangs(o->service, note->bus, note->name);
}

struct rebind_request operation_rebind_request(const struct operation *o, const char *bus, const char *name)
{
	const bool releases = o->kind == OPERATION_RELEASE || o->kind == OPERATION_RELEASE_ALL;

	return (struct rebind_request){
		.bus = bus,
		.name = name,
		.inode = o->inode,
		.rebind = o->options.rebind != REBIND_UNSET ? o->options.rebind
			  : o->options.force		    ? REBIND_FORCE
							    : REBIND_UNSET,
		.overwrite = o->options.force && !releases,
		.release = releases,
		.query = o->options.dry_run,
		.uid = o->uid,
		/* Any user may ask for a dry run, which must not make another user's mount fail. */
		.look_only = o->options.dry_run && o->uid != 0,
		.usec = operation_time_left(o, RESERVE_USEC)
	};
}

static void operation_fail_gone(struct operation *o)
{
	operation_fail(o, ERROR_NO_SUCH_DEVICE, "%s %s has gone, or another device has its name now", o->bus,
		       o->name);
}

static bool operation_device_is_there_or_refuse(struct operation *o)
{
	uint64_t inode;

	if (!o->name || (bus_device_inode(o->service, o->bus, o->name, &inode) >= 0 && inode == o->inode))
		return true;
	operation_fail_gone(o);
	return false;
}

/* Once the caller may do it, or if anybody may. */
static void operation_execute(struct operation *o)
{
	int r = 0;

	switch (o->kind) {
	case OPERATION_SET:
	case OPERATION_CLEAR:
		set_operation_wait(o);
		return;
	case OPERATION_APPLY:
	case OPERATION_RELEASE:
		set_operation_rebind(o);
		return;
	case OPERATION_APPLY_ALL:
	case OPERATION_RELEASE_ALL:
		r = bulk_operation_start(o);
		break;
	case OPERATION_RELOAD:
		r = reload_operation_start(o);
		break;
	}
	if (r < 0)
		operation_fail_errno(o, r, "starting");
}

static void on_authorized(void *userdata, const sd_bus_error *error)
{
	struct operation *o = userdata;

	if (error) {
		operation_fail_with(o, error);
		return;
	}
	o->polkit_authorization = polkit_authorization_free(o->polkit_authorization);
	operation_give_back_limit(o, LIMIT_UNAUTHORIZED);
	if (o->asked_at)
		o->deadline += operation_now(o->service) - o->asked_at;
	/* While a person typed a password, another card may have been put into the slot. */
	if (operation_device_is_there_or_refuse(o))
		operation_execute(o);
}

static void operation_ask_polkit(struct operation *o)
{
	struct polkit_details details = {
		.bus = o->bus, .name = o->name, .modalias = o->modalias, .driver = o->driver
	};
	int r;

	operation_options_describe(&o->options, operation_changes_policy(o), o->kind == OPERATION_SET,
				   &details);
	if (sd_bus_message_get_allow_interactive_authorization(o->call) > 0)
		o->asked_at = operation_now(o->service);
	r = polkit_authorization_ask(o->service, o->call, &details, on_authorized, o,
				     &o->polkit_authorization);
	if (r < 0)
		operation_fail_errno(o, r, "asking polkit");
}

/* False: the table has no such device, or one that had its name before. */
static bool operation_take_modalias(struct operation *o)
{
	const struct device_entry *e = devices_find(&o->service->devices, o->bus, o->name);

	if (!e || strtoull(e->field[FIELD_INODE], NULL, 16) != o->inode)
		return false;
	free(o->modalias);
	o->modalias = strdup(e->field[FIELD_MODALIAS]);
	return true;
}

static void on_device_known(void *userdata)
{
	struct operation *o = userdata;

	o->refresh = NULL;
	if (operation_take_modalias(o))
		operation_ask_polkit(o);
	else
		operation_fail_gone(o);
}

/* What polkit is told of the device has to be about the one that the call was made for. */
static void operation_know_device_and_ask(struct operation *o)
{
	int r = 0;

	if (!o->name || operation_take_modalias(o))
		operation_ask_polkit(o);
	else
		r = refresh_device_now(o->service, o->bus, o->name, on_device_known, o, &o->refresh);
	if (r < 0)
		operation_fail_errno(o, r, "looking at the device");
}

static void on_plan_checked(void *userdata, struct child_result result, const char *out, size_t size,
			    const struct task_note *note)
{
	struct operation *o = userdata;
	sd_bus_error error = SD_BUS_ERROR_NULL;
	struct drop_in_plan unused = {};
	int r;

	o->task = NULL;
	operation_note_hang(o, result, note);
	r = result.how != CHILD_OK ? 0 : drop_in_plan_work_read(out, size, &unused, &error);
	drop_in_plan_done(&unused);
	if (result.how != CHILD_OK)
		operation_fail_task(o, result, "reading the device's files");
	else if (sd_bus_error_is_set(&error))
		operation_fail_with(o, &error);
	else if (r < 0)
		operation_fail_errno(o, r, "planning");
	else
		operation_know_device_and_ask(o);
	sd_bus_error_free(&error);
}

static int operation_refuse_limit(sd_bus_error *reterr, const char *what)
{
	return sd_bus_error_setf(reterr, SD_BUS_ERROR_LIMITS_EXCEEDED, "too many %s", what);
}

/* Any user may ask for it, so it is counted before it costs a process. 0, or negative errno with the error.
 */
static int operation_begin_dry_run(struct operation *o, sd_bus_error *reterr)
{
	unsigned n = DRY_RUN_PROCESSES + (operation_changes_policy(o) ? PLAN_PROCESSES : 0);

	int r = refresh_check_device(o->service, o->bus, o->name, reterr);

	if (r < 0)
		return r;
	if (!operation_take_limit(o, LIMIT_DRY_RUNS))
		return operation_refuse_limit(reterr, "dry runs are under way");
	/* ApplyAll takes its processes one by one. */
	if (o->name && !limit_take_processes(o->service, o->uid, n))
		return operation_refuse_limit(reterr, "dry runs in a short time; try again in a few seconds");
	operation_execute(o);
	return 0;
}

/* The plan is checked first: no password is asked for a call that would be refused anyway. */
static int operation_begin_authorization(struct operation *o, sd_bus_error *reterr)
{
	int r = refresh_check_device(o->service, o->bus, o->name, reterr);

	if (r < 0)
		return r;
	if (!operation_take_limit(o, LIMIT_UNAUTHORIZED))
		return operation_refuse_limit(reterr, "calls wait for authorization");
	if (!operation_changes_policy(o)) {
		operation_know_device_and_ask(o);
		return 0;
	}
	if (!limit_take_processes(o->service, o->uid, PLAN_PROCESSES))
		return operation_refuse_limit(reterr, "calls in a short time; try again in a few seconds");
	return set_operation_plan(o, false, on_plan_checked);
}

static int operation_read_arguments(struct operation *o, sd_bus_error *reterr)
{
	static const unsigned allowed[] = {
		[OPERATION_SET] = OPTION_RUNTIME | OPTION_REBIND | OPTION_GROUP | OPTION_BY | OPTION_MODULE |
				  OPTION_FORCE | OPTION_DRY_RUN,
		[OPERATION_CLEAR] =
			OPTION_RUNTIME | OPTION_REBIND | OPTION_BY | OPTION_FORCE | OPTION_DRY_RUN,
		[OPERATION_APPLY] = OPTION_REBIND | OPTION_FORCE | OPTION_DRY_RUN,
		[OPERATION_APPLY_ALL] = OPTION_REBIND | OPTION_FORCE | OPTION_DRY_RUN,
		[OPERATION_RELEASE] = OPTION_FORCE | OPTION_DRY_RUN,
		[OPERATION_RELEASE_ALL] = OPTION_FORCE | OPTION_DRY_RUN,
	};
	const char *driver;
	int r;

	if (o->kind == OPERATION_RELOAD)
		return 0;
	if (o->kind == OPERATION_SET) {
		r = sd_bus_message_read(o->call, "s", &driver);
		if (r < 0)
			return r;
		if (!is_policy_value(driver) || !driver_name_is_valid(driver))
			return sd_bus_error_setf(reterr, ERROR_INVALID,
						 "%.*s is no driver's name, and not none, default or vfio",
						 (int)utf8_prefix(driver, 130), driver);
		o->driver = strdup(driver);
		if (!o->driver)
			return -ENOMEM;
	}
	return operation_options_read(o->call, allowed[o->kind], &o->options, reterr);
}

static int operation_begin(struct operation *o, sd_bus_error *reterr)
{
	int r = operation_read_arguments(o, reterr);

	if (r < 0)
		return r;
	r = o->name ? bus_check_device(o->service, o->bus, o->name, reterr) : 0;
	if (r < 0)
		return r;
	r = o->name ? bus_device_inode(o->service, o->bus, o->name, &o->inode) : 0;
	if (r < 0)
		return sd_bus_error_setf(reterr, ERROR_NO_SUCH_DEVICE, "%s %s has gone", o->bus, o->name);
	/* From here on it may have ended when one of these returns 0. */
	if (o->options.dry_run)
		r = operation_begin_dry_run(o, reterr);
	else if (caller_is_root(o->uid))
		operation_execute(o);
	else
		r = operation_begin_authorization(o, reterr);
	return r < 0 ? r : 1;
}

static bool operations_of_sender_are_too_many(const struct operations *all, sd_bus_message *call)
{
	const char *sender = sd_bus_message_get_sender(call);
	size_t n = 0;

	for (const struct operation *o = all->first; o; o = o->next)
		n += streq(sd_bus_message_get_sender(o->call), sender);
	return n >= OPERATIONS_OF_SENDER_MAX;
}

int operation_start(struct service *s, sd_bus_message *call, uid_t uid, enum operation_kind kind,
		    const char *bus, const char *name, sd_bus_error *reterr)
{
	struct operations *all = s->operations;
	struct operation *o;
	int r;

	if (caller_is_root(uid) && operations_of_sender_are_too_many(all, call))
		return operation_refuse_limit(reterr, "calls of one connection are under way");
	o = calloc(1, sizeof(*o));
	if (!o)
		return -ENOMEM;
	o->service = s;
	o->uid = uid;
	o->kind = kind;
	o->call = sd_bus_message_ref(call);
	o->deadline = operation_now(s) + ANSWER_USEC;
	list_append(all->first, o);
	all->n++;
	o->bus = bus ? strdup(bus) : NULL;
	o->name = name ? strdup(name) : NULL;
	if ((bus && !o->bus) || (name && !o->name))
		r = -ENOMEM;
	else if (!operation_take_limit(o, LIMIT_CALLS))
		r = operation_refuse_limit(reterr, "calls are under way");
	else
		r = operation_begin(o, reterr);
	if (r < 0)
		operation_free(o);
	return r;
}

int operations_new(struct service *s)
{
	s->operations = calloc(1, sizeof(*s->operations));
	return s->operations ? 0 : -ENOMEM;
}

bool operations_busy(const struct service *s)
{
	return s->operations->n > 0;
}

bool operations_about(const struct service *s, const char *bus, const char *name)
{
	for (const struct operation *o = s->operations->first; o; o = o->next)
		if (o->phase >= PHASE_PLAN && !o->options.dry_run && o->name && streq(o->name, name) &&
		    streq(o->bus, bus))
			return true;
	return false;
}

void operations_free(struct service *s)
{
	if (!s->operations)
		return;
	while (s->operations->first)
		operation_free(s->operations->first);
	free(TAKE_PTR(s->operations));
}
