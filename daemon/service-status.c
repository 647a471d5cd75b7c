/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The status line of `systemctl status`; see service-status.h. */
#include "daemon/service-status.h"
#include "base/text.h"
#include "state/device-state.h"

#include <stddef.h>
#include <systemd/sd-daemon.h>

void service_tell_status(struct service *s)
{
	size_t decided = 0, as_decided = 0, blocked = 0;

	for (struct device_entry *e = NULL; (e = devices_next(&s->devices, e));) {
		enum device_state state = device_state_from_string(e->field[FIELD_STATE]);

		if (!e->field[FIELD_DECISION][0])
			continue;
		decided++;
		as_decided += state == STATE_ENFORCED || state == STATE_HELD;
		blocked += state == STATE_BLOCKED || state == STATE_FAILED || state == STATE_STUCK;
	}
	(void)sd_notifyf(0,
			 "STATUS=%zu rules, %zu errors in policy files; of %zu devices %zu are decided, %zu "
			 "of those are as decided, %zu are blocked, failed or stuck",
			 s->policy->n_rules, s->policy->n_errors, s->devices.n, decided, as_decided, blocked);
}

const struct refresh_observer service_status_observer = { .refresh_finished = service_tell_status };
