/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Policy between boots: whether boot images have it, and whether it has failed. */
#include "base/arena.h"
#include "cli/lint-checks.h"
#include "cli/lint-run.h"
#include "state/boot-image.h"
#include "state/record-file.h"

#include <stddef.h>

/* The device had its driver before this boot's first sweep, as it has when a boot image loads it. */
static const struct lint_device *lint_device_lost_early(const struct lint_run *run)
{
	for (size_t i = 0; i < run->n_devices; i++) {
		const struct lint_device *device = &run->devices[i];
		const struct sysfs_device *d = device->d;
		struct record record;

		if (device->decision.rule && d->device.ops->was_present(&run->devices[i].d->device) == 1 &&
		    record_read(run->settings->state_dir, d->bus, d->name, d->inode, &record) >= 0 &&
		    record.first_probe == FIRST_PROBE_LOST)
			return device;
	}
	return NULL;
}

static void lint_image_that_is_needed(struct lint_run *run)
{
	const struct lint_device *device = lint_device_lost_early(run);
	char way_out[BOOT_SENTENCE_MAX];

	if (!device)
		return;
	boot_image_way_out(run->settings, way_out, sizeof(way_out));
	lint_warn(
		run, device->decision.rule,
		arena_printf(
			&run->lint->arena,
			"%s %s had its driver before policy was in force in this boot, and no boot image is "
			"known to have the policy; %s",
			device->d->bus, device->d->name, way_out));
}

void lint_boot(struct lint_run *run)
{
	const char *dir = run->settings->n_conf_dirs > 0 ? run->settings->conf_dirs[0] : "";
	char failed[BOOT_SENTENCE_MAX];
	struct boot_image image;

	failed_policy_sentence(run->settings, failed);
	if (failed[0])
		lint_warn_of_file(run, dir, arena_strdup(&run->lint->arena, failed));
	boot_image_find(run->settings, &image);
	switch (image.state) {
	case BOOT_IMAGE_DIFFERS:
		lint_warn_of_file(run, dir, arena_strdup(&run->lint->arena, image.text));
		break;
	case BOOT_IMAGE_UNKNOWN:
		lint_image_that_is_needed(run);
		break;
	case BOOT_IMAGE_CURRENT:
		break;
	}
}
