/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a snapshot has of one device: its links, its attributes, its place, and what is remembered of it. */
#include "base/file.h"
#include "base/path.h"
#include "base/text.h"
#include "cli/snapshot.h"
#include "cli/udev-device.h"
#include "state/record-file.h"
#include "state/state-file.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The attributes that decisions, warnings and groups are made of. */
static const char *const device_attributes[] = {
	"ari_enabled",
	"boot_vga",
	"class",
	"current_link_speed",
	"current_link_width",
	"device",
	"driver_override",
	"index",
	"label",
	"max_link_speed",
	"max_link_width",
	"modalias",
	"numa_node",
	"reset_method",
	"revision",
	"secondary_bus_number",
	"sriov_numvfs",
	"sriov_offset",
	"sriov_stride",
	"sriov_totalvfs",
	"sriov_vf_device",
	"subordinate_bus_number",
	"subsystem_device",
	"subsystem_vendor",
	"vendor",
};

/* Parts of the names of attributes by which a single machine could be told from others of its kind. */
static const char *const private_parts[] = { "serial", "address", "uuid", "guid", "wwn", "wwid", "unique",
					     "nqn",    "eui",	  "mkvp", "key",  "mac", "ident" };

/* These are none: rules cannot ask for them, and reading may be slow or do something. */
static const char *const unasked_attributes[] = { "config", "rom",   "vpd",	"remove",
						  "rescan", "reset", "resource" };

static bool name_is_in(const char *name, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (streq(list[i], name))
			return true;
	return false;
}

static bool attribute_is_private(const char *name)
{
	for (size_t i = 0; i < ELEMENTSOF(private_parts); i++)
		if (strcasestr(name, private_parts[i]))
			return true;
	return false;
}

/* Whether a rule of this machine's policy compares with it. */
static bool attribute_is_asked_for(const struct policy *policy, const char *name)
{
	for (size_t i = 0; i < policy->n_rules; i++)
		for (const struct condition *c = policy->rules[i]->conditions; c; c = c->next)
			if (c->fact == FACT_ATTR && streq(c->attr, name))
				return true;
	return false;
}

static void device_add_attribute(struct snapshot *s, const char *path, const char *name)
{
	/* That it is there says that the device can be reset. */
	if (streq(name, "reset"))
		snapshot_add(s, SNAPSHOT_FILE, path, NULL, 0);
	if (name_is_in(name, unasked_attributes, ELEMENTSOF(unasked_attributes)) ||
	    startswith(name, "resource"))
		return;
	if (name_is_in(name, device_attributes, ELEMENTSOF(device_attributes)) ||
	    (attribute_is_asked_for(s->policy, name) && (s->with_private || !attribute_is_private(name))))
		snapshot_copy_file(s, path);
	else
		snapshot_add(s, SNAPSHOT_WITHHELD, path, NULL, 0);
}

static bool link_is_wanted(const char *name)
{
	static const char *const links[] = { "driver", "subsystem", "iommu_group", "physfn" };

	return name_is_in(name, links, ELEMENTSOF(links)) || startswith(name, "virtfn");
}

static void device_add_folder(struct snapshot *s, const char *folder)
{
	_cleanup_(dir_close) struct dir_reader dir = { .fd = -EBADF };
	char full[PATH_MAX], path[PATH_MAX], real[PATH_MAX];
	const char *name;
	struct stat st;

	if (snapshot_real_path(s, folder, full, sizeof(full)) < 0 || dir_open(&dir, full) < 0)
		return;
	while ((name = dir_next(&dir))) {
		if (path_join(path, sizeof(path), folder, "/", name, NULL) < 0 ||
		    path_join(real, sizeof(real), full, "/", name, NULL) < 0 || lstat(real, &st) < 0 ||
		    !snapshot_path_is_plain(path))
			continue;
		if (S_ISREG(st.st_mode))
			device_add_attribute(s, path, name);
		else if (S_ISLNK(st.st_mode) && link_is_wanted(name))
			snapshot_copy_link(s, path);
	}
}

/* The node that a folder of devices has in the device tree: the link, and what is asked of it. */
static void folder_add_firmware(struct snapshot *s, const char *folder)
{
	static const char *const properties[] = { "compatible", "iommus", "iommu-map" };
	char path[PATH_MAX], full[PATH_MAX], target[PATH_MAX];
	const char *node;

	if (path_join(path, sizeof(path), folder, "/of_node", NULL) < 0 ||
	    snapshot_real_path(s, path, full, sizeof(full)) < 0 ||
	    read_link(full, target, sizeof(target)) < 0)
		return;
	snapshot_copy_link(s, path);
	node = strstr(target, "firmware/devicetree/base");
	for (size_t i = 0; node && i < ELEMENTSOF(properties); i++)
		if (path_join(path, sizeof(path), "sys/", node, "/", properties[i], NULL) >= 0)
			snapshot_copy_file(s, path);
}

static void device_add_firmware(struct snapshot *s, const char *folder)
{
	char path[PATH_MAX], *slash;

	/* The kernel has a link here; a folder with the one file will do. */
	if (path_join(path, sizeof(path), folder, "/firmware_node/path", NULL) >= 0)
		snapshot_copy_file(s, path);
	if (path_join(path, sizeof(path), folder, NULL) < 0)
		return;
	/* On PCI the host bridge's node speaks for all below it. */
	while (!streq(path, "sys/devices")) {
		folder_add_firmware(s, path);
		slash = strrchr(path, '/');
		if (!slash)
			return;
		*slash = '\0';
	}
}

static void device_add_group(struct snapshot *s, const struct sysfs_device *d)
{
	char group[64], path[PATH_MAX];

	if (sysfs_device_link(d, "iommu_group", group, sizeof(group)) < 0)
		return;
	if (path_join(path, sizeof(path), "sys/kernel/iommu_groups/", group, "/devices/", d->name, NULL) >= 0)
		snapshot_copy_link(s, path);
	if (path_join(path, sizeof(path), "sys/kernel/iommu_groups/", group, "/name", NULL) >= 0)
		snapshot_copy_file(s, path);
	if (path_join(path, sizeof(path), "sys/kernel/iommu_groups/", group, "/type", NULL) >= 0)
		snapshot_copy_file(s, path);
}

/* What depends on this boot is left out, and put in anew where the snapshot is read. */
static bool record_line_is_kept(const char *line)
{
	return *line && !startswith(line, "VERSION=") && !startswith(line, "BOOT_ID=") &&
	       !startswith(line, "INODE=");
}

static void device_add_record(struct snapshot *s, const struct sysfs_device *d, const char *name)
{
	_cleanup_(freep) char *text = NULL, *kept = NULL;
	struct record record;
	char path[PATH_MAX], *rest, *line;
	size_t size;
	FILE *f;

	if (!s->sysfs.state_dir || record_read(s->sysfs.state_dir, d->bus, d->name, d->inode, &record) < 0 ||
	    record_path(s->sysfs.state_dir, d->bus, d->name, path, sizeof(path)) < 0 ||
	    state_file_read(path, &text) < 0)
		return;
	f = open_memstream(&kept, &size);
	if (!f) {
		s->r = -ENOMEM;
		return;
	}
	rest = text;
	while ((line = strsep(&rest, "\n")))
		if (record_line_is_kept(line))
			(void)fprintf(f, "%s\n", snapshot_mask_addresses(s, line));
	if (fclose(f) == 0)
		snapshot_add(s, SNAPSHOT_RECORD, name, kept, size);
}

static void device_add_state(struct snapshot *s, struct sysfs_device *d)
{
	char name[600], model[512] = "";
	const struct device_ops *ops = d->device.ops;

	(void)snprintf(name, sizeof(name), "%s/%s", d->bus, d->name);
	if (ops->was_present(&d->device) > 0)
		snapshot_add(s, SNAPSHOT_PRESENT, name, NULL, 0);
	device_add_record(s, d, name);
	if (!s->settings->sysfs_given)
		udev_device_model(d->bus, d->name, model, sizeof(model));
	if (*model)
		snapshot_add_text(s, SNAPSHOT_MODEL, name, model);
}

/* By which it is seen that the firmware's picture lies in the card's memory. */
static void device_add_resource(struct snapshot *s, const struct sysfs_device *d, const char *folder)
{
	char path[PATH_MAX], full[PATH_MAX], text[8];

	if (path_join(path, sizeof(path), folder, "/resource", NULL) < 0)
		return;
	if (sysfs_device_read(d, "boot_vga", text, sizeof(text)) >= 0 && streq(text, "1"))
		snapshot_copy_file(s, path);
	else if (sysfs_device_path(d, "resource", full, sizeof(full)) >= 0 && access(full, F_OK) == 0)
		snapshot_add(s, SNAPSHOT_WITHHELD, path, NULL, 0);
}

/* DEVICE/vfio-dev/vfio3, and whether the kernel makes a node for it. */
static void vfio_folder_add(struct snapshot *s, const char *path, const char *name)
{
	char dev[PATH_MAX];

	(void)name;
	snapshot_add(s, SNAPSHOT_DIRECTORY, path, NULL, 0);
	if (path_join(dev, sizeof(dev), path, "/dev", NULL) >= 0)
		snapshot_copy_file(s, dev);
}

void snapshot_add_device(struct snapshot *s, struct sysfs_device *d)
{
	char folder[PATH_MAX], path[PATH_MAX], driver[256];
	const char *modalias = device_text(&d->device, FACT_MODALIAS);

	if (path_join(folder, sizeof(folder), "sys", d->devpath, NULL) < 0)
		return;
	if (path_join(path, sizeof(path), "sys/bus/", d->bus, "/devices/", d->name, NULL) >= 0)
		snapshot_copy_link(s, path);
	device_add_folder(s, folder);
	device_add_firmware(s, folder);
	device_add_group(s, d);
	device_add_resource(s, d, folder);
	if (path_join(path, sizeof(path), folder, "/vfio-dev", NULL) >= 0)
		snapshot_for_each(s, path, vfio_folder_add);
	device_add_state(s, d);
	if (modalias && sysfs_device_link(d, "driver", driver, sizeof(driver)) < 0 &&
	    strings_add(&s->modaliases, modalias) < 0)
		s->r = -ENOMEM;
}
