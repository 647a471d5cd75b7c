/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Signals of devices; see device-signals.h. */
#include "daemon/bus/device-signals.h"
#include "base/macro.h"
#include "base/text.h"
#include "daemon/bus/bus-signals.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>
#include <time.h>

/* Looks that belong together, such as those of a move's events, come within this time. */
#define SOON_USEC 20000U
/* Devices that are told of before other calls are handled: it takes some milliseconds. */
#define SLICE_DEVICES 64U

struct device_signals {
	struct device_entry *first, *last; /* those of which there is something to tell */
	uint64_t told_generation;	   /* as DecidedGeneration */
	sd_event_source *soon;
};

const char *const device_property_names[FIELD_COUNT] = {
	[FIELD_BUS] = "Bus",	       [FIELD_NAME] = "Name",	      [FIELD_SYSFS_PATH] = "SysfsPath",
	[FIELD_PATH] = "Path",	       [FIELD_DRIVER] = "Driver",     [FIELD_OVERRIDE] = "Override",
	[FIELD_DECISION] = "Decision", [FIELD_RULE] = "Rule",	      [FIELD_SOURCE] = "Source",
	[FIELD_STATE] = "State",       [FIELD_REASON] = "Reason",     [FIELD_FIRST_PROBE] = "FirstProbe",
	[FIELD_NODE] = "Node",	       [FIELD_IDENTITY] = "Identity", [FIELD_GROUP] = "Group",
};

/* A bit for each field that the bus shows. */
static uint32_t shown_fields(void)
{
	uint32_t fields = 0;

	for (size_t i = 0; i < FIELD_COUNT; i++)
		if (device_property_names[i])
			fields |= UINT32_C(1) << i;
	return fields;
}

static void untold_arm(struct device_signals *all, uint64_t usec)
{
	(void)sd_event_source_set_time_relative(all->soon, usec);
	(void)sd_event_source_set_enabled(all->soon, SD_EVENT_ONESHOT);
}

static void untold_append(struct service *s, struct device_entry *e)
{
	struct device_signals *all = s->device_signals;

	if (e->untold.queued)
		return;
	if (!all->first)
		untold_arm(all, SOON_USEC);
	e->untold.queued = true;
	e->untold.before = all->last;
	*(all->last ? &all->last->untold.after : &all->first) = e;
	all->last = e;
}

static void untold_remove(struct service *s, struct device_entry *e)
{
	struct device_signals *all = s->device_signals;
	struct device_untold *u = &e->untold;

	if (!u->queued)
		return;
	*(u->before ? &u->before->untold.after : &all->first) = u->after;
	*(u->after ? &u->after->untold.before : &all->last) = u->before;
	*u = (struct device_untold){};
}

/* Buses has changed if the table has no device of this bus but so many. */
static void signal_buses_changed(struct service *s, const char *bus, unsigned others)
{
	for (struct device_entry *e = NULL; (e = devices_next(&s->devices, e));)
		if (streq(e->field[FIELD_BUS], bus) && others-- == 0)
			return;
	signal_manager_changed(s, "Buses");
}

static void signal_device_changed(struct service *s, const char *path, uint32_t changed)
{
	const char *names[FIELD_COUNT + 2] = {};
	size_t n = 0;

	for (size_t i = 0; i < FIELD_COUNT; i++)
		if (changed & (UINT32_C(1) << i))
			names[n++] = device_property_names[i];
	names[n] = DEVICE_CHANGED_PROPERTY;
	signal_log_failure(sd_bus_emit_properties_changed_strv(s->bus, path, DEVICE_INTERFACE,
							       (char **)(uintptr_t)names));
}

static void signal_device_untold(struct service *s, const struct device_entry *e,
				 const struct device_untold *untold)
{
	_cleanup_(freep) char *path = device_object_path(e);

	if (!path)
		return;
	if (untold->added)
		signal_log_failure(sd_bus_emit_object_added(s->bus, path));
	else if (untold->changed)
		signal_device_changed(s, path, untold->changed);
	if (untold->decided)
		signal_log_failure(sd_bus_emit_signal(s->bus, BUS_PATH, MANAGER_INTERFACE, "DeviceDecided",
						      "oss", path, e->field[FIELD_DECISION],
						      e->field[FIELD_FIRST_PROBE]));
}

bool device_signals_tell_some(struct service *s)
{
	struct device_signals *all = s->device_signals;

	if (!all->first)
		return false;
	for (unsigned i = 0; i < SLICE_DEVICES && all->first; i++) {
		struct device_entry *e = all->first;
		struct device_untold untold = e->untold;

		untold_remove(s, e);
		signal_device_untold(s, e, &untold);
	}
	return true;
}

static int on_untold_due(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct service *s = userdata;
	struct device_signals *all = s->device_signals;

	(void)source;
	(void)usec;
	(void)device_signals_tell_some(s);
	if (all->first)
		untold_arm(all, 0);
	else if (all->told_generation != s->decided_generation) {
		/* Clients hear of it after the signals of all devices that this policy decides about. */
		all->told_generation = s->decided_generation;
		signal_manager_changed(s, "DecidedGeneration");
	}
	return 0;
}

/* What depends on the decision, and on who won the first probe, is worth a signal of its own. */
static bool device_is_decided_anew(const struct refresh_finding *found)
{
	const uint32_t decision = UINT32_C(1) << FIELD_DECISION, first_probe = UINT32_C(1)
									       << FIELD_FIRST_PROBE;
	bool decided = found->entry->field[FIELD_DECISION][0];

	if (found->added)
		return decided;
	return (found->changed & decision) || ((found->changed & first_probe) && decided);
}

static void device_signals_on_device_found(struct service *s, const struct refresh_finding *found)
{
	struct device_entry *e = found->entry;
	uint32_t changed = found->added ? 0 : found->changed & shown_fields();

	e->n_changes += changed != 0;
	if (!s->announced || (!found->added && !changed))
		return;
	if (found->added)
		signal_buses_changed(s, e->field[FIELD_BUS], 1);
	untold_append(s, e);
	e->untold.added |= found->added;
	e->untold.changed |= changed;
	e->untold.decided |= device_is_decided_anew(found);
}

/* While the device can still be found: sd-bus looks up what it is to say the end of. */
static void device_signals_on_device_leaving(struct service *s, struct device_entry *e)
{
	/* If nothing but its name was ever known, or it has not been told yet, it never was for the bus. */
	bool told = e->seq > 0 && !e->untold.added;
	_cleanup_(freep) char *path = NULL;

	untold_remove(s, e);
	if (s->announced && told)
		path = device_object_path(e);
	if (path)
		signal_log_failure(sd_bus_emit_object_removed(s->bus, path));
}

static void device_signals_on_device_left(struct service *s, const char *bus, const char *group)
{
	(void)group;
	if (s->announced)
		signal_buses_changed(s, bus, 0);
}

static void device_signals_on_look_finished(struct service *s)
{
	struct device_signals *all = s->device_signals;

	/* What the first look has found is there when the service gets its name. */
	if (!s->announced)
		all->told_generation = s->decided_generation;
	else if (!all->first && all->told_generation != s->decided_generation)
		untold_arm(all, SOON_USEC);
}

const struct refresh_observer device_signals_observer = {
	.device_found = device_signals_on_device_found,
	.device_leaving = device_signals_on_device_leaving,
	.device_left = device_signals_on_device_left,
	.refresh_finished = device_signals_on_look_finished,
};

int device_signals_new(struct service *s)
{
	struct device_signals *all = s->device_signals = calloc(1, sizeof(*all));
	int r;

	if (!all)
		return -ENOMEM;
	r = sd_event_add_time_relative(s->event, &all->soon, CLOCK_MONOTONIC, SOON_USEC, 1000, on_untold_due,
				       s);
	/* Calls and these signals take turns. */
	if (r >= 0)
		r = sd_event_source_set_priority(all->soon, PRIORITY_OTHERS);
	return r < 0 ? r : sd_event_source_set_enabled(all->soon, SD_EVENT_OFF);
}

void device_signals_free(struct service *s)
{
	if (s->device_signals)
		(void)sd_event_source_disable_unref(s->device_signals->soon);
	free(TAKE_PTR(s->device_signals));
}
