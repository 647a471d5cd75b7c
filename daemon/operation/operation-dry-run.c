/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Has the enforcer say what would come of a change before it is written: dry runs with a staging directory
 * that stands before all others.
 */
#include "daemon/bus/bus.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "daemon/operation/operation-steps.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#define TRY_USEC (5U * UINT64_C(1000000))
/* Comes before whatever people call their files. */
#define FIRST_FILE "/!.conf"

void dry_run_leave_staging(struct operation *o)
{
	if (o->staging)
		staging_remove(o->staging);
	free(TAKE_PTR(o->staging));
}

static int try(struct operation *o, void (*done)(void *userdata, const struct rebind_result *result))
{
	struct rebind_request order = operation_order(o, o->bus, o->name);

	o->phase = PHASE_DRY_RUN;
	order.dry_run = true;
	if (order.usec > TRY_USEC)
		order.usec = TRY_USEC;
	order.staging = o->staging;
	return rebind_job_start(o->service, &order, done, o, &o->rebind_job);
}

static void go_on(struct operation *o)
{
	if (o->options.dry_run)
		operation_answer_state(o);
	else
		set_operation_write(o);
}

/* On whatever bus: a companion may be on another. */
static bool driver_is_registered(const struct service *s, const char *driver)
{
	_cleanup_(closedirp) DIR *dir = NULL;
	char path[PATH_MAX];
	const struct dirent *e;

	if (path_printf(path, sizeof(path), "%s/bus", s->settings->sysfs) < 0)
		return false;
	dir = opendir(path);
	while (dir && (e = readdir(dir)))
		if (e->d_name[0] != '.' &&
		    path_printf(path, sizeof(path), "%s/bus/%s/drivers/%s", s->settings->sysfs, e->d_name,
				driver) >= 0 &&
		    access(path, F_OK) == 0)
			return true;
	return false;
}

/* Companions are to get a driver that nobody has tried yet: a module may have it. */
static bool has_group_driver_to_try(const struct operation *o)
{
	static const char *const others[] = { "leave", "hold", "none", "vfio" };

	if (!(o->options.given & OPTION_GROUP) || streq(o->options.group, o->driver))
		return false;
	for (size_t i = 0; i < ELEMENTSOF(others); i++)
		if (streq(o->options.group, others[i]))
			return false;
	return !driver_is_registered(o->service, o->options.group);
}

static void group_tried(void *userdata, const struct rebind_result *result)
{
	struct operation *o = userdata;

	o->rebind_job = NULL;
	dry_run_leave_staging(o);
	/* Nothing else matters: it is not this device that gets the driver. */
	if (streq(result->error, "NoSuchDriver"))
		operation_fail(o, ERROR_NO_SUCH_DRIVER, "option group: %s", result->reason);
	else
		go_on(o);
}

/* The enforcer knows how to find a driver, so it is asked as if this device were to get that one. */
static int try_group_driver(struct operation *o)
{
	const struct options none = {};
	_cleanup_(freep) char *text = drop_in_text(o->bus, KEY_NAME, o->name, o->options.group, &none);
	char path[] = FIRST_FILE;
	const struct drop_in_plan plan = { .files = { { .path = path, .after = text } }, .n = 1 };
	int r = text ? operation_alloc_staging_path(o) : -ENOMEM;

	if (r >= 0)
		r = drop_in_plan_stage(&plan, o->service->settings, o->staging);
	return r < 0 ? r : try(o, group_tried);
}

static void plan_tried(struct operation *o)
{
	int r;

	dry_run_leave_staging(o);
	if (!has_group_driver_to_try(o)) {
		go_on(o);
		return;
	}
	r = try_group_driver(o);
	if (r < 0)
		operation_fail_errno(o, r, "trying the driver for its group");
}

static void tried(void *userdata, const struct rebind_result *result)
{
	struct operation *o = userdata;
	sd_bus_error error = SD_BUS_ERROR_NULL;

	o->rebind_job = NULL;
	o->result = *result;
	if (rebind_result_error(result, &error) < 0)
		operation_fail_with(o, &error);
	else
		plan_tried(o);
	sd_bus_error_free(&error);
}

/*
 * A device that has no driver and no override is to stay without: there is nothing in it to refuse. Should it
 * not be so any more, the rebind says that, and what was written is written back.
 */
static bool needs_no_trial(const struct operation *o)
{
	const struct device_entry *e = devices_find(&o->service->devices, o->bus, o->name);

	return o->kind == OPERATION_SET && !o->options.dry_run && streq(o->driver, "none") && e &&
	       !e->field[FIELD_DRIVER][0] && !e->field[FIELD_OVERRIDE][0] &&
	       !streq(e->field[FIELD_STATE], "stuck");
}

void dry_run_start(struct operation *o)
{
	int r;

	if (needs_no_trial(o)) {
		plan_tried(o);
		return;
	}
	r = try(o, tried);
	if (r < 0)
		operation_fail_errno(o, r, "starting the enforcer");
}
