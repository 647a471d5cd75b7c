/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Calls that are about all devices: ApplyAll and Reload. */
#include "bus.h"
#include "operation-steps.h"

/* One of the devices of ApplyAll. */
struct one {
	struct operation *operation;
	char *bus, *name;
	struct rebinding *rebinding;
	char state[16];
};

struct all {
	struct one *v;
	size_t n, left;
};

void applying_free(struct all *all)
{
	for (size_t i = 0; all && i < all->n; i++) {
		all->v[i].rebinding = rebinding_forget(all->v[i].rebinding);
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
		r = sd_bus_message_append(
			reply, "(sss)", o->all->v[i].bus, o->all->v[i].name, o->all->v[i].state);
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

static void one_done(void *userdata, const struct rebinding_result *result)
{
	struct one *one = userdata;
	struct operation *o = one->operation;

	one->rebinding = NULL;
	text_copy(one->state, sizeof(one->state), result->state[0] ? result->state : "failed");
	survey_want(o->service, one->bus, one->name, TRIGGER_LOOK);
	if (--o->all->left == 0)
		answer_all(o);
}

/* What has not come back by now is reported as it stands; it goes on. */
static int on_all_late(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct operation *o = userdata;

	(void)source;
	(void)usec;
	for (size_t i = 0; i < o->all->n; i++)
		if (o->all->v[i].rebinding)
			text_copy(o->all->v[i].state, sizeof(o->all->v[i].state), "pending");
	answer_all(o);
	return 0;
}

static bool is_to_be_applied(const struct device_entry *e)
{
	return e->field[FIELD_DECISION][0] || strtoul(e->field[FIELD_ADVICE], NULL, 16) != 0;
}

static int start_one(struct operation *o, struct one *one, const struct device_entry *e)
{
	struct rebinding_order order;

	one->operation = o;
	one->bus = strdup(e->field[FIELD_BUS]);
	one->name = strdup(e->field[FIELD_NAME]);
	if (!one->bus || !one->name)
		return -ENOMEM;
	order = operation_order(o, one->bus, one->name);
	order.dry_run = o->options.dry_run;
	/* A machine has more devices than can be moved before the call is answered: the others go on after
	 * that. */
	order.patient = !order.dry_run;
	return rebinding_start(o->service, &order, one_done, one, &one->rebinding);
}

int applying_all(struct operation *o)
{
	_cleanup_(freep) struct device_entry **v = devices_sorted(&o->service->devices);
	int r;

	o->phase = PHASE_REBIND;
	o->deadline = operation_now(o->service) + ANSWER_USEC;
	o->all = calloc(1, sizeof(*o->all));
	if (!v || !o->all)
		return -ENOMEM;
	o->all->v = calloc(o->service->devices.n + 1, sizeof(*o->all->v));
	if (!o->all->v)
		return -ENOMEM;
	for (size_t i = 0; v[i]; i++) {
		if (!is_to_be_applied(v[i]))
			continue;
		o->all->left++;
		r = start_one(o, &o->all->v[o->all->n++], v[i]);
		if (r < 0)
			return r;
	}
	if (o->all->n == 0) {
		answer_all(o);
		return 0;
	}
	return sd_event_add_time(o->service->event, &o->timer, CLOCK_MONOTONIC, o->deadline - RESERVE_USEC,
		10000, on_all_late, o);
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
	o->survey = survey_forget(o->survey);
	reloaded(o);
	return 0;
}

int applying_reload(struct operation *o)
{
	struct service *s = o->service;
	int r = service_load_policy(s);

	o->phase = PHASE_LOOK;
	if (r >= 0)
		r = survey_all_now(s, TRIGGER_AGAIN, reloaded, o, &o->survey);
	if (r < 0)
		return r;
	return sd_event_add_time_relative(
		s->event, &o->timer, CLOCK_MONOTONIC, ANSWER_USEC, 10000, on_reload_late, o);
}
