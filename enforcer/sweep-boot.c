/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How far the boot is, and the list of the devices that were present at it; see sweep-boot.h. */
#include "enforcer/sweep-boot.h"
#include "base/log.h"
#include "base/macro.h"
#include "base/path.h"
#include "enforcer/verbs.h"
#include "state/boot-devices.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>

/* Whether there is a file of the running system, by its path beside sysfs; true where the path is too long.
 */
static bool run_file_exists(const struct settings *settings, const char *path_beside_sysfs)
{
	char path[PATH_MAX];
	struct stat st;

	return path_join(path, sizeof(path), settings->sysfs, path_beside_sysfs, NULL) < 0 ||
	       lstat(path, &st) >= 0;
}

/*
 * systemd leaves a link for each unit that it has started. A udev in the initramfs does not count: it had
 * only the few modules there, and their devices have a driver by now.
 */
bool coldplug_has_begun(const struct settings *settings)
{
	return run_file_exists(settings, "/../run/systemd/units/invocation:systemd-udev-trigger.service");
}

/* udev has this file while there are events that it has not worked off. */
static bool coldplug_has_ended(const struct settings *settings)
{
	return coldplug_has_begun(settings) && !run_file_exists(settings, "/../run/udev/queue");
}

static int boot_devices_write_found(const struct settings *settings, struct sysfs_device *const *v, size_t n,
				    bool complete)
{
	_cleanup_(freep) uint64_t *inodes = calloc(n + 1, sizeof(*inodes));

	if (!inodes)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		inodes[i] = v[i]->inode;
	return boot_devices_write(settings->state_dir, inodes, n, complete);
}

int sweep_write_boot_devices(const struct settings *settings, struct sysfs_device *const *v, size_t n)
{
	/*
	 * Where the package is installed later, the boot is over when the first list is written. Only then:
	 * udev has not read the first event of a coldplug that has just been started, and has no queue.
	 */
	return boot_devices_write_found(settings, v, n, coldplug_has_ended(settings));
}

int verb_sweep_settled(const struct settings *settings)
{
	struct sysfs_device **v = NULL;
	struct sysfs sysfs;
	size_t n = 0;
	int r;

	sysfs_init(&sysfs, settings);
	r = sysfs_enumerate(&sysfs, &v, &n);
	if (r >= 0) {
		r = boot_devices_write_found(settings, v, n, true);
		sysfs_devices_free(v, n);
	}
	if (r >= 0) {
		log_line(LOG_DEBUG, "sweep: %zu devices were present at boot", n);
		return 0;
	}
	log_errno(LOG_ERR, r,
		  "sweep: cannot complete the list of devices that were present at boot under %s: %m, so "
		  "Group=hold leaves all devices alone",
		  settings->state_dir);
	return 1;
}
