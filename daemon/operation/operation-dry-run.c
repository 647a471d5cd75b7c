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

#define DRY_RUN_USEC (5U * UINT64_C(1000000))
/* A name that sorts before the names people give their files. */
#define FIRST_FILE "/!.conf"

void operation_remove_staging(struct operation *o)
{
	if (o->staging)
		staging_remove(o->staging);
	free(TAKE_PTR(o->staging));
}

static int dry_run_start_enforcer(struct operation *o,
				  void (*done)(void *userdata, const struct rebind_result *result))
{
	struct rebind_request request = operation_rebind_request(o, o->bus, o->name);

	o->phase = PHASE_DRY_RUN;
	request.dry_run = true;
	if (request.usec > DRY_RUN_USEC)
		request.usec = DRY_RUN_USEC;
	request.staging = o->staging;
	return rebind_job_start(o->service, &request, done, o, &o->rebind_job);
}

static void dry_run_finish(struct operation *o)
{
	if (o->options.dry_run)
		operation_answer_state(o);
	else
		set_operation_write(o);
}

/* Group= names a driver that the dry run of the device did not look for; a module may bring it. */
static bool group_driver_is_unchecked(const struct operation *o)
{
	static const char *const keywords[] = { "leave", "hold", "none", "vfio" };

	if (!(o->options.given & OPTION_GROUP) || streq(o->options.group, o->driver))
		return false;
	for (size_t i = 0; i < ELEMENTSOF(keywords); i++)
		if (streq(o->options.group, keywords[i]))
			return false;
	/* On any bus, since another member may be on another bus than the device. */
	return !driver_is_registered_anywhere(o->service->settings->sysfs, o->options.group);
}

static void on_group_driver_checked(void *userdata, const struct rebind_result *result)
{
	struct operation *o = userdata;

	o->rebind_job = NULL;
	operation_remove_staging(o);
	/* Other errors do not count: this device does not get the driver. */
	if (streq(result->error, "NoSuchDriver"))
		operation_fail(o, ERROR_NO_SUCH_DRIVER, "option group: %s", result->reason);
	else
		dry_run_finish(o);
}

/* The enforcer knows how to find a driver, so it is asked as if this device were to get the group's. */
static int dry_run_check_group_driver(struct operation *o)
{
	const struct drop_in_rule rule = {
		.bus = o->bus, .key = KEY_NAME, .value = o->name, .driver = o->options.group
	};
	_cleanup_(freep) char *text = drop_in_text(&rule);
	char path[] = FIRST_FILE;
	const struct drop_in_plan plan = { .files = { { .path = path, .after = text } }, .n = 1 };
	int r = text ? operation_alloc_staging_path(o) : -ENOMEM;

	if (r >= 0)
		r = drop_in_plan_stage(&plan, o->service->settings, o->staging);
	return r < 0 ? r : dry_run_start_enforcer(o, on_group_driver_checked);
}

static void dry_run_check_group(struct operation *o)
{
	int r;

	operation_remove_staging(o);
	if (!group_driver_is_unchecked(o)) {
		dry_run_finish(o);
		return;
	}
	r = dry_run_check_group_driver(o);
	if (r < 0)
		operation_fail_errno(o, r, "trying the driver for its group");
}

static void on_dry_run_done(void *userdata, const struct rebind_result *result)
{
	struct operation *o = userdata;
	sd_bus_error error = SD_BUS_ERROR_NULL;

	o->rebind_job = NULL;
	o->result = *result;
	if (rebind_result_error(result, &error) < 0)
		operation_fail_with(o, &error);
	else
		dry_run_check_group(o);
	sd_bus_error_free(&error);
}

/*
 * A device without driver and override, which is to stay without: the dry run could refuse nothing. If the
 * device has changed since it was read, the rebind fails and what was written is undone.
 */
static bool dry_run_is_needless(const struct operation *o)
{
	const struct device_entry *e = devices_find(&o->service->devices, o->bus, o->name);

	return o->kind == OPERATION_SET && !o->options.dry_run && streq(o->driver, "none") && e &&
	       !e->field[FIELD_DRIVER][0] && !e->field[FIELD_OVERRIDE][0] &&
	       !device_state_is(e->field[FIELD_STATE], STATE_STUCK);
}

void dry_run_start(struct operation *o)
{
	int r;

	if (dry_run_is_needless(o)) {
		dry_run_check_group(o);
		return;
	}
	r = dry_run_start_enforcer(o, on_dry_run_done);
	if (r < 0)
		operation_fail_errno(o, r, "starting the enforcer");
}
