/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Calls about all devices: ApplyAll, ReleaseAll and Reload. */
#include "daemon/bus/bus-call.h"
#include "daemon/bus/limits.h"
#include "base/macro.h"
#include "base/text.h"
#include "base/time.h"
#include "daemon/operation/operation-steps.h"
#include "daemon/reconcile/move-log.h"
#include "policy/policy-settled.h"
#include "state/boot-attempts.h"
#include "state/device-state.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>
#include <time.h>

/* One of the devices. */
struct bulk_item {
	struct operation *operation;
	char *bus, *name;
	struct rebind_job *rebind_job;
	char state[16];
};

struct bulk_operation {
	struct bulk_item *items;
	size_t n, n_started, n_done;
	sd_event_source *pause; /* until the caller may have processes started again */
};

/* Dry runs of one call at once; those of other calls run in between. */
#define DRY_RUNS_AT_ONCE_MAX 4U
/* A dry run goes on so long after its user has had too many processes started. */
#define PAUSE_USEC 200000U

static void bulk_operation_free(struct bulk_operation *bulk)
{
	for (size_t i = 0; bulk && i < bulk->n; i++) {
		bulk->items[i].rebind_job = rebind_job_forget(bulk->items[i].rebind_job);
		free(bulk->items[i].bus);
		free(bulk->items[i].name);
	}
	if (bulk) {
		(void)sd_event_source_disable_unref(bulk->pause);
		free(bulk->items);
	}
	free(bulk);
}

static int bulk_operation_append(sd_bus_message *reply, const void *userdata)
{
	const struct bulk_operation *bulk = userdata;
	int r = sd_bus_message_open_container(reply, 'a', "(sss)");

	for (size_t i = 0; r >= 0 && i < bulk->n; i++) {
		const struct bulk_item *item = &bulk->items[i];

		r = sd_bus_message_append(reply, "(sss)", item->bus, item->name,
					  item->state[0] ? item->state
							 : device_state_to_string(STATE_PENDING));
	}
	return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int policy_append_errors(sd_bus_message *reply, const void *userdata)
{
	return bus_append_errors(reply, userdata);
}

static void operation_answer_with(struct operation *o,
				  int (*append)(sd_bus_message *reply, const void *userdata),
				  const void *userdata)
{
	int r = bus_reply(o->call, append, userdata);

	if (r < 0)
		operation_fail_errno(o, r, "answering");
	else
		operation_finish(o);
}

static int bulk_operation_start_items(struct operation *o);

static void on_item_done(void *userdata, const struct rebind_result *result)
{
	struct bulk_item *item = userdata;
	struct operation *o = item->operation;
	int r = 0;

	item->rebind_job = NULL;
	text_copy(item->state, sizeof(item->state),
		  result->state[0] ? result->state : device_state_to_string(STATE_FAILED));
	if (!o->options.dry_run) {
		move_log(o->service, item->bus, item->name, result, o->uid);
		refresh_request(o->service, item->bus, item->name, REFRESH_ONLY);
	}
	if (++o->bulk->n_done == o->bulk->n)
		operation_answer_with(o, bulk_operation_append, o->bulk);
	else
		r = bulk_operation_start_items(o);
	if (r < 0)
		operation_fail_errno(o, r, "starting");
}

static int bulk_item_start(struct operation *o, struct bulk_item *item)
{
	struct rebind_request request = operation_rebind_request(o);

	request.devices = &(struct rebind_device){ item->bus, item->name, 0 };
	request.n_devices = 1;
	/* There may be more devices than can be moved before the call has to be answered: the rest follows.
	 */
	request.background = !request.dry_run;
	return rebind_job_start(o->service, &request, on_item_done, item, &item->rebind_job);
}

static int on_pause_over(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct operation *o = userdata;
	int r;

	(void)source;
	(void)usec;
	o->bulk->pause = sd_event_source_disable_unref(o->bulk->pause);
	r = bulk_operation_start_items(o);
	if (r < 0)
		operation_fail_errno(o, r, "starting");
	return 0;
}

static int bulk_operation_start_items(struct operation *o)
{
	struct bulk_operation *bulk = o->bulk;
	int r = 0;

	while (r >= 0 && bulk->n_started < bulk->n && !bulk->pause) {
		if (o->options.dry_run && bulk->n_started - bulk->n_done >= DRY_RUNS_AT_ONCE_MAX)
			break;
		if (o->options.dry_run && !limit_take_processes(o->service, o->uid, 1))
			r = sd_event_add_time_relative(o->service->event, &bulk->pause, CLOCK_MONOTONIC,
						       PAUSE_USEC, 10000, on_pause_over, o);
		else
			r = bulk_item_start(o, &bulk->items[bulk->n_started++]);
	}
	return r;
}

static bool device_has_to_be_applied(const struct device_entry *e)
{
	return e->field[FIELD_DECISION][0] || strtoul(e->field[FIELD_ADVICE], NULL, 16) != 0;
}

static int bulk_operation_list_devices(struct operation *o)
{
	_cleanup_(freep) struct device_entry **v = devices_sorted(&o->service->devices);
	struct bulk_operation *bulk = o->bulk = calloc(1, sizeof(*o->bulk));

	o->bulk_free = bulk_operation_free;
	if (!v || !bulk)
		return -ENOMEM;
	bulk->items = calloc(o->service->devices.n + 1, sizeof(*bulk->items));
	if (!bulk->items)
		return -ENOMEM;
	for (size_t i = 0; v[i]; i++) {
		struct bulk_item *item = &bulk->items[bulk->n];

		if (!device_has_to_be_applied(v[i]))
			continue;
		bulk->n++;
		item->operation = o;
		item->bus = strdup(v[i]->field[FIELD_BUS]);
		item->name = strdup(v[i]->field[FIELD_NAME]);
		if (!item->bus || !item->name)
			return -ENOMEM;
	}
	return 0;
}

static void bulk_operation_begin(struct operation *o)
{
	int r;

	o->phase = PHASE_REBIND;
	r = bulk_operation_list_devices(o);
	if (r >= 0 && o->bulk->n == 0) {
		operation_answer_with(o, bulk_operation_append, o->bulk);
		return;
	}
	if (r >= 0)
		r = bulk_operation_start_items(o);
	if (r < 0)
		operation_fail_errno(o, r, "starting");
}

/* The devices that are not done by now are reported as pending; the enforcer goes on with them. */
static int on_bulk_late(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct operation *o = userdata;

	(void)source;
	(void)usec;
	if (o->phase == PHASE_WAIT)
		operation_fail(o, SD_BUS_ERROR_LIMITS_EXCEEDED, "your other dry runs take too long");
	else
		operation_answer_with(o, bulk_operation_append, o->bulk);
	return 0;
}

static bool operation_is_bulk(const struct operation *o)
{
	return o->kind == OPERATION_APPLY_ALL || o->kind == OPERATION_RELEASE_ALL;
}

/* Any user may ask for a dry run, which costs a process for each device: so one at a time for each user. */
static bool bulk_operation_may_begin(const struct operation *o)
{
	for (const struct operation *x = o->service->operations->first; x && o->options.dry_run; x = x->next)
		if (operation_is_bulk(x) && x->options.dry_run && x->phase > PHASE_WAIT && x->uid == o->uid)
			return false;
	return true;
}

void bulk_operations_run_waiting(struct service *s)
{
	for (struct operation *o = s->operations->first; o; o = o->next)
		if (operation_is_bulk(o) && o->phase == PHASE_WAIT && bulk_operation_may_begin(o)) {
			/* One has ended, so one begins. If that ends at once, too, it calls this again. */
			bulk_operation_begin(o);
			return;
		}
}

int bulk_operation_start(struct operation *o)
{
	int r = operation_set_timer(o, o->deadline - RESERVE_USEC, on_bulk_late);

	if (r < 0)
		return r;
	o->phase = PHASE_WAIT;
	if (bulk_operation_may_begin(o))
		bulk_operation_begin(o);
	return 0;
}

/* Reload. */

static void on_reload_done(void *userdata)
{
	struct operation *o = userdata;

	o->refresh = NULL;
	operation_answer_with(o, policy_append_errors, o->service->policy);
}

static int on_reload_late(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct operation *o = userdata;

	(void)source;
	(void)usec;
	o->refresh = refresh_forget(o->refresh);
	on_reload_done(o);
	return 0;
}

static int reload_operation_read(struct operation *o)
{
	struct service *s = o->service;
	int r = o->kind == OPERATION_RETRY ? boot_retry(s->settings) : 0;

	if (r >= 0)
		r = service_load_policy(s);
	o->phase = PHASE_REFRESH;
	if (r >= 0)
		r = refresh_all_now(s, REFRESH_AND_RETRY, on_reload_done, o, &o->refresh);
	if (r < 0)
		return r;
	return operation_set_timer(o, o->deadline, on_reload_late);
}

static int on_reload_settled(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct operation *o = userdata;
	int r = reload_operation_read(o);

	(void)source;
	(void)usec;
	if (r < 0)
		operation_fail_errno(o, r, "reading the policy");
	return 0;
}

/* The caller has just written a file, and wants to know what is wrong with it: not with the one before. */
int reload_operation_start(struct operation *o)
{
	uint64_t usec = policy_settles_in(o->service->settings);

	if (usec == 0)
		return reload_operation_read(o);
	o->phase = PHASE_WAIT;
	/* The loop's time is that of the call's arrival: the file would not be settled yet. */
	return operation_set_timer(o, now_usec() + usec, on_reload_settled);
}
