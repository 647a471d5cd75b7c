/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A device, its override and its driver, as sysfs lets them be changed; see binding.h. */
#include "sysfs/binding.h"
#include "base/errno.h"
#include "base/file.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

void bound_driver(const struct sysfs_device *d, char *buf, size_t size)
{
	if (sysfs_device_link(d, "driver", buf, size) < 0)
		buf[0] = '\0';
}

static bool driver_is_on_bus(const char *sysfs_root, const char *bus, const char *driver)
{
	char path[PATH_MAX];

	return path_join(path, sizeof(path), sysfs_root, "/bus/", bus, "/drivers/", driver, NULL) >= 0 &&
	       access(path, F_OK) == 0;
}

bool driver_is_registered(const struct sysfs_device *d, const char *driver)
{
	return driver_is_on_bus(d->sysfs->root, d->bus, driver);
}

bool driver_is_registered_anywhere(const char *sysfs, const char *driver)
{
	_cleanup_(dir_close) struct dir_reader dir = { .fd = -EBADF };
	char path[PATH_MAX];
	const char *bus;

	if (path_join(path, sizeof(path), sysfs, "/bus", NULL) < 0 || dir_open(&dir, path) < 0)
		return false;
	while ((bus = dir_next(&dir)))
		if (driver_is_on_bus(sysfs, bus, driver))
			return true;
	return false;
}

/* One write(2) of all of text to a file: sysfs takes a value in one piece or not at all. */
static int write_file(const char *path, const char *text)
{
	_cleanup_(closep) int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY | O_TRUNC);
	ssize_t n;

	if (fd < 0)
		return negative_errno();
	n = write(fd, text, strlen(text));
	if (n < 0)
		return negative_errno();
	return (size_t)n == strlen(text) ? 0 : -EIO;
}

int override_write(struct sysfs_device *d, const char *text)
{
	char path[PATH_MAX];
	int r = sysfs_device_path(d, "driver_override", path, sizeof(path));

	if (r < 0)
		return r;
	sysfs_progress(d, "writing", "driver_override");
	return write_file(path, text[0] ? text : "\n");
}

bool bus_is_probed_by_hand(const struct sysfs_device *d)
{
	char path[PATH_MAX], text[8];

	return path_join(path, sizeof(path), d->sysfs->root, "/bus/", d->bus, "/drivers_autoprobe", NULL) >=
		       0 &&
	       read_first_line(path, text, sizeof(text)) >= 0 && streq(text, "0");
}

int device_probe(struct sysfs_device *d)
{
	char path[PATH_MAX];
	int r = path_join(path, sizeof(path), d->sysfs->root, "/bus/", d->bus, "/drivers_probe", NULL);

	if (r < 0)
		return r;
	sysfs_progress(d, "waiting for the probe", "(drivers_probe)");
	return write_file(path, d->name);
}

static int write_to_driver(struct sysfs_device *d, const char *driver, const char *file)
{
	char path[PATH_MAX];
	int r = path_join(path, sizeof(path), d->sysfs->root, "/bus/", d->bus, "/drivers/", driver, file,
			  NULL);

	return r < 0 ? r : write_file(path, d->name);
}

int device_bind(struct sysfs_device *d, const char *driver)
{
	sysfs_progress(d, "waiting for the probe", "(bind)");
	return write_to_driver(d, driver, "/bind");
}

int device_unbind(struct sysfs_device *d, const char *driver)
{
	sysfs_progress(d, "waiting for the driver to give up", "(unbind)");
	return write_to_driver(d, driver, "/unbind");
}

int device_announce(struct sysfs_device *d, const char *action)
{
	char path[PATH_MAX];
	int r = sysfs_device_path(d, "uevent", path, sizeof(path));

	if (r < 0)
		return r;
	sysfs_progress(d, "writing", "uevent");
	return write_file(path, action);
}

int class_device_announce(const struct sysfs *sysfs, const char *class, const char *name)
{
	char path[PATH_MAX];
	int r = path_join(path, sizeof(path), sysfs->root, "/class/", class, "/", name, "/uevent", NULL);

	return r < 0 ? r : write_file(path, "change");
}
