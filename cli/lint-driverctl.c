/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Devices that driverctl has a file for, while our policy decides about them, too. */
#include "base/arena.h"
#include "base/file.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "cli/lint-checks.h"
#include "cli/lint-run.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>

/* driverctl calls a file BUS-NAME. Both may have dashes, so each device is compared as a whole. */
static const struct lint_device *lint_device_of_driverctl(const struct lint_run *run, const char *file)
{
	for (size_t i = 0; i < run->n_devices; i++) {
		const struct sysfs_device *d = run->devices[i].d;
		const char *name = startswith(file, d->bus);

		if (name && *name == '-' && streq(name + 1, d->name))
			return &run->devices[i];
	}
	return NULL;
}

void lint_driverctl(struct lint_run *run)
{
	_cleanup_(dir_close) struct dir_reader dir = { .fd = -EBADF };
	char folder[PATH_MAX], path[PATH_MAX];
	const char *file;

	if (path_join(folder, sizeof(folder), run->sysfs.root, "/../etc/driverctl.d", NULL) < 0 ||
	    dir_open(&dir, folder) < 0)
		return;
	while ((file = dir_next(&dir))) {
		const struct lint_device *device = lint_device_of_driverctl(run, file);
		char driver[128];

		if (!device || decision_is_nothing(&device->decision) || !device->decision.rule ||
		    path_join(path, sizeof(path), folder, "/", file, NULL) < 0 ||
		    read_first_line(path, driver, sizeof(driver)) < 0)
			continue;
		lint_warn(run, device->decision.rule,
			  arena_printf(&run->lint->arena,
				       "[device %s] decides about %s %s (%s), and so does "
				       "/etc/driverctl.d/%s (%s): which of them has it changes from one plug "
				       "to the next; keep one",
				       device->decision.rule->label, device->d->bus, device->d->name,
				       decision_text(&device->decision), file, driver));
	}
}
