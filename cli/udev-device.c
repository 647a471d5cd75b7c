/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Devices as udev knows them; see udev-device.h. */
#include "cli/udev-device.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"

#include <errno.h>
#include <libudev.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void udev_unrefp(struct udev **p)
{
	if (*p)
		(void)udev_unref(*p);
}

static void udev_device_unrefp(struct udev_device **p)
{
	if (*p)
		(void)udev_device_unref(*p);
}

static void udev_enumerate_unrefp(struct udev_enumerate **p)
{
	if (*p)
		(void)udev_enumerate_unref(*p);
}

static void udev_hwdb_unrefp(struct udev_hwdb **p)
{
	if (*p)
		(void)udev_hwdb_unref(*p);
}

static bool udev_device_has_override(struct udev_device *u)
{
	char path[PATH_MAX];

	return path_join(path, sizeof(path), udev_device_get_syspath(u), "/driver_override", NULL) >= 0 &&
	       access(path, F_OK) == 0;
}

/* A node or a link below /dev; NULL: it is none. */
static struct udev_device *udev_device_of_node(struct udev *udev, const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0 || (!S_ISBLK(st.st_mode) && !S_ISCHR(st.st_mode)))
		return NULL;
	return udev_device_new_from_devnum(udev, S_ISBLK(st.st_mode) ? 'b' : 'c', st.st_rdev);
}

/* An interface or a disk; NULL: there is none, or a bus has a device of that name, which comes first. */
static struct udev_device *udev_device_of_name(struct udev *udev, const char *name)
{
	_cleanup_(udev_enumerate_unrefp) struct udev_enumerate *e = udev_enumerate_new(udev);
	_cleanup_(udev_device_unrefp) struct udev_device *found = NULL;
	struct udev_list_entry *entry;

	if (!e || udev_enumerate_add_match_sysname(e, name) < 0 || udev_enumerate_scan_devices(e) < 0)
		return NULL;
	udev_list_entry_foreach(entry, udev_enumerate_get_list_entry(e))
	{
		_cleanup_(udev_device_unrefp) struct udev_device *u =
			udev_device_new_from_syspath(udev, udev_list_entry_get_name(entry));
		const char *subsystem = u ? udev_device_get_subsystem(u) : NULL;

		/* The name matches as a pattern. */
		if (!subsystem || !streq(udev_device_get_sysname(u), name))
			continue;
		if (udev_device_has_override(u))
			return NULL;
		if (!found && (streq(subsystem, "net") || streq(subsystem, "block")))
			found = TAKE_PTR(u);
	}
	return TAKE_PTR(found);
}

int udev_device_lookup(struct sysfs *sysfs, const char *name, struct sysfs_device **ret)
{
	_cleanup_(udev_unrefp) struct udev *udev = udev_new();
	_cleanup_(udev_device_unrefp) struct udev_device *u = NULL;
	char node[PATH_MAX];

	if (!udev)
		return -ENOMEM;
	if (startswith(name, "/dev/"))
		u = udev_device_of_node(udev, name);
	else if (!strchr(name, '/'))
		u = udev_device_of_name(udev, name);
	if (!u)
		return -ENODEV;
	/* A parent belongs to its child, and is given back with it. */
	for (struct udev_device *p = u; p; p = udev_device_get_parent(p))
		if (udev_device_has_override(p))
			return sysfs_device_lookup(sysfs, udev_device_get_syspath(p), ret);
	/* The disk of a multipath NVMe drive has no parent that is hardware; its controllers are looked for.
	 */
	if (path_printf(node, sizeof(node), "/dev/%s", udev_device_get_sysname(u)) < 0)
		return -ENODEV;
	return sysfs_device_lookup(sysfs, node, ret);
}

void udev_device_model(const char *bus, const char *name, char *buf, size_t size)
{
	_cleanup_(udev_unrefp) struct udev *udev = udev_new();
	_cleanup_(udev_device_unrefp) struct udev_device *u = NULL;
	_cleanup_(udev_hwdb_unrefp) struct udev_hwdb *hwdb = NULL;
	const char *vendor, *model, *modalias;

	buf[0] = '\0';
	if (udev)
		u = udev_device_new_from_subsystem_sysname(udev, bus, name);
	if (!u)
		return;
	vendor = udev_device_get_property_value(u, "ID_VENDOR_FROM_DATABASE");
	model = udev_device_get_property_value(u, "ID_MODEL_FROM_DATABASE");
	modalias = udev_device_get_sysattr_value(u, "modalias");
	if (!vendor && !model && modalias) {
		struct udev_list_entry *entry;

		hwdb = udev_hwdb_new(udev);
		if (!hwdb)
			return; /* it is not installed */
		udev_list_entry_foreach(entry, udev_hwdb_get_properties_list_entry(hwdb, modalias, 0))
		{
			if (streq(udev_list_entry_get_name(entry), "ID_VENDOR_FROM_DATABASE"))
				vendor = udev_list_entry_get_value(entry);
			else if (streq(udev_list_entry_get_name(entry), "ID_MODEL_FROM_DATABASE"))
				model = udev_list_entry_get_value(entry);
		}
	}
	(void)snprintf(buf, size, "%s%s%s", vendor ? vendor : "", vendor && model ? " " : "",
		       model ? model : "");
}
