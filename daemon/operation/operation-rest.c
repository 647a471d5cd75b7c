/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Changes of a call that the enforcer had no time to begin, since it was at work on the others. Nothing is
 * wrong with them: their rules stay, the call is answered with `pending` for each, and then each has its
 * device moved in the background.
 */
#include "base/log.h"
#include "base/text.h"
#include "daemon/operation/operation-steps.h"
#include "daemon/reconcile/move-log.h"
#include "state/device-state.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

/* No caller waits for it, so a driver that takes long to let go may take it. */
#define REST_USEC (60U * UINT64_C(1000000))

/* A device that is moved after its call was answered. */
struct late_move {
	struct service *service;
	char *bus, *name;
	uid_t uid;
};

static void late_move_free(void *userdata)
{
	struct late_move *m = userdata;

	free(m->bus);
	free(m->name);
	free(m);
}

static void on_late_move_done(void *userdata, const struct rebind_result *result)
{
	const struct late_move *m = userdata;

	move_log(m->service, m->bus, m->name, result, m->uid);
	refresh_request(m->service, m->bus, m->name, REFRESH_ONLY);
}

static int late_move_start(const struct operation *o, const struct device_change *c)
{
	struct late_move *m = calloc(1, sizeof(*m));
	const struct rebind_device device = { c->bus, c->name, c->inode };
	struct rebind_request request = { .devices = &device,
					  .n_devices = 1,
					  .destroy = late_move_free,
					  .background = true,
					  .usec = REST_USEC };
	int r = -ENOMEM;

	if (!m)
		return r;
	*m = (struct late_move){ o->service, strdup(c->bus), strdup(c->name), o->uid };
	operation_options_for_enforcer(o, &c->options, &request);
	if (m->bus && m->name)
		r = rebind_job_start(o->service, &request, on_late_move_done, m, NULL);
	if (r < 0)
		late_move_free(m);
	return r;
}

void operation_note_rest(struct operation *o)
{
	FOREACH_LIVE_CHANGE (c, o) {
		c->follows = streq(c->result.error, REBIND_NOT_BEGUN);
		if (!c->follows)
			continue;
		c->result.error[0] = '\0';
		text_copy(c->result.state, sizeof(c->result.state), device_state_to_string(STATE_PENDING));
	}
}

void operation_start_rest(struct operation *o)
{
	for (const struct device_change *c = o->changes; c < o->changes + o->n_changes; c++) {
		int r = c->follows ? late_move_start(o, c) : 0;

		if (r < 0)
			log_errno(LOG_ERR, r, "%s %s: starting to move it: %m, leaving it pending", c->bus,
				  c->name);
	}
}
