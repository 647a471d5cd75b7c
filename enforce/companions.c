/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Companions in a group; see companions.h. */
#include "companions.h"
#include "apply.h"
#include "log.h"

#include <fcntl.h>

/*
 * A companion that was here before: it has no event now, so nobody loads the module of the driver it was
 * just given. Its uevent, sent again, brings it to udev like a new one.
 */
static void announce(const struct sysfs_device *d)
{
	_cleanup_(closep) int fd = -EBADF;
	char path[PATH_MAX];

	if (sysfs_device_path(d, "uevent", path, sizeof(path)) < 0)
		return;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "add", 3) < 0)
		log_line(LOG_WARNING,
			"%s %s: cannot ask for its event, so its driver's module is not loaded: %m", d->bus,
			d->name);
}

static bool is_to_be_applied(const struct decision *companion)
{
	return companion->kind != DECISION_NOTHING &&
	       sysfs_device_is_supported(to_sysfs_device(companion->device));
}

/* All overrides stand before the first probe begins, which may take longer than the event lasts. */
int apply_companions(const struct decision *decision)
{
	_cleanup_(freep) bool *wrote = calloc(decision->n_members + 1, sizeof(bool));
	struct outcome outcome;

	if (!wrote)
		return -ENOMEM;
	for (size_t i = 0; i < decision->n_members; i++) {
		if (!is_to_be_applied(&decision->members[i]))
			continue;
		apply_override(&decision->members[i], OCCASION_LATER, &outcome);
		wrote[i] = outcome.wrote;
	}
	for (size_t i = 0; i < decision->n_members; i++) {
		const struct sysfs_device *d = to_sysfs_device(decision->members[i].device);

		if (!is_to_be_applied(&decision->members[i]))
			continue;
		apply_decision(&decision->members[i], OCCASION_LATER, &outcome);
		if (outcome.state == STATE_FAILED)
			log_line(LOG_ERR, "%s %s: %s", d->bus, d->name, outcome.reason);
		if (wrote[i] && outcome.needs_module)
			announce(d);
	}
	return 0;
}
