/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Moves and refusals in the journal; see move-log.h. */
#include "daemon/reconcile/move-log.h"
#include "base/text.h"
#include "daemon/bus/errors.h"
#include "state/device-event.h"

#include <stdio.h>
#include <syslog.h>

struct move_event {
	struct device_event event;
	const struct device_entry *entry; /* NULL: the device is not known */
	char uid[16];
};

static void move_event_init(struct move_event *m, enum device_event_kind kind, const struct service *s,
			    const char *bus, const char *name, uid_t uid)
{
	const struct device_entry *e = devices_find(&s->devices, bus, name);

	*m = (struct move_event){ .event = { .kind = kind, .bus = bus, .name = name }, .entry = e };
	if (uid != MOVE_OF_SERVICE)
		m->event.uid = number_to_text((unsigned)uid, m->uid);
	if (!e)
		return;
	m->event.decision = e->field[FIELD_DECISION];
	m->event.rule = e->field[FIELD_RULE];
	m->event.source = e->field[FIELD_SOURCE];
	m->event.driver = e->field[FIELD_DRIVER];
	m->event.first_probe = e->field[FIELD_FIRST_PROBE];
}

void move_log(const struct service *s, const char *bus, const char *name, const struct rebind_result *result,
	      uid_t uid)
{
	const bool failed = result->error[0] != '\0', is_call = uid != MOVE_OF_SERVICE;
	struct move_event m;
	int priority = LOG_INFO;

	move_event_init(&m, failed ? DEVICE_REFUSED : DEVICE_MOVED, s, bus, name, uid);
	m.event.state = result->state;
	m.event.reason = result->reason;
	m.event.error = result->error;
	/* A device in use is tried again and again: what is known already is not said again. Of another
	 * program's override the enforcer has told. */
	if (failed)
		priority = (!is_call && m.entry && streq(m.entry->field[FIELD_REASON], result->reason)) ||
					   (!is_call && device_state_is(result->state, STATE_FOREIGN))
				   ? LOG_DEBUG
				   : LOG_WARNING;
	else if (!result->changed)
		priority = LOG_DEBUG;
	device_event_log(priority, &m.event, "%s %s: %s%s%s", bus, name, result->state,
			 result->state[0] && result->reason[0] ? ": " : "", result->reason);
}

void refusal_log(const struct service *s, const char *bus, const char *name, const sd_bus_error *error,
		 uid_t uid)
{
	const char *last = startswith(error->name, ERROR_PREFIX);
	struct move_event m;

	move_event_init(&m, DEVICE_REFUSED, s, bus, name, uid);
	if (m.entry)
		m.event.state = m.entry->field[FIELD_STATE];
	m.event.reason = error->message;
	m.event.error = last ? last : error->name;
	device_event_log(LOG_WARNING, &m.event, "%s %s: refused: %s", bus, name,
			 error->message ? error->message : error->name);
}
