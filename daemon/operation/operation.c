/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The first and the last steps of calls that change something; see operation.h. */
#include "daemon/operation/operation.h"
#include "base/list.h"
#include "base/macro.h"
#include "base/text.h"
#include "daemon/bus/caller.h"
#include "daemon/bus/limits.h"
#include "daemon/operation/operation-steps.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

/* One connection of root may have so many calls at once, so that a program of root leaves room for another.
 */
#define OPERATIONS_OF_SENDER_MAX 32U

/* Once the caller may do it, or if anybody may. */
void operation_execute(struct operation *o)
{
	int r = 0;

	switch (o->kind) {
	case OPERATION_SET:
	case OPERATION_SET_MANY:
	case OPERATION_CONFIRM:
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
	case OPERATION_RETRY:
		r = reload_operation_start(o);
		break;
	}
	if (r < 0)
		operation_fail_errno(o, r, "starting");
}

/* Any user may ask for it, so it is counted before it costs a process. 0, or negative errno with the error.
 */
static int operation_begin_dry_run(struct operation *o, sd_bus_error *reterr)
{
	unsigned n = operation_processes(o) * (operation_changes_policy(o) ? 2 : 1);
	int r = operation_check_devices(o, reterr);

	if (r < 0)
		return r;
	if (!operation_goes_on_or_refuse(o))
		return 0;
	if (!operation_take_limit(o, LIMIT_DRY_RUNS))
		return operation_refuse_limit(reterr, "dry runs are under way");
	/* ApplyAll takes its processes one by one. */
	if (!limit_take_processes(o->service, o->uid, n))
		return operation_refuse_limit(reterr, "dry runs in a short time; try again in a few seconds");
	operation_execute(o);
	return 0;
}

/* 1: it is under way, or has been answered; negative errno. */
static int operation_begin(struct operation *o, const char *bus, const char *name, sd_bus_error *reterr)
{
	int r = operation_read_arguments(o, bus, name, reterr);

	if (r < 0)
		return r;
	if (!operation_goes_on_or_refuse(o))
		return 1;
	/* From here on it may have ended when one of these returns 0. */
	if (o->options.dry_run)
		r = operation_begin_dry_run(o, reterr);
	else if (caller_is_root(o->uid))
		operation_execute(o);
	else
		r = operation_authorize(o, reterr);
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
	if (!operation_take_limit(o, LIMIT_CALLS))
		r = operation_refuse_limit(reterr, "calls are under way");
	else
		r = operation_begin(o, bus, name, reterr);
	if (r < 0)
		operation_free(o);
	return r;
}

static int on_run_waiting(sd_event_source *source, void *userdata)
{
	(void)source;
	set_operations_run_waiting(userdata);
	bulk_operations_run_waiting(userdata);
	return 0;
}

int operations_new(struct service *s)
{
	int r;

	s->operations = calloc(1, sizeof(*s->operations));
	if (!s->operations)
		return -ENOMEM;
	r = sd_event_add_defer(s->event, &s->operations->run_waiting, on_run_waiting, s);
	return r < 0 ? r : sd_event_source_set_enabled(s->operations->run_waiting, SD_EVENT_OFF);
}

bool operations_busy(const struct service *s)
{
	return s->operations->n > 0;
}

bool operations_about(const struct service *s, const char *bus, const char *name)
{
	for (const struct operation *o = s->operations->first; o; o = o->next)
		if (o->phase >= PHASE_PLAN && !o->options.dry_run && operation_is_about(o, bus, name))
			return true;
	return false;
}

void operations_free(struct service *s)
{
	if (!s->operations)
		return;
	while (s->operations->first)
		operation_free(s->operations->first);
	(void)sd_event_source_disable_unref(s->operations->run_waiting);
	free(TAKE_PTR(s->operations));
}
