/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Models of devices; see device-model.h. */
#include "cli/device-model.h"
#include "base/file.h"
#include "cli/udev-device.h"
#include "state/state-file.h"

#include <limits.h>
#include <stddef.h>

void device_model(const struct cli *cli, const char *bus, const char *name, char *buf, size_t size)
{
	char path[PATH_MAX];

	buf[0] = '\0';
	if (cli->n_machines > 0) {
		if (state_device_path(cli->settings.state_dir, "/models/", bus, name, path, sizeof(path)) >=
			    0 &&
		    read_first_line(path, buf, size) < 0)
			buf[0] = '\0';
	} else if (!cli->host && !cli->settings.sysfs_given) {
		udev_device_model(bus, name, buf, size);
	}
}
