/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is logged of an outcome; see apply.h. */
#include "enforce/apply.h"
#include "state/device-event.h"
#include "state/record.h"

#include <syslog.h>

void outcome_log_failure(const struct decision *decision, const struct outcome *o)
{
	const struct sysfs_device *d = to_sysfs_device(decision->device);
	struct record record = { .state = o->state };
	struct device_event event;

	if (decision->rule)
		record_describe(&record, decision);
	event = device_event_of_record(DEVICE_REFUSED, d->bus, d->name, &record);
	event.reason = o->reason;
	device_event_log(LOG_ERR, &event, "%s %s: %s", d->bus, d->name, o->reason);
}
