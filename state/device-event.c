/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What happens to a device, as entries of the journal; see device-event.h. */
#include "state/device-event.h"
#include "base/log.h"
#include "state/first-probe-claim.h"

#include <stdarg.h>
#include <stdio.h>

static const char *const message_ids[] = {
	[DEVICE_DECIDED] = "96863db2f02540d1b7f10ee1d3b6cb8f",
	[DEVICE_MOVED] = "5cc362ba31904fb6b8ab99a1b2809086",
	[DEVICE_REFUSED] = "f6c031f6cd714742a23dfb6ee516f289",
	[DEVICE_RELEASED] = "a89fc3fedad848fd8d06b1a28a088385",
	[DEVICE_LOST_FIRST_PROBE] = "0ba7d070b72f45d98033a49215c01802",
};

void device_event_log(int priority, const struct device_event *event, const char *format, ...)
{
	const struct log_field fields[] = {
		{ "MESSAGE_ID", message_ids[event->kind] },
		{ "DRIVER_OVERRIDE_BUS", event->bus },
		{ "DRIVER_OVERRIDE_NAME", event->name },
		{ "DRIVER_OVERRIDE_DECISION", event->decision },
		{ "DRIVER_OVERRIDE_RULE", event->rule },
		{ "DRIVER_OVERRIDE_SOURCE", event->source },
		{ "DRIVER_OVERRIDE_DRIVER", event->driver },
		{ "DRIVER_OVERRIDE_STATE", event->state },
		{ "DRIVER_OVERRIDE_REASON", event->reason },
		{ "DRIVER_OVERRIDE_ERROR", event->error },
		{ "DRIVER_OVERRIDE_FIRST_PROBE", event->first_probe },
		{ "DRIVER_OVERRIDE_UID", event->uid },
	};
	char text[1200];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	log_line_with_fields(priority, fields, ELEMENTSOF(fields), "%s", text);
}

struct device_event device_event_of_record(enum device_event_kind kind, const char *bus, const char *name,
					   const struct record *record)
{
	return (struct device_event){ .kind = kind,
				      .bus = bus,
				      .name = name,
				      .decision = record->decision,
				      .rule = record->rule,
				      .source = record->source,
				      .state = record_state_text(record),
				      .reason = record->reason,
				      .first_probe = first_probe_to_string(record->first_probe) };
}

void device_event_log_decision(const char *bus, const char *name, const struct record *record)
{
	const struct device_event event = device_event_of_record(DEVICE_DECIDED, bus, name, record);

	device_event_log(log_keeps_fields() ? LOG_INFO : LOG_DEBUG, &event,
			 "%s %s: %s, decided by rule %s in %s: %s%s%s", bus, name, record->decision,
			 record->rule, record->source, event.state, record->reason[0] ? ": " : "",
			 record->reason);
}
