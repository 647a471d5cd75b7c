/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Calls that are about all devices: ApplyAll and Reload. */
#include "daemon/bus/bus.h"
#include "base/macro.h"
#include "base/text.h"
#include "daemon/operation/operation-steps.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* One of the devices of ApplyAll. */
struct bulk_item {
	struct operation *operation;
	char *bus, *name;
	struct rebind_job *rebind_job;
	char state[16];
};

struct bulk_operation {
	struct bulk_item *v;
	size_t n, begun, done;
};

/* Questions of one call that are asked at once: others' have their turn in between. */
#define QUESTIONS_MAX 4U

void bulk_operation_free(struct bulk_operation *all)
{
	for (size_t i = 0; all && i < all->n; i++) {
		all->v[i].rebind_job = rebind_job_forget(all->v[i].rebind_job);
		free(all->v[i].bus);
		free(all->v[i].name);
	}
	if (all)
		free(all->v);
	free(all);
}

/* All devices. */

static void answer_all(struct operation *o)
{
	sd_bus_message *reply = NULL;
	int r = sd_bus_message_new_method_return(o->call, &reply);

	if (r >= 0)
		r = sd_bus_message_open_container(reply, 'a', "(sss)");
	for (size_t i = 0; r >= 0 && i < o->all->n; i++)
		r = sd_bus_message_append(reply, "(sss)", o->all->v[i].bus, o->all->v[i].name,
					  o->all->v[i].state[0] ? o->all->v[i].state : "pending");
	if (r >= 0)
		r = sd_bus_message_close_container(reply);
	if (r >= 0)
		r = sd_bus_send(NULL, reply, NULL);
	(void)sd_bus_message_unref(reply);
	if (r < 0)
		operation_fail_errno(o, r, "answering");
	else
		operation_finish(o);
}

static int start_more(struct operation *o);

static void one_done(void *userdata, const struct rebind_result *result)
{
	struct bulk_item *one = userdata;
	struct operation *o = one->operation;
	int r = 0;

	one->rebind_job = NULL;
	text_copy(one->state, sizeof(one->state), result->state[0] ? result->state : "failed");
	if (!o->options.dry_run)
		refresh_request(o->service, one->bus, one->name, REFRESH_ONLY);
	if (++o->all->done == o->all->n)
		answer_all(o);
	else
		r = start_more(o);
	if (r < 0)
		operation_fail_errno(o, r, "starting");
}

static int start_one(struct operation *o, struct bulk_item *one)
{
	struct rebind_request order = operation_order(o, one->bus, one->name);

	order.dry_run = o->options.dry_run;
	/* A machine has more devices than can be moved before the call is answered: the others go on after
	 * that. */
	order.patient = !order.dry_run;
	return rebind_job_start(o->service, &order, one_done, one, &one->rebind_job);
}

static int start_more(struct operation *o)
{
	struct bulk_operation *all = o->all;
	int r = 0;

	while (r >= 0 && all->begun < all->n &&
	       !(o->options.dry_run && all->begun - all->done >= QUESTIONS_MAX))
		r = start_one(o, &all->v[all->begun++]);
	return r;
}

static bool is_to_be_applied(const struct device_entry *e)
{
	return e->field[FIELD_DECISION][0] || strtoul(e->field[FIELD_ADVICE], NULL, 16) != 0;
}

static int list_all(struct operation *o)
{
	_cleanup_(freep) struct device_entry **v = devices_sorted(&o->service->devices);
	struct bulk_operation *all = o->all = calloc(1, sizeof(*o->all));

	if (!v || !all)
		return -ENOMEM;
	all->v = calloc(o->service->devices.n + 1, sizeof(*all->v));
	if (!all->v)
		return -ENOMEM;
	for (size_t i = 0; v[i]; i++) {
		struct bulk_item *one = &all->v[all->n];

		if (!is_to_be_applied(v[i]))
			continue;
		all->n++;
		one->operation = o;
		one->bus = strdup(v[i]->field[FIELD_BUS]);
		one->name = strdup(v[i]->field[FIELD_NAME]);
		if (!one->bus || !one->name)
			return -ENOMEM;
	}
	return 0;
}

static void begin(struct operation *o)
{
	int r;

	o->phase = PHASE_REBIND;
	r = list_all(o);
	if (r >= 0 && o->all->n == 0) {
		answer_all(o);
		return;
	}
	if (r >= 0)
		r = start_more(o);
	if (r < 0)
		operation_fail_errno(o, r, "starting");
}

/* What has not come back by now is reported as pending; it goes on. */
static int on_all_late(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct operation *o = userdata;

	(void)source;
	(void)usec;
	if (o->phase == PHASE_WAIT)
		operation_fail(o, SD_BUS_ERROR_LIMITS_EXCEEDED, "your other dry runs take too long");
	else
		answer_all(o);
	return 0;
}

/* Anybody may ask what would come of it, a process for each device: of each user one call at a time. */
static bool is_its_turn(const struct operation *o)
{
	for (const struct operation *x = o->service->operations->first; x && o->options.dry_run; x = x->next)
		if (x->kind == OPERATION_APPLY_ALL && x->options.dry_run && x->phase > PHASE_WAIT &&
		    x->uid == o->uid)
			return false;
	return true;
}

void bulk_operations_run_waiting(struct service *s)
{
	for (struct operation *o = s->operations->first; o; o = o->next)
		if (o->kind == OPERATION_APPLY_ALL && o->phase == PHASE_WAIT && is_its_turn(o)) {
			begin(o); /* one has ended, so one begins; should it end at once, this is called again
				   */
			return;
		}
}

int bulk_operation_start(struct operation *o)
{
	int r = sd_event_add_time(o->service->event, &o->timer, CLOCK_MONOTONIC, o->deadline - RESERVE_USEC,
				  10000, on_all_late, o);

	if (r < 0)
		return r;
	o->phase = PHASE_WAIT;
	if (is_its_turn(o))
		begin(o);
	return 0;
}

/* Reload. */

static void reloaded(void *userdata)
{
	struct operation *o = userdata;
	const struct policy *policy = o->service->policy;
	sd_bus_message *reply = NULL;
	int r = sd_bus_message_new_method_return(o->call, &reply);

	o->survey = NULL;
	if (r >= 0)
		r = bus_append_errors(reply, policy);
	if (r >= 0)
		r = sd_bus_send(NULL, reply, NULL);
	(void)sd_bus_message_unref(reply);
	if (r < 0)
		operation_fail_errno(o, r, "answering");
	else
		operation_finish(o);
}

static int on_reload_late(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct operation *o = userdata;

	(void)source;
	(void)usec;
	o->survey = refresh_forget(o->survey);
	reloaded(o);
	return 0;
}

int reload_operation_start(struct operation *o)
{
	struct service *s = o->service;
	int r = service_load_policy(s);

	o->phase = PHASE_REFRESH;
	if (r >= 0)
		r = refresh_all_now(s, REFRESH_AND_RETRY, reloaded, o, &o->survey);
	if (r < 0)
		return r;
	return sd_event_add_time(s->event, &o->timer, CLOCK_MONOTONIC, o->deadline, 10000, on_reload_late, o);
}
