/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Devices that are not yet as decided; see reconcile.h. */
#include "daemon/reconcile/reconcile.h"
#include "base/macro.h"
#include "base/text.h"
#include "daemon/operation/operation.h"
#include "daemon/reconcile/rebind-queue.h"
#include "daemon/reconcile/recovery.h"
#include "daemon/refresh/refresh.h"
#include "state/evaluate.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

/* Nobody waits for it: a driver that takes long to let go may. */
#define REBIND_USEC (60U * UINT64_C(1000000))
/* For devices without a rule any more, whose id would be 0. */
#define NO_RULE 1U

struct reconciler {
	unsigned moved, failed; /* since the service began */
};

struct move {
	struct service *service;
	char *bus, *name;
	enum pending_action advice;
};

static void free_move(void *userdata)
{
	struct move *m = userdata;

	free(m->bus);
	free(m->name);
	free(m);
}

static void moved(void *userdata, const struct rebind_result *result)
{
	struct move *m = userdata;
	struct service *s = m->service;

	if (result->error[0]) {
		s->reconciler->failed++;
		log_service(LOG_WARNING, "%s %s: %s%s%s", m->bus, m->name, result->state,
			    result->state[0] ? ": " : "", result->reason);
		if (streq(result->state, "stuck"))
			recovery_await(s, m->bus, m->name);
	} else {
		s->reconciler->moved++;
		log_service(m->advice == ACTION_RECORD ? LOG_DEBUG : LOG_INFO, "%s %s: %s%s%s", m->bus,
			    m->name, result->state, result->reason[0] ? ": " : "", result->reason);
	}
	refresh_request(s, m->bus, m->name, REFRESH_ONLY);
}

static int move(struct service *s, const struct device_entry *e, enum pending_action advice)
{
	struct move *m = calloc(1, sizeof(*m));
	struct rebind_request order;
	int r = -ENOMEM;

	if (!m)
		return r;
	m->service = s;
	m->advice = advice;
	m->bus = strdup(e->field[FIELD_BUS]);
	m->name = strdup(e->field[FIELD_NAME]);
	if (m->bus && m->name) {
		order = (struct rebind_request){ .bus = m->bus,
						 .name = m->name,
						 /* It only has to be noted that all is as it should be. */
						 .rebind = advice == ACTION_RECORD ? REBIND_NO : REBIND_UNSET,
						 .destroy = free_move,
						 .patient = true,
						 .usec = REBIND_USEC };
		r = rebind_job_start(s, &order, moved, m, NULL);
	}
	if (r < 0)
		free_move(m);
	return r;
}

void reconcile_consider(struct service *s, struct device_entry *e, enum refresh_purpose trigger)
{
	enum pending_action advice = (enum pending_action)strtoul(e->field[FIELD_ADVICE], NULL, 16);
	uint64_t rule = strtoull(e->field[FIELD_RULE_ID], NULL, 16);
	int r = 0;

	/* A call that is under way for it answers for what comes of it. */
	if (operations_about(s, e->field[FIELD_BUS], e->field[FIELD_NAME]))
		return;
	if (!rule)
		rule = NO_RULE;
	switch (trigger) {
	case REFRESH_ONLY:
		return;
	case REFRESH_AND_RECONCILE:
		if (e->tried_rule == rule)
			return;
		break;
	case REFRESH_AND_RETRY:
		break;
	}
	switch (advice) {
	case ACTION_NONE:
		return;
	case ACTION_REBIND:
	case ACTION_GIVE_BACK:
	case ACTION_RECORD:
		r = move(s, e, advice);
		break;
	}
	if (r < 0)
		log_service(LOG_ERR, "%s %s: cannot be moved: %s", e->field[FIELD_BUS], e->field[FIELD_NAME],
			    strerror(-r));
	else if (advice != ACTION_RECORD)
		e->tried_rule = rule;
}

int reconciler_new(struct service *s)
{
	s->reconciler = calloc(1, sizeof(*s->reconciler));
	return s->reconciler ? 0 : -ENOMEM;
}

void reconciler_free(struct service *s)
{
	free(TAKE_PTR(s->reconciler));
}
