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
#include <sys/stat.h>
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
static int write_file_at(int folder, const char *path, const char *text)
{
	_cleanup_(closep) int fd = openat(folder, path, O_WRONLY | O_CLOEXEC | O_NOCTTY | O_TRUNC);
	ssize_t n;

	if (fd < 0)
		return negative_errno();
	n = write(fd, text, strlen(text));
	if (n < 0)
		return negative_errno();
	return (size_t)n == strlen(text) ? 0 : -EIO;
}

static int write_file(const char *path, const char *text)
{
	return write_file_at(AT_FDCWD, path, text);
}

/*
 * To a file of this device, and never of another one that has its name by now: sysfs keeps an open folder for
 * the device that it was made for, and once that has gone nothing in it can be opened or written
 * (kernfs_dop_revalidate(), kernfs_get_active()). -ENODEV: it has gone; -ENOENT: it has no such file, or goes
 * at this moment.
 */
static int device_write(struct sysfs_device *d, const char *attr, const char *text)
{
	_cleanup_(closep) int folder = -EBADF;
	char path[PATH_MAX];
	struct stat st;
	int r = path_join(path, sizeof(path), d->sysfs->root, d->devpath, NULL);

	if (r < 0)
		return r;
	sysfs_progress(d, "writing", attr);
	folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0)
		return errno == ENOENT || errno == ENOTDIR ? -ENODEV : negative_errno();
	if (fstat(folder, &st) < 0)
		return negative_errno();
	if (d->inode != 0 && st.st_ino != d->inode)
		return -ENODEV;
	return write_file_at(folder, attr, text);
}

int override_write(struct sysfs_device *d, const char *text)
{
	return device_write(d, "driver_override", text[0] ? text : "\n");
}

bool bus_is_probed_by_hand(const struct sysfs_device *d)
{
	char path[PATH_MAX], text[8];

	return path_join(path, sizeof(path), d->sysfs->root, "/bus/", d->bus, "/drivers_autoprobe", NULL) >=
		       0 &&
	       read_first_line(path, text, sizeof(text)) >= 0 && streq(text, "0");
}

/* The kernel takes a name here, so a device that gets this one between look and write is not told apart. */
static int write_name(struct sysfs_device *d, const char *path)
{
	return sysfs_device_is_gone(d) ? -ENODEV : write_file(path, d->name);
}

int device_probe(struct sysfs_device *d)
{
	char path[PATH_MAX];
	int r = path_join(path, sizeof(path), d->sysfs->root, "/bus/", d->bus, "/drivers_probe", NULL);

	if (r < 0)
		return r;
	sysfs_progress(d, "waiting for the probe", "(drivers_probe)");
	return write_name(d, path);
}

static int write_to_driver(struct sysfs_device *d, const char *driver, const char *file)
{
	char path[PATH_MAX];
	int r = path_join(path, sizeof(path), d->sysfs->root, "/bus/", d->bus, "/drivers/", driver, file,
			  NULL);

	return r < 0 ? r : write_name(d, path);
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
	return device_write(d, "uevent", action);
}

int class_device_announce(const struct sysfs *sysfs, const char *class, const char *name)
{
	char path[PATH_MAX];
	int r = path_join(path, sizeof(path), sysfs->root, "/class/", class, "/", name, "/uevent", NULL);

	return r < 0 ? r : write_file(path, "change");
}
