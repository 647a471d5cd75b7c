/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What happens to a device, as entries of the journal that programs can search for: each kind has a message
 * id, which conf/driver-overrides.catalog explains, and the device is in fields. driver-overrided(8) lists
 * both.
 */
#pragma once

#include "base/macro.h"
#include "state/device-state.h"
#include "state/record.h"

enum device_event_kind {
	DEVICE_DECIDED,		 /* the policy says something else about it than before, or it is new */
	DEVICE_MOVED,		 /* it was made as decided */
	DEVICE_REFUSED,		 /* it was not, for the reason that the text has */
	DEVICE_RELEASED,	 /* an override of ours was cleared */
	DEVICE_LOST_FIRST_PROBE, /* another driver was bound before the override stood */
};

/* NULL and "": not known, or none. */
struct device_event {
	enum device_event_kind kind;
	const char *bus, *name;
	const char *decision, *rule, *source;
	const char *driver, *state, *reason, *first_probe;
	const char *error; /* the last part of an error's name on the bus */
	const char *uid;   /* of the user who asked for it */
};

/* One line, as log_line(); with fields where the journal is there to keep them. */
void device_event_log(int priority, const struct device_event *event, const char *format, ...) _printf_(3, 4);

/* What the record of a device says, as an event. */
struct device_event device_event_of_record(enum device_event_kind kind, const char *bus, const char *name,
					   const struct record *record);

/*
 * That this was decided. A person who runs a program sees that by what it prints, so it is for the journal
 * only.
 */
void device_event_log_decision(const char *bus, const char *name, const struct record *record);
