/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A device that goes back to its own driver, because no rule decides about it any more, or because a person
 * has it released whatever policy says.
 */
#include "base/errno.h"
#include "base/macro.h"
#include "base/text.h"
#include "enforce/apply-record.h"
#include "enforce/move-parts.h"
#include "state/evaluate.h"
#include "state/record-file.h"

#include <stdbool.h>
#include <string.h>

void move_choose_release(struct move *m)
{
	const bool is_managed = !decision_is_nothing(&m->chosen) || m->record.inode;

	m->releases =
		(m->options->release && is_managed) || (m->options->keep_released && m->record.released);
	m->releases_now = m->releases && !m->record.released;
	if (m->releases)
		m->chosen = (struct decision){ .device = &m->d->device, .missing.fact = FACT_COUNT };
}

int move_set_released(struct move *m)
{
	const struct sysfs_device *d = m->d;
	int r = 0;

	if (d->sysfs->state_dir && !m->options->dry_run && m->record.released != m->releases)
		r = record_set_released(d->sysfs->state_dir, sysfs_device_key(d), m->releases);
	if (r >= 0)
		m->record.released = m->releases;
	return r;
}

bool move_set_released_or_refuse(struct move *m)
{
	int r = move_set_released(m);

	if (r < 0)
		move_result_set(m->ret, STATE_FAILED, MOVE_FAILED, "writing the record: %s", strerror(-r));
	return r >= 0;
}

void move_give_back(struct move *m)
{
	char reason[256], driver[BOUND_MAX];
	struct outcome outcome = {};
	int r = apply_release(m->d, reason, sizeof(reason));

	if (r < 0) {
		move_result_set(m->ret, STATE_FAILED, MOVE_FAILED, "%s", reason);
		move_roll_back(m);
		return;
	}
	m->ret->changed = m->ret->changed || r > 0 || m->releases_now;
	bound_driver(m->d, driver, sizeof(driver));
	if (!driver[0] && device_probe(m->d) < 0 && move_is_refused_for_group(m, &outcome)) {
		/* The device still waits for its own driver, so it keeps a record. */
		move_result_set(m->ret, STATE_HELD, MOVE_DONE, "%s", outcome.reason);
		apply_record_state(m->decision, "", STATE_HELD, outcome.reason, "");
		return;
	}
	move_result_set(m->ret, STATE_UNMANAGED, MOVE_DONE, "%s", m->releases ? REASON_RELEASED : "");
}

void move_leave_alone(struct move *m)
{
	const bool is_to_be_noted = m->releases_now || (m->releases && m->record.state != STATE_UNMANAGED);
	char reason[256];

	m->ret->changed = m->releases_now;
	if (is_to_be_noted && !m->options->dry_run) {
		if (!move_set_released_or_refuse(m))
			return;
		if (apply_release(m->d, reason, sizeof(reason)) < 0) {
			move_result_set(m->ret, STATE_FAILED, MOVE_FAILED, "%s", reason);
			return;
		}
	}
	if (!m->options->dry_run && m->record.inode && m->decision->kind == DECISION_NOTHING &&
	    record_is_left_over(&m->record))
		ignore_error(record_remove(m->d->sysfs->state_dir, sysfs_device_key(m->d)));
	move_result_set(m->ret, m->override[0] ? STATE_FOREIGN : STATE_UNMANAGED, MOVE_DONE, "%s",
			m->releases && !m->override[0] ? REASON_RELEASED : "");
}
