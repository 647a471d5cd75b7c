/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A move that has failed half-way: the override and the driver of before are restored. */
#include "enforce/move-parts.h"
#include "enforce/apply-record.h"
#include "base/text.h"
#include "state/device-state.h"
#include "state/record.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/*
 * Called before an override is written on the way back. As in apply.c, the record names both values until the
 * old one stands again. A probe may come in between, or the end of this process.
 */
static void record_both_overrides(const struct move *m, const char *override)
{
	struct record record = m->record;

	record.inode = m->d->inode;
	/* With this state, what was enforced before the move does not count as enforced if we end here. */
	if (m->decision->rule)
		record_describe(&record, m->decision);
	record.state = STATE_FAILED;
	text_copy(record.owned_override, sizeof(record.owned_override), m->ours ? m->override : "");
	text_copy(record.previous_override, sizeof(record.previous_override), override);
	(void)apply_write_record_or_log(m->d, NULL, &record);
}

/* Binds the driver of before. If the override of before does not admit it, its name is the override for that
 * moment. */
static int driver_restore(struct move *m)
{
	char driver[BOUND_MAX];
	int r;

	bound_driver(m->d, driver, sizeof(driver));
	if (streq(driver, m->driver))
		return 0;
	if (driver[0])
		(void)device_unbind(m->d, driver);
	r = device_bind(m->d, m->driver);
	bound_driver(m->d, driver, sizeof(driver));
	if (!streq(driver, m->driver) && !streq(m->override, m->driver)) {
		record_both_overrides(m, m->driver);
		r = override_write(m->d, m->driver);
		if (r >= 0)
			r = device_bind(m->d, m->driver);
		(void)override_write(m->d, m->override);
		bound_driver(m->d, driver, sizeof(driver));
	}
	return streq(driver, m->driver) ? 0 : r < 0 ? r : -ENODEV;
}

static int override_restore(struct move *m)
{
	char override[OVERRIDE_MAX];
	int r = sysfs_device_override(m->d, override);

	if (r < 0 || streq(override, m->override))
		return r;
	record_both_overrides(m, m->decision->driver);
	return override_write(m->d, m->override);
}

/*
 * Another program has written the override while the move was under way, so the device is that program's now.
 * If it has no driver, that may be our doing, and the one that the override admits is asked.
 */
static bool move_leave_to_other(struct move *m)
{
	char override[OVERRIDE_MAX], driver[BOUND_MAX];
	struct outcome outcome;

	if (sysfs_device_override(m->d, override) < 0 || !override[0] || streq(override, m->override) ||
	    streq(override, m->decision->driver))
		return false;
	bound_driver(m->d, driver, sizeof(driver));
	if (!driver[0])
		(void)device_probe(m->d);
	apply_decision(m->decision, OCCASION_LATER, &outcome);
	move_result_set(m->ret, STATE_FOREIGN, MOVE_FOREIGN,
			"driver_override is %.100s, which was set by another program meanwhile", override);
	return true;
}

/*
 * Nobody has asked for this move, so policy stands whatever came of it, as after an event: a device without a
 * driver keeps the override. It may be so new that the kernel's own first probe is still to come.
 */
static void move_keep_override(struct move *m)
{
	char override[OVERRIDE_MAX] = "";

	(void)sysfs_device_override(m->d, override);
	if (!m->record.released)
		apply_record_state(m->decision, override, m->ret->state, m->ret->reason, m->ret->wait_for);
}

void move_roll_back(struct move *m)
{
	size_t n;
	int r, q;

	/* Another device of its name is not the one that was moved. */
	if (sysfs_device_is_gone(m->d) || move_leave_to_other(m))
		return;
	if (m->options->keep_released && !m->driver[0] && !decision_is_nothing(m->decision)) {
		move_keep_override(m);
		return;
	}
	r = override_restore(m);
	q = m->driver[0] ? driver_restore(m) : 0;
	n = strlen(m->ret->reason);
	if (r < 0)
		(void)snprintf(m->ret->reason + n, sizeof(m->ret->reason) - n,
			       "; and driver_override could not be set back: %s", strerror(-r));
	n = strlen(m->ret->reason);
	if (q < 0)
		(void)snprintf(m->ret->reason + n, sizeof(m->ret->reason) - n,
			       "; and %s did not take it back: %s", m->driver, strerror(-q));
	else if (move_driver_is_wrong(m))
		(void)snprintf(m->ret->reason + n, sizeof(m->ret->reason) - n, "; it is back with %s",
			       m->driver);
	move_save_record(m);
}
