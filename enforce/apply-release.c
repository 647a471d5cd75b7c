/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Gives a device back to its own driver, without unbinding it; see apply.h. */
#include "enforce/apply.h"
#include "base/errno.h"
#include "base/text.h"
#include "state/evaluate.h"
#include "state/record.h"
#include "state/record-file.h"
#include "sysfs/binding.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/*
 * Where the override reads as unset by the text "(null)", that text may be the override itself: a script that
 * saves what it reads and writes it back sets it, and no driver comes any more. A newline clears it, and
 * changes nothing where there is none.
 */
static bool override_may_be_null_text(const struct sysfs_device *d)
{
	char text[OVERRIDE_MAX];

	return sysfs_device_read(d, "driver_override", text, sizeof(text)) >= 0 && streq(text, "(null)");
}

bool apply_clear_null_text(struct sysfs_device *d)
{
	char driver[BOUND_MAX];

	bound_driver(d, driver, sizeof(driver));
	return !driver[0] && override_may_be_null_text(d) && override_write(d, "") >= 0;
}

/*
 * From here on a device without its override is our doing: if we are killed before the record is removed, and
 * the decision comes back, nobody must take the device for one that others have changed. The record is about
 * no decision, so what was seen enforced is forgotten. Where it cannot be written, that is missing, and no
 * more.
 */
static void record_expect_release(struct sysfs_device *d, const struct record *old)
{
	struct record record = { .inode = d->inode,
				 .released = old->released,
				 .state = STATE_PENDING,
				 .first_probe = old->first_probe };

	if (!old->enforced)
		return;
	(void)strcpy(record.owned_override, old->owned_override);
	(void)strcpy(record.previous_override, old->previous_override);
	(void)strcpy(record.driver_by_override, old->driver_by_override);
	(void)strcpy(record.driver_before_override, old->driver_before_override);
	ignore_error(record_write(d->sysfs->state_dir, sysfs_device_key(d), &record));
}

static int override_release(struct sysfs_device *d, const struct record *record, char *reterr_reason,
			    size_t size)
{
	char override[OVERRIDE_MAX];
	int r = sysfs_device_override(d, override);

	if (r < 0) {
		(void)snprintf(reterr_reason, size, "reading driver_override: %s", strerror(-r));
		return r;
	}
	if (!record_owns(record, override))
		return 0;
	record_expect_release(d, record);
	r = override_write(d, "");
	if (r < 0) {
		(void)snprintf(reterr_reason, size, "clearing driver_override: %s", strerror(-r));
		return r;
	}
	return 1;
}

/* Nothing of ours is left to remember, but that a person has had it released. */
static int record_forget(struct sysfs_device *d, const struct record *old)
{
	struct record record = {
		.inode = d->inode, .released = true, .state = STATE_UNMANAGED, .first_probe = old->first_probe
	};

	if (!old->released)
		return record_remove(d->sysfs->state_dir, sysfs_device_key(d));
	text_copy(record.reason, sizeof(record.reason), REASON_RELEASED);
	return record_write(d->sysfs->state_dir, sysfs_device_key(d), &record);
}

int apply_release(struct sysfs_device *d, char *reterr_reason, size_t size)
{
	const char *state_dir = d->sysfs->state_dir;
	char driver[BOUND_MAX];
	struct record record = {};
	int r, cleared = 0;

	if (state_dir && record_read(state_dir, d->bus, d->name, d->inode, &record) >= 0) {
		if (record.owned_override[0] || record.previous_override[0])
			cleared = override_release(d, &record, reterr_reason, size);
		if (cleared < 0)
			return cleared;
		r = record_forget(d, &record);
		if (r < 0) {
			(void)snprintf(reterr_reason, size, "%s the record: %s",
				       record.released ? "writing" : "removing", strerror(-r));
			return r;
		}
	}
	bound_driver(d, driver, sizeof(driver));
	if ((cleared || apply_clear_null_text(d)) && !driver[0] && !bus_is_probed_by_hand(d))
		(void)device_probe(d); /* by whichever driver there is for it; none is as good an answer */
	return cleared;
}
