/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether the caller of an operation may have it done. The plan is checked first: no password is asked for a
 * call that would be refused anyway. Then polkit is told all that the call would do, once for all of its
 * changes.
 */
#include "base/macro.h"
#include "base/text.h"
#include "daemon/bus/bus-call.h"
#include "daemon/bus/errors.h"
#include "daemon/bus/limits.h"
#include "daemon/bus/polkit.h"
#include "daemon/operation/operation-steps.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>

/* Between the values of a detail. No name, and no value of an option, has one. */
#define DETAIL_SEPARATOR '\n'

static const size_t detail_fields[POLKIT_DETAILS] = {
	offsetof(struct polkit_details, bus),	  offsetof(struct polkit_details, name),
	offsetof(struct polkit_details, driver),  offsetof(struct polkit_details, modalias),
	offsetof(struct polkit_details, group),	  offsetof(struct polkit_details, module),
	offsetof(struct polkit_details, by),	  offsetof(struct polkit_details, rebind),
	offsetof(struct polkit_details, runtime), offsetof(struct polkit_details, any_device),
	offsetof(struct polkit_details, absent)
};

static void change_describe(const struct device_change *c, struct polkit_details *ret)
{
	*ret = (struct polkit_details){ .bus = c->bus,
					.name = c->name,
					.driver = c->driver,
					.modalias = c->modalias,
					/* Not the option: for a device that is there it changes nothing. */
					.absent = c->is_absent ? "true" : NULL };
	operation_options_describe(&c->options, operation_changes_policy(c->operation), c->driver != NULL,
				   ret);
}

static const char **detail_of(struct polkit_details *details, size_t i)
{
	return (const char **)((char *)details + detail_fields[i]);
}

/* One detail of all changes that are to be made, in their order. NULL: out of memory. */
static char *operation_join_detail(const struct operation *o, size_t i)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	bool is_first = true;

	if (!f)
		return NULL;
	FOREACH_LIVE_CHANGE (c, o) {
		struct polkit_details details;
		const char *value;

		change_describe(c, &details);
		value = *detail_of(&details, i);
		if (!is_first)
			(void)fputc(DETAIL_SEPARATOR, f);
		(void)fputs(value ? value : "", f);
		is_first = false;
	}
	if (fclose(f) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

static int operation_describe(struct operation *o, struct polkit_details *ret)
{
	*ret = (struct polkit_details){};
	if (o->n_changes == 0)
		operation_options_describe(&o->options, false, false, ret);
	else if (o->kind != OPERATION_SET_MANY)
		change_describe(&o->changes[0], ret);
	else {
		FOREACH_LIVE_CHANGE (c, o) {
			struct polkit_details details;

			change_describe(c, &details);
			ret->force = ret->force || details.force;
			ret->n_devices++;
		}
		for (size_t i = 0; i < ELEMENTSOF(detail_fields); i++) {
			*detail_of(ret, i) = o->polkit_texts[i] = operation_join_detail(o, i);
			if (!o->polkit_texts[i])
				return -ENOMEM;
		}
	}
	return 0;
}

static void on_authorized(void *userdata, const sd_bus_error *error)
{
	struct operation *o = userdata;

	if (error) {
		operation_fail_with(o, error);
		return;
	}
	o->authorization = polkit_authorization_free(o->authorization);
	operation_give_back_limit(o, LIMIT_UNAUTHORIZED);
	if (o->asked_at)
		o->deadline += operation_now(o->service) - o->asked_at;
	/* While a person typed a password, another card may have been put into the slot. */
	FOREACH_LIVE_CHANGE (c, o) {
		uint64_t inode;
		int r = bus_device_inode(o->service, c->bus, c->name, &inode);

		if (c->is_absent) {
			/* The rule would be about whatever has come, and polkit was not told what that is. */
			if (r >= 0)
				(void)sd_bus_error_setf(
					&c->error, ERROR_NO_SUCH_DEVICE,
					"%s %s was absent, and has come meanwhile: call again", c->bus,
					c->name);
		} else if (r < 0 || inode != c->inode)
			change_refuse_gone(c);
	}
	if (operation_goes_on_or_refuse(o))
		operation_execute(o);
}

static void operation_ask_polkit(struct operation *o)
{
	struct polkit_details details;
	int r = operation_describe(o, &details);

	if (sd_bus_message_get_allow_interactive_authorization(o->call) > 0)
		o->asked_at = operation_now(o->service);
	if (r >= 0)
		r = polkit_authorization_ask(o->service, o->call, &details, on_authorized, o,
					     &o->authorization);
	if (r < 0)
		operation_fail_errno(o, r, "asking polkit");
}

/* False: the table has no such device, or one that had its name before. */
static bool change_take_modalias(struct device_change *c)
{
	const struct device_entry *e = devices_find(&c->operation->service->devices, c->bus, c->name);

	if (c->is_absent)
		return true;
	if (!e || strtoull(e->field[FIELD_INODE], NULL, 16) != c->inode)
		return false;
	free(c->modalias);
	c->modalias = strdup(e->field[FIELD_MODALIAS]);
	return true;
}

static void on_devices_known(void *userdata)
{
	struct operation *o = userdata;

	o->refresh = NULL;
	FOREACH_LIVE_CHANGE (c, o)
		if (!change_take_modalias(c))
			change_refuse_gone(c);
	if (operation_goes_on_or_refuse(o))
		operation_ask_polkit(o);
}

/* What polkit is told of the devices has to be about those that the call was made for. */
static void operation_know_devices_and_ask(struct operation *o)
{
	bool are_known = true;
	int r = 0;

	FOREACH_LIVE_CHANGE (c, o)
		are_known = change_take_modalias(c) && are_known;
	if (are_known)
		operation_ask_polkit(o);
	else
		r = operation_refresh_devices(o, on_devices_known);
	if (r < 0)
		operation_fail_errno(o, r, "looking at the device");
}

static void on_plan_checked(void *userdata, struct child_result result, const char *out, size_t size,
			    const struct task_note *note)
{
	struct operation *o = userdata;

	if (!set_operation_take_plan_or_refuse(o, result, out, size, note))
		return;
	/* It is made anew once the caller is authorized. */
	FOREACH_LIVE_CHANGE (c, o)
		drop_in_plan_done(&c->plan);
	operation_know_devices_and_ask(o);
}

int operation_authorize(struct operation *o, sd_bus_error *reterr)
{
	int r = operation_check_devices(o, reterr);

	if (r < 0)
		return r;
	if (!operation_goes_on_or_refuse(o))
		return 0;
	if (!operation_take_limit(o, LIMIT_UNAUTHORIZED))
		return operation_refuse_limit(reterr, "calls wait for authorization");
	if (!operation_changes_policy(o)) {
		operation_know_devices_and_ask(o);
		return 0;
	}
	if (!limit_take_processes(o->service, o->uid, operation_processes(o)))
		return operation_refuse_limit(reterr, "calls in a short time; try again in a few seconds");
	return set_operation_plan(o, false, on_plan_checked);
}
