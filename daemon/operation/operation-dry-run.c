/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The dry run of a change, before anything is written: the enforcer says what would come of it, with a
 * staging directory that stands before all other policy.
 */
#include "base/macro.h"
#include "base/text.h"
#include "daemon/bus/errors.h"
#include "daemon/operation/operation-steps.h"
#include "state/device-state.h"
#include "sysfs/binding.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <systemd/sd-bus.h>

/* A dry run may take so long, and for each of its changes so much longer, up to a maximum. */
#define DRY_RUN_USEC (5U * UINT64_C(1000000))
#define DRY_RUN_EACH_USEC UINT64_C(50000)
#define DRY_RUN_MAX_USEC (9U * UINT64_C(1000000))
/* A name that sorts before the names people give their files. */
#define FIRST_FILE "/!.conf"

void operation_remove_staging(struct operation *o)
{
	if (o->staging)
		staging_remove(o->staging);
	free(TAKE_PTR(o->staging));
}

static struct rebind_request dry_run_request(const struct operation *o)
{
	struct rebind_request request = operation_rebind_request(o);
	uint64_t usec = DRY_RUN_USEC + o->n_changes * DRY_RUN_EACH_USEC;

	if (usec > DRY_RUN_MAX_USEC)
		usec = DRY_RUN_MAX_USEC;
	request.dry_run = true;
	if (request.usec > usec)
		request.usec = usec;
	request.staging = o->staging;
	return request;
}

static void dry_run_finish(struct operation *o)
{
	if (o->options.dry_run)
		operation_answer(o);
	else
		set_operation_write(o);
}

/* Group= names a driver that the dry run of the device did not look for; a module may bring it. */
static bool group_driver_is_unchecked(const struct device_change *c)
{
	static const char *const keywords[] = { "leave", "hold", "none", "vfio" };
	const struct device_change *before = c->operation->changes;

	if (c->is_absent)
		return false;
	if (sd_bus_error_is_set(&c->error) || !(c->options.given & OPTION_GROUP) ||
	    streq(c->options.group, c->driver))
		return false;
	for (size_t i = 0; i < ELEMENTSOF(keywords); i++)
		if (streq(c->options.group, keywords[i]))
			return false;
	for (; before < c; before++)
		if (!sd_bus_error_is_set(&before->error) && streq(before->bus, c->bus) &&
		    streq(before->options.group, c->options.group))
			return false;
	/* On any bus, since another member may be on another bus than the device. */
	return !driver_is_registered_anywhere(c->operation->service->settings->sysfs, c->options.group);
}

static void dry_run_check_groups(struct operation *o);

static void on_group_driver_checked(void *userdata, const struct rebind_result *results)
{
	struct device_change *c = userdata;
	struct operation *o = c->operation;

	c->rebind_job = NULL;
	operation_remove_staging(o);
	/* Other errors do not count: this device does not get the driver. */
	if (streq(results[0].error, "NoSuchDriver"))
		(void)sd_bus_error_setf(&c->error, ERROR_NO_SUCH_DRIVER, "option group: %s",
					results[0].reason);
	o->group_at++;
	dry_run_check_groups(o);
}

/* The enforcer knows how to find a driver, so it is asked as if this device were to get the group's. */
static int dry_run_check_group_driver(struct device_change *c)
{
	struct operation *o = c->operation;
	const struct drop_in_rule rule = {
		.bus = c->bus, .key = KEY_NAME, .value = c->name, .driver = c->options.group
	};
	_cleanup_(freep) char *text = drop_in_text(&rule);
	char path[] = FIRST_FILE;
	const struct drop_in_plan plan = { .files = { { .path = path, .after = text } }, .n = 1 };
	const struct rebind_device device = { c->bus, c->name, c->inode };
	struct rebind_request request;
	int r = text ? operation_alloc_staging_path(o) : -ENOMEM;

	if (r >= 0)
		r = staging_make(o->staging);
	if (r >= 0)
		r = drop_in_plan_stage(&plan, o->service->settings, o->staging);
	if (r < 0)
		return r;
	request = dry_run_request(o);
	operation_options_for_enforcer(o, &c->options, &request);
	request.devices = &device;
	request.n_devices = 1;
	return rebind_job_start(o->service, &request, on_group_driver_checked, c, &c->rebind_job);
}

/* One after the other, which is seldom more than one: each driver is looked for once. */
static void dry_run_check_groups(struct operation *o)
{
	int r;

	while (o->group_at < o->n_changes && !group_driver_is_unchecked(&o->changes[o->group_at]))
		o->group_at++;
	if (o->group_at == o->n_changes) {
		if (operation_goes_on_or_refuse(o))
			dry_run_finish(o);
		return;
	}
	r = dry_run_check_group_driver(&o->changes[o->group_at]);
	if (r < 0)
		operation_fail_errno(o, r, "trying the driver for its group");
}

static void on_dry_runs_done(struct operation *o)
{
	operation_remove_staging(o);
	FOREACH_LIVE_CHANGE (c, o)
		(void)rebind_result_error(&c->result, &c->error);
	if (!operation_goes_on_or_refuse(o))
		return;
	o->group_at = 0;
	dry_run_check_groups(o);
}

/*
 * A device without driver and override, which is to stay without: the dry run could refuse nothing. If the
 * device has changed since it was read, the rebind fails and what was written is undone.
 */
static bool dry_run_is_needless(const struct device_change *c)
{
	const struct device_entry *e = devices_find(&c->operation->service->devices, c->bus, c->name);

	if (c->is_absent)
		return true;
	return c->driver && !c->operation->options.dry_run && streq(c->driver, "none") && e &&
	       !e->field[FIELD_DRIVER][0] && !e->field[FIELD_OVERRIDE][0] &&
	       !device_state_is(e->field[FIELD_STATE], STATE_STUCK);
}

void dry_run_start(struct operation *o)
{
	struct rebind_request request = dry_run_request(o);

	o->phase = PHASE_DRY_RUN;
	operation_enforce(o, &request, dry_run_is_needless, on_dry_runs_done);
}
