/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finds the device that a person means, by any of the names it goes by. */
#include "sysfs/pci.h"
#include "base/errno.h"
#include "base/file.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* On whichever bus has a device of that name with a driver_override file. */
static int lookup_on_any_bus(struct sysfs *sysfs, const char *name, struct sysfs_device **ret)
{
	_cleanup_(sysfs_device_freep) struct sysfs_device *found = NULL;
	_cleanup_(closedirp) DIR *dir = NULL;
	char path[PATH_MAX];
	const struct dirent *e;

	if (path_printf(path, sizeof(path), "%s/bus", sysfs->root) < 0)
		return -ENAMETOOLONG;
	dir = opendir(path);
	while (dir && (e = readdir(dir))) {
		_cleanup_(sysfs_device_freep) struct sysfs_device *d = NULL;

		if (e->d_name[0] == '.' || sysfs_device_find(sysfs, e->d_name, name, &d) < 0 ||
		    !sysfs_device_is_supported(d))
			continue;
		if (found)
			return -ENOTUNIQ;
		found = TAKE_PTR(d);
	}
	if (!found)
		return -ENODEV;
	*ret = TAKE_PTR(found);
	return 0;
}

/* The nearest device that has an override, on the way up from a path below the root, which is cut there. */
static int nearest_supported_device(struct sysfs *sysfs, char *devpath, struct sysfs_device **ret)
{
	char *slash;

	while ((slash = strrchr(devpath, '/')) && slash > devpath) {
		_cleanup_(sysfs_device_freep) struct sysfs_device *d = NULL;

		*slash = '\0';
		if (sysfs_device_new(sysfs, devpath, NULL, &d) >= 0 && sysfs_device_is_supported(d)) {
			*ret = TAKE_PTR(d);
			return 0;
		}
	}
	return -ENODEV;
}

/*
 * The head of an NVMe namespace that may have several paths: it lies in the virtual folder of its subsystem,
 * where there is a link to each of the controllers that lead to it. None of several controllers is meant more
 * than another.
 */
static int lookup_nvme_head(struct sysfs *sysfs, const char *root, const char *real,
			    struct sysfs_device **ret)
{
	static const char mark[] = "/devices/virtual/nvme-subsystem/";
	_cleanup_(sysfs_device_freep) struct sysfs_device *found = NULL;
	_cleanup_(closedirp) DIR *dir = NULL;
	const char *at = startswith(real + strlen(root), mark);
	char folder[PATH_MAX], path[PATH_MAX];
	bool elsewhere = false;
	const struct dirent *e;
	int r;

	if (!at)
		return -ENODEV;
	r = path_printf(folder, sizeof(folder), "%.*s", (int)(at - real + (ptrdiff_t)strcspn(at, "/")), real);
	if (r < 0)
		return r;
	dir = opendir(folder);
	while (dir && (e = readdir(dir))) {
		_cleanup_(sysfs_device_freep) struct sysfs_device *d = NULL;
		_cleanup_(freep) char *controller = NULL;

		if (!startswith(e->d_name, "nvme") || e->d_type != DT_LNK ||
		    path_join(path, sizeof(path), folder, "/", e->d_name, NULL) < 0)
			continue;
		controller = realpath(path, NULL);
		if (!controller || !startswith(controller, root))
			continue;
		/* One that is no device of ours, over a network, is another way to it all the same. */
		if (nearest_supported_device(sysfs, controller + strlen(root), &d) < 0)
			elsewhere = true;
		else if (!found)
			found = TAKE_PTR(d);
		else if (!streq(d->devpath, found->devpath))
			return -ENOTUNIQ;
	}
	if (!found)
		return -ENODEV;
	if (elsewhere)
		return -ENOTUNIQ;
	*ret = TAKE_PTR(found);
	return 0;
}

static int lookup_path(struct sysfs *sysfs, const char *path, struct sysfs_device **ret)
{
	_cleanup_(freep) char *real = NULL, *root = NULL;
	char full[PATH_MAX], link[PATH_MAX];
	const char *rest;
	int r;

	if (startswith(path, "/devices/")) {
		r = path_printf(full, sizeof(full), "%s%s", sysfs->root, path);
		if (r < 0)
			return r;
		path = full;
	}
	real = realpath(path, NULL);
	if (real)
		root = realpath(sysfs->root, NULL);
	if (!real || !root)
		return errno == ENOENT || errno == ENOTDIR ? -ENODEV : negative_errno();
	rest = startswith(real, root);
	if (!rest || !startswith(rest, "/devices/"))
		return -ENODEV;
	/* What a class has (an interface, a disk) stands for its hardware, as its name alone does. */
	if (path_join(full, sizeof(full), real, "/subsystem", NULL) >= 0 &&
	    read_link(full, link, sizeof(link)) >= 0 && strstr(link, "/class/")) {
		r = lookup_nvme_head(sysfs, root, real, ret);
		return r == -ENODEV ? nearest_supported_device(sysfs, real + strlen(root), ret) : r;
	}
	return sysfs_device_new(sysfs, rest, NULL, ret);
}

/*
 * A network interface or a block device stands for the nearest device above it that has an override: an
 * NVMe namespace for its controller, a virtio interface for the PCI function, a partition for its disk's.
 */
static int lookup_in_class(struct sysfs *sysfs, const char *class, const char *name,
			   struct sysfs_device **ret)
{
	_cleanup_(freep) char *real = NULL, *root = realpath(sysfs->root, NULL);
	char path[PATH_MAX];
	int r;

	r = path_printf(path, sizeof(path), "%s/class/%s/%s", sysfs->root, class, name);
	if (r < 0)
		return r;
	real = realpath(path, NULL);
	if (!real || !root || !startswith(real, root))
		return -ENODEV;
	r = lookup_nvme_head(sysfs, root, real, ret);
	return r == -ENODEV ? nearest_supported_device(sysfs, real + strlen(root), ret) : r;
}

/* A PCI address, with or without its bus and domain, in small letters as sysfs has it; else as it is. */
static const char *pci_name_fold(const char *name, char *buf, size_t size)
{
	const char *address = strncasecmp(name, "pci/", 4) == 0 ? name + 4 : name;
	struct pci_address parsed;
	char full[64];

	if (path_printf(full, sizeof(full), "0000:%s", address) < 0 || path_join(buf, size, name, NULL) < 0 ||
	    (!pci_address_parse(address, strlen(address), &parsed) &&
	     !pci_address_parse(full, strlen(full), &parsed)))
		return name;
	for (char *s = buf; *s; s++)
		if (*s >= 'A' && *s <= 'Z')
			*s = (char)(*s + ('a' - 'A'));
	return buf;
}

int sysfs_device_lookup(struct sysfs *sysfs, const char *name, struct sysfs_device **ret)
{
	static const char *const classes[] = { "net", "block" };
	struct pci_address address;
	char text[PATH_MAX], folded[80];
	const char *slash;
	int r;

	name = pci_name_fold(name, folded, sizeof(folded));
	slash = strchr(name, '/');

	if (!*name)
		return -ENODEV;
	if (name[0] == '/') {
		/* /dev/sda; what is in a folder below /dev is a link or none of a disk. */
		if (strncmp(name, "/dev/", 5) == 0 && strrchr(name, '/') == name + 4)
			return lookup_in_class(sysfs, "block", name + 5, ret);
		return lookup_path(sysfs, name, ret);
	}
	if (slash) {
		char bus[256];

		if ((size_t)(slash - name) >= sizeof(bus))
			return -ENODEV;
		memcpy(bus, name, (size_t)(slash - name));
		bus[slash - name] = '\0';
		r = sysfs_device_find(sysfs, bus, slash + 1, ret);
		return r == -EINVAL ? -ENODEV : r;
	}

	r = lookup_on_any_bus(sysfs, name, ret);
	if (r != -ENODEV)
		return r;
	/* As lspci prints it where there is one domain. */
	if (path_printf(text, sizeof(text), "0000:%s", name) >= 0 &&
	    pci_address_parse(text, strlen(text), &address)) {
		r = sysfs_device_find(sysfs, "pci", text, ret);
		if (r != -ENODEV)
			return r;
	}
	for (size_t i = 0; i < ELEMENTSOF(classes) && !streq(name, ".") && !streq(name, ".."); i++) {
		r = lookup_in_class(sysfs, classes[i], name, ret);
		if (r != -ENODEV)
			return r;
	}
	return -ENODEV;
}

const char *sysfs_lookup_error(int r)
{
	switch (-r) {
	case ENODEV:
	case ENAMETOOLONG:
		return "no such device";
	case EINVAL:
		return "not a device's name or path";
	case ENOTUNIQ:
		return "on more than one bus, or behind more than one controller; say BUS/NAME";
	default:
		return strerror(-r);
	}
}
