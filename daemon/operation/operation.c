/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The first and the last steps of calls that change something; see operation.h. */
#include "daemon/bus/bus-call.h"
#include "base/child.h"
#include "base/list.h"
#include "base/macro.h"
#include "base/text.h"
#include "daemon/bus/errors.h"
#include "daemon/operation/operation-steps.h"

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

/* Operations at once; each costs some memory, and a process now and then. */
#define OPERATIONS_MAX 256U
/* One connection may have so many, so that no caller takes all places. */
#define OPERATIONS_OF_SENDER_MAX 32U
/* Dry runs, which any user may ask for: of one user other than root, over all its connections; and in all. */
#define DRY_RUNS_OF_USER_MAX 16U
#define DRY_RUNS_MAX 64U
/*
 * Operations that are checked before they are authorized, or wait for polkit. The bus allows a connection 128
 * replies that it waits for; without these limits, one user could use them up and nobody could be authorized.
 */
#define UNAUTHORIZED_OF_USER_MAX 8U
#define UNAUTHORIZED_MAX 64U

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

static void operation_free(struct operation *o)
{
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

	s->last_used = operation_now(s);
	/* What the device needed meanwhile was left to this call, which ends before it did anything. */
	if (operation_changes_policy(o) && !o->options.dry_run && o->phase >= PHASE_PLAN &&
	    o->phase < PHASE_REBIND)
		refresh_request(s, o->bus, o->name, REFRESH_AND_RECONCILE);
	operation_free(o);
	set_operations_run_waiting(s);
	bulk_operations_run_waiting(s);
}

void operation_fail_with(struct operation *o, const sd_bus_error *error)
{
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

struct rebind_request operation_rebind_request(const struct operation *o, const char *bus, const char *name)
{
	return (struct rebind_request){
		.bus = bus,
		.name = name,
		.inode = o->inode,
		.rebind = o->options.rebind != REBIND_UNSET ? o->options.rebind
			  : o->options.force		    ? REBIND_FORCE
							    : REBIND_UNSET,
		.overwrite = o->options.force,
		.query = o->options.dry_run,
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
		set_operation_rebind(o);
		return;
	case OPERATION_APPLY_ALL:
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

	operation_options_describe(&o->options, operation_changes_policy(o), o->kind == OPERATION_SET,
				   &details);
	if (sd_bus_message_get_allow_interactive_authorization(o->call) > 0)
		o->asked_at = operation_now(o->service);
	polkit_authorization_ask(o->polkit_authorization, &details);
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

	(void)note;
	o->task = NULL;
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

/* Counts the dry runs, or else the operations that are not authorized yet; *ret_same: those of this user. */
static size_t operations_count(const struct operation *o, bool dry_run, size_t *ret_same)
{
	size_t n = 0;

	*ret_same = 0;
	for (const struct operation *x = o->service->operations->first; x; x = x->next) {
		if (x->phase == PHASE_GET_SENDER || x->options.dry_run != dry_run ||
		    (!dry_run && x->phase != PHASE_AUTHORIZE))
			continue;
		n++;
		*ret_same += x->uid == o->uid;
	}
	return n;
}

static void operation_begin_dry_run(struct operation *o, bool is_root)
{
	size_t same, n = operations_count(o, true, &same);

	if (n > DRY_RUNS_MAX || (!is_root && same > DRY_RUNS_OF_USER_MAX))
		operation_fail(o, SD_BUS_ERROR_LIMITS_EXCEEDED, "too many dry runs are under way");
	else
		operation_execute(o);
}

/* The plan is checked first: no password is asked for a call that would be refused anyway. */
static void operation_begin_authorization(struct operation *o)
{
	size_t same, n = operations_count(o, false, &same);
	int r;

	if (n > UNAUTHORIZED_MAX || same > UNAUTHORIZED_OF_USER_MAX)
		operation_fail(o, SD_BUS_ERROR_LIMITS_EXCEEDED, "too many calls wait for authorization");
	else if (!operation_changes_policy(o))
		operation_know_device_and_ask(o);
	else {
		r = set_operation_plan(o, false, on_plan_checked);
		if (r < 0)
			operation_fail_errno(o, r, "planning");
	}
}

static void on_sender_known(void *userdata, uid_t uid, bool is_root)
{
	struct operation *o = userdata;

	o->uid = uid;
	o->phase = PHASE_AUTHORIZE;
	if (o->options.dry_run)
		operation_begin_dry_run(o, is_root);
	else if (is_root)
		operation_execute(o);
	else
		operation_begin_authorization(o);
}

static int operation_authorize(struct operation *o)
{
	return polkit_authorization_start(o->service, o->call, on_authorized, on_sender_known, o,
					  &o->polkit_authorization);
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
	r = operation_authorize(o);
	return r < 0 ? r : 1;
}

static bool operations_are_too_many(const struct operations *all, sd_bus_message *call)
{
	const char *sender = sd_bus_message_get_sender(call);
	size_t n = 0;

	for (const struct operation *o = all->first; o && sender; o = o->next)
		n += streq(sd_bus_message_get_sender(o->call), sender);
	return n >= OPERATIONS_OF_SENDER_MAX || all->n >= OPERATIONS_MAX;
}

int operation_start(struct service *s, sd_bus_message *call, enum operation_kind kind, const char *bus,
		    const char *name, sd_bus_error *reterr)
{
	struct operations *all = s->operations;
	struct operation *o;
	int r;

	if (operations_are_too_many(all, call))
		return sd_bus_error_set(reterr, SD_BUS_ERROR_LIMITS_EXCEEDED, "too many calls are under way");
	o = calloc(1, sizeof(*o));
	if (!o)
		return -ENOMEM;
	o->service = s;
	o->kind = kind;
	o->call = sd_bus_message_ref(call);
	o->deadline = operation_now(s) + ANSWER_USEC;
	list_append(all->first, o);
	all->n++;
	o->bus = bus ? strdup(bus) : NULL;
	o->name = name ? strdup(name) : NULL;
	r = (bus && !o->bus) || (name && !o->name) ? -ENOMEM : operation_begin(o, reterr);
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
