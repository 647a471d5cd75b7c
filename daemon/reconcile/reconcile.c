/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Devices that are not yet as decided; see reconcile.h. */
#include "daemon/reconcile/reconcile.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/macro.h"
#include "base/text.h"
#include "daemon/operation/operation.h"
#include "daemon/reconcile/move-log.h"
#include "daemon/reconcile/rebind-queue.h"
#include "daemon/reconcile/recovery.h"
#include "daemon/refresh/refresh.h"
#include "daemon/watch/watch-writer.h"
#include "state/device-state.h"
#include "state/evaluate.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

/* No caller waits for it, so a driver that takes long to let go may take it. */
#define REBIND_USEC (60U * UINT64_C(1000000))
/* The rule's id of devices that no rule is about any more; 0 would mean that none was tried. */
#define NO_RULE 1U

struct reconciler {
	unsigned moved, failed; /* since the service began */
};

/* One device on its way. */
struct reconcile_move {
	struct service *service;
	char *bus, *name;
};

static void move_free(void *userdata)
{
	struct reconcile_move *m = userdata;

	free(m->bus);
	free(m->name);
	free(m);
}

/*
 * The policy was another one when the enforcer had the device than when it was looked at, and may be the one
 * before again by now. So what the look asked for was not tried yet. Only once in a row: the two may be of
 * different minds for longer.
 */
static enum refresh_purpose move_check_decision(struct device_entry *e, const struct rebind_result *result)
{
	const bool differs = !result->error[0] && !streq(result->decision, e->field[FIELD_DECISION]);
	const bool again = differs && !e->differed;

	e->differed = differs;
	if (differs)
		e->tried_rule = 0;
	return again ? REFRESH_AND_RECONCILE : REFRESH_ONLY;
}

static void on_move_done(void *userdata, const struct rebind_result *result)
{
	struct reconcile_move *m = userdata;
	struct service *s = m->service;
	struct device_entry *e = devices_find(&s->devices, m->bus, m->name);

	move_log(s, m->bus, m->name, result, MOVE_OF_SERVICE);
	if (result->error[0]) {
		s->reconciler->failed++;
		if (device_state_is(result->state, STATE_STUCK))
			recovery_await(s, m->bus, m->name);
	} else {
		s->reconciler->moved++;
	}
	refresh_request(s, m->bus, m->name, e ? move_check_decision(e, result) : REFRESH_ONLY);
}

static void on_note_done(void *userdata, const struct rebind_result *result)
{
	struct reconcile_move *m = userdata;

	/* What was noted the enforcer has logged itself. */
	if (result->error[0])
		log_line(LOG_WARNING, "%s %s: recording what others have changed: %s", m->bus, m->name,
			 result->reason);
	refresh_request(m->service, m->bus, m->name, REFRESH_ONLY);
}

/* writer: with ACTION_NOTE. */
static int reconcile_job_start(struct service *s, const struct device_entry *e, enum pending_action action,
			       const char *writer)
{
	struct reconcile_move *m = calloc(1, sizeof(*m));
	struct rebind_request request;
	struct rebind_device device;
	int r = -ENOMEM;

	if (!m)
		return r;
	m->service = s;
	m->bus = strdup(e->field[FIELD_BUS]);
	m->name = strdup(e->field[FIELD_NAME]);
	if (m->bus && m->name) {
		/* Another device that has the name since has a look of its own. */
		device = (struct rebind_device){ m->bus, m->name, strtoull(e->field[FIELD_INODE], NULL, 16) };
		request =
			(struct rebind_request){ .devices = &device,
						 .n_devices = 1,
						 /* It only has to be recorded that all is as it should be. */
						 .rebind = action == ACTION_RECORD ? REBIND_NO : REBIND_UNSET,
						 .written_by = action == ACTION_NOTE ? writer : NULL,
						 .keep_released = true,
						 .destroy = move_free,
						 .background = true,
						 .usec = REBIND_USEC };
		r = rebind_job_start(s, &request, action == ACTION_NOTE ? on_note_done : on_move_done, m,
				     NULL);
	}
	if (r < 0)
		move_free(m);
	return r;
}

/* Others have changed the device: that is recorded, once for each change that a look has found. */
static int device_note(struct service *s, struct device_entry *e)
{
	const char *state = e->field[FIELD_STATE], *reason = e->field[FIELD_REASON];
	uint64_t seen = fnv1a(fnv1a(FNV_BASIS, state, strlen(state) + 1), reason, strlen(reason));
	char writer[WATCH_WRITER_SIZE];

	if (seen == e->noted)
		return 0;
	e->noted = seen;
	watch_writer_find(s, e, writer, sizeof(writer));
	return reconcile_job_start(s, e, ACTION_NOTE, writer);
}

static void device_reconcile(struct service *s, struct device_entry *e, enum refresh_purpose purpose)
{
	enum pending_action action = (enum pending_action)strtoul(e->field[FIELD_ADVICE], NULL, 16);
	uint64_t rule = strtoull(e->field[FIELD_RULE_ID], NULL, 16);
	int r = 0;

	/* A call that is under way for the device answers for what comes of it. */
	if (operations_about(s, e->field[FIELD_BUS], e->field[FIELD_NAME])) {
		if (purpose > REFRESH_ONLY)
			refresh_look_later(e, purpose);
		return;
	}
	if (!rule)
		rule = NO_RULE;
	if (action == ACTION_NOTE) {
		r = device_note(s, e);
		if (r < 0)
			log_errno(LOG_ERR, r, "%s %s: recording what others have changed",
				  e->field[FIELD_BUS], e->field[FIELD_NAME]);
		return;
	}
	e->noted = 0;
	switch (purpose) {
	case REFRESH_ONLY:
		return;
	case REFRESH_AND_RECONCILE:
		if (e->tried_rule == rule)
			return;
		break;
	case REFRESH_AND_RETRY:
		break;
	}
	switch (action) {
	case ACTION_NONE:
	case ACTION_NOTE:
		return;
	case ACTION_REBIND:
	case ACTION_GIVE_BACK:
	case ACTION_RECORD:
		r = reconcile_job_start(s, e, action, NULL);
		break;
	}
	if (r < 0)
		log_errno(LOG_ERR, r, "%s %s: starting to move it", e->field[FIELD_BUS],
			  e->field[FIELD_NAME]);
	else if (action != ACTION_RECORD)
		e->tried_rule = rule;
}

static void reconcile_on_device_found(struct service *s, const struct refresh_finding *found)
{
	/* What was tried was for another device, or another decision: that rule may come again. */
	if (!found->added && found->changed & (UINT32_C(1) << FIELD_INODE | UINT32_C(1) << FIELD_RULE_ID |
					       UINT32_C(1) << FIELD_DECISION))
		found->entry->tried_rule = 0;
	device_reconcile(s, found->entry, found->purpose);
}

const struct refresh_observer reconcile_observer = {
	.device_found = reconcile_on_device_found,
	.device_overtaken = device_reconcile,
};

int reconciler_new(struct service *s)
{
	s->reconciler = calloc(1, sizeof(*s->reconciler));
	return s->reconciler ? 0 : -ENOMEM;
}

void reconciler_free(struct service *s)
{
	free(TAKE_PTR(s->reconciler));
}
