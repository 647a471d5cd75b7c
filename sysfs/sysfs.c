/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Devices as a sysfs tree shows them: finding and reading; see sysfs.h. Facts are in facts.c. */
#include "sysfs/sysfs.h"
#include "base/arena.h"
#include "base/errno.h"
#include "base/file.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "sysfs/device-cache.h"
#include "sysfs/facts.h"
#include "sysfs/pci.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void sysfs_init(struct sysfs *sysfs, const struct settings *settings)
{
	*sysfs = (struct sysfs){ .root = settings->sysfs,
				 .state_dir = settings->state_dir,
				 .seqnum_fd = -EBADF };
}

void sysfs_prepare(struct sysfs *sysfs)
{
	char path[PATH_MAX];

	if (path_join(path, sizeof(path), sysfs->root, "/kernel/uevent_seqnum", NULL) >= 0)
		sysfs->seqnum_fd = open(path, O_RDONLY | O_CLOEXEC);
}

void sysfs_done(struct sysfs *sysfs)
{
	boot_devices_done(&sysfs->present);
	closep(&sysfs->seqnum_fd);
	sysfs->seqnum_fd = -EBADF;
}

void sysfs_progress(const struct sysfs_device *d, const char *verb, const char *attr)
{
	struct progress *p = d->sysfs->progress;

	if (!p)
		return;
	p->device = d;
	p->verb = verb;
	p->attr = attr;
}

void progress_text(const struct progress *p, char *buf, size_t size)
{
	if (!p->device)
		text_copy(buf, size, "reading the policy");
	else
		(void)snprintf(buf, size, "%s %s of %s %s", p->verb, p->attr, p->device->bus,
			       p->device->name);
}

int sysfs_device_path(const struct sysfs_device *d, const char *attr, char *buf, size_t size)
{
	return path_join(buf, size, d->sysfs->root, d->devpath, "/", attr, NULL);
}

int sysfs_device_read(const struct sysfs_device *d, const char *attr, char *buf, size_t size)
{
	char path[PATH_MAX];
	int r = sysfs_device_path(d, attr, path, sizeof(path));

	if (r < 0)
		return r;
	sysfs_progress(d, "reading", attr);
	return read_first_line(path, buf, size);
}

int sysfs_device_override(const struct sysfs_device *d, char buf[static OVERRIDE_MAX])
{
	int r = sysfs_device_read(d, "driver_override", buf, OVERRIDE_MAX);

	if (r < 0)
		return r;
	if (streq(buf, "(null)"))
		buf[0] = '\0';
	return 0;
}

int sysfs_device_link(const struct sysfs_device *d, const char *link, char *buf, size_t size)
{
	char path[PATH_MAX];
	int r = sysfs_device_path(d, link, path, sizeof(path));

	if (r >= 0)
		r = read_link_name(path, buf, size);
	return r == -EINVAL ? -ENOENT : r;
}

bool sysfs_device_is_supported(const struct sysfs_device *d)
{
	char path[PATH_MAX];

	return sysfs_device_path(d, "driver_override", path, sizeof(path)) >= 0 &&
	       faccessat(AT_FDCWD, path, F_OK, AT_EACCESS) == 0;
}

void sysfs_device_init(struct sysfs_device *d, struct sysfs *sysfs, const char *devpath, const char *bus)
{
	*d = (struct sysfs_device){ .device.ops = &sysfs_device_ops,
				    .sysfs = sysfs,
				    .devpath = devpath,
				    .name = strrchr(devpath, '/') + 1,
				    .bus = bus };
}

int sysfs_device_stat(struct sysfs_device *d)
{
	char path[PATH_MAX];
	struct stat st;
	int r = path_join(path, sizeof(path), d->sysfs->root, d->devpath, NULL);

	if (r < 0)
		return r;
	if (stat(path, &st) < 0)
		return errno == ENOENT || errno == ENOTDIR ? -ENODEV : negative_errno();
	d->inode = st.st_ino;
	return 0;
}

void sysfs_device_identity(const struct sysfs_device *d, const char *modalias, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%ju:%s", (uintmax_t)d->inode, modalias ? modalias : "");
}

bool sysfs_device_is_gone(const struct sysfs_device *d)
{
	struct sysfs_device now = *d;
	int r = sysfs_device_stat(&now);

	return r == -ENODEV || (r >= 0 && d->inode != 0 && now.inode != d->inode);
}

/* With memory from `lent` if it is not NULL, else of its own. */
static int device_new(struct sysfs *sysfs, struct arena *lent, const char *devpath, const char *bus,
		      struct sysfs_device **ret)
{
	_cleanup_(sysfs_device_freep) struct sysfs_device *d = NULL;
	const char *last = strrchr(devpath, '/');
	char text[PATH_MAX];
	int r;

	if (!startswith(devpath, "/devices/") || strstr(devpath, "/../") || !last[1] || streq(last, "/..") ||
	    streq(last, "/."))
		return -EINVAL;

	d = lent ? arena_alloc(lent, sizeof(*d)) : calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	sysfs_device_init(d, sysfs, devpath, bus);
	d->device.scratch = lent;
	d->devpath = arena_strdup(device_arena(&d->device), devpath);
	if (!d->devpath)
		return -ENOMEM;
	d->name = strrchr(d->devpath, '/') + 1;
	r = sysfs_device_stat(d);
	if (r < 0)
		return r;

	if (!bus) {
		d->bus = "";
		r = sysfs_device_link(d, "subsystem", text, sizeof(text));
		if (r < 0)
			return r == -ENOENT ? -ENODEV : r;
		bus = text;
	}
	d->bus = arena_strdup(device_arena(&d->device), bus);
	if (!d->bus)
		return -ENOMEM;
	*ret = TAKE_PTR(d);
	return 0;
}

int sysfs_device_new(struct sysfs *sysfs, const char *devpath, const char *bus, struct sysfs_device **ret)
{
	return device_new(sysfs, NULL, devpath, bus, ret);
}

/* "/devices/x/y" from the "../../../devices/x/y" of a link in a folder of sysfs. */
static const char *devpath_of_link(const char *target)
{
	while (startswith(target, "../"))
		target += 3;
	if (!startswith(target, "devices/") || strstr(target, "/.."))
		return NULL;
	return target - 1; /* the slash before it */
}

/* Where a link to a device leads, in buf: 0; -ENODEV: nowhere, or to no device. */
static int read_device_link(int folder, const char *path, char *buf, size_t size, const char **ret_devpath)
{
	const char *devpath;
	int r = read_link_at(folder, path, buf, size);

	if (r < 0)
		return r == -ENOENT || r == -EINVAL || r == -ENOTDIR ? -ENODEV : r;
	devpath = devpath_of_link(buf);
	if (!devpath || devpath <= buf)
		return -ENODEV;
	*ret_devpath = devpath;
	return 0;
}

static int device_of_link(struct sysfs *sysfs, const char *path, const char *bus, struct sysfs_device **ret)
{
	char target[PATH_MAX];
	const char *devpath;
	int r = read_device_link(AT_FDCWD, path, target, sizeof(target), &devpath);

	return r < 0 ? r : device_new(sysfs, NULL, devpath, bus, ret);
}

int sysfs_device_find(struct sysfs *sysfs, const char *bus, const char *name, struct sysfs_device **ret)
{
	char path[PATH_MAX];
	int r;

	if (!is_file_name(bus) || !is_file_name(name))
		return -EINVAL;
	r = path_printf(path, sizeof(path), "%s/bus/%s/devices/%s", sysfs->root, bus, name);
	return r < 0 ? r : device_of_link(sysfs, path, bus, ret);
}

void sysfs_device_reset(struct sysfs_device *d)
{
	if (!d->members_borrowed && !d->device.scratch) {
		for (size_t i = 0; i < d->n_members; i++)
			if (d->members[i] != &d->device)
				sysfs_device_free(to_sysfs_device(d->members[i]));
		free(d->members);
	}
	device_done(&d->device);
}

struct sysfs_device *sysfs_device_free(struct sysfs_device *d)
{
	if (!d)
		return NULL;
	sysfs_device_reset(d);
	if (!d->device.scratch)
		free(d);
	return NULL;
}

int sysfs_device_tell(struct sysfs_device *d, enum fact fact, const char *text)
{
	int r = device_add_value(&d->device, &d->device.facts[fact].values, text, strlen(text));

	d->device.facts[fact].asked = r >= 0;
	return r;
}

bool sysfs_device_announced(struct sysfs_device *d, const char *modalias, uint64_t seqnum)
{
	char text[32];
	ssize_t n = pread(d->sysfs->seqnum_fd, text, sizeof(text) - 1, 0);
	bool is_latest;

	text[n > 0 ? n : 0] = '\0';
	is_latest = seqnum != 0 && text_to_number(text) == seqnum;
	/* A PCI device has the very text in its uevent; on other buses a device may have several. */
	d->announced = is_latest && streq(d->bus, "pci") ? modalias : NULL;
	return is_latest;
}

int sysfs_device_add_member(struct sysfs_device *d, struct device *member)
{
	/* Room for a power of two each time. */
	if ((d->n_members & (d->n_members - 1)) == 0) {
		const size_t room = (d->n_members ? 2 * d->n_members : 1) * sizeof(struct device *);
		struct device **v =
			d->device.scratch ? arena_alloc(d->device.scratch, room) : realloc(d->members, room);

		if (!v)
			return -ENOMEM;
		if (d->device.scratch && d->n_members)
			memcpy(v, d->members, d->n_members * sizeof(struct device *));
		d->members = v;
	}
	d->members[d->n_members++] = member;
	return 0;
}

/* What is kept is somebody else's memory, and used by devices that have theirs from an arena. */
static struct device_cache *device_cache_of(const struct sysfs_device *d)
{
	return d->device.scratch ? d->sysfs->cache : NULL;
}

static bool is_pci_name(const char *name)
{
	struct pci_address ignored;

	return pci_address_parse(name, strlen(name), &ignored);
}

/*
 * The member that a link of this name leads to, if it is the one that it led to before. On no other bus do
 * devices have such names, so it is the PCI device that has the name now, and its folder tells whether that
 * is the same.
 */
static struct sysfs_device *member_find_kept(const struct sysfs_device *d, const char *name)
{
	struct device_cache *cache = device_cache_of(d);
	const struct kept_member *kept = cache ? device_cache_find_member(cache, name) : NULL;
	struct arena *arena = d->device.scratch;
	struct sysfs_device *member;
	const char *devpath;

	if (!kept)
		return NULL;
	member = arena_alloc(arena, sizeof(*member));
	devpath = arena_strdup(arena, kept->devpath);
	if (!member || !devpath)
		return NULL;
	sysfs_device_init(member, d->sysfs, devpath, "pci");
	member->device.scratch = arena;
	if (sysfs_device_stat(member) < 0 || member->inode != kept->inode)
		return NULL;
	if (kept->modalias[0])
		member->announced = arena_strdup(arena, kept->modalias);
	return member;
}

/* The same for any member. 0; -ENOENT: it is none, or the device itself; -ENOMEM. */
static int member_follow_link(const struct sysfs_device *d, int folder, const char *name,
			      struct sysfs_device **ret)
{
	_cleanup_(sysfs_device_freep) struct sysfs_device *member = NULL;
	struct device_cache *cache = device_cache_of(d);
	char target[PATH_MAX];
	const char *devpath;
	int r;

	if (read_device_link(folder, name, target, sizeof(target), &devpath) < 0 ||
	    streq(devpath, d->devpath))
		return -ENOENT;
	r = device_new(d->sysfs, d->device.scratch, devpath, NULL, &member);
	if (r < 0) /* one that has just gone is no member any more */
		return r == -ENOMEM ? r : -ENOENT;
	if (!sysfs_device_is_supported(member))
		return -ENOENT;
	if (cache && streq(member->bus, "pci") && is_pci_name(name))
		device_cache_add_member(cache, member->inode, name, member->devpath);
	*ret = TAKE_PTR(member);
	return 0;
}

/* Adds all members that the group's folder lists, but for the device itself. 1: that is there, too; 0;
 * -ENOMEM. */
static int members_read(struct sysfs_device *d, struct dir_reader *dir)
{
	/* On no other bus do devices have such names, so a link with the own one leads to the device itself.
	 */
	const bool is_pci = streq(d->bus, "pci") && is_pci_name(d->name);
	bool has_own = false;
	const char *name;
	int r = 0;

	while (r >= 0 && (name = dir_next(dir))) {
		struct sysfs_device *member;

		if (is_pci && streq(name, d->name)) {
			has_own = true;
			continue;
		}
		member = member_find_kept(d, name);
		r = member ? 0 : member_follow_link(d, dir->fd, name, &member);
		if (r >= 0)
			r = sysfs_device_add_member(d, &member->device);
		else if (r == -ENOENT)
			r = 0;
	}
	return r < 0 ? r : has_own;
}

/* The same from a folder that may be open from before. 0: the device is in another group, or the folder has
 * gone. */
static int members_read_kept(struct sysfs_device *d, int folder)
{
	struct dir_reader dir = { .fd = folder };
	int r;

	if (folder < 0 || lseek(folder, 0, SEEK_SET) < 0)
		return 0;
	r = members_read(d, &dir);
	if (r == 0)
		d->n_members = 1; /* itself */
	return r;
}

/* The same from the folder of its group, which stays open. */
static int members_read_group(struct sysfs_device *d, struct device_cache *cache)
{
	_cleanup_(dir_close) struct dir_reader dir = { .fd = -EBADF };
	char path[PATH_MAX], group[16];
	int r;

	/* Mostly it is the group of the device that was decided about before it. */
	r = members_read_kept(d, device_cache_guess_group(cache, d->name));
	if (r != 0)
		return r;
	r = sysfs_device_link(d, "iommu_group", group, sizeof(group));
	if (r < 0)
		return r;
	r = members_read_kept(d, device_cache_find_group(cache, group));
	if (r != 0)
		return r;
	r = path_join(path, sizeof(path), d->sysfs->root, "/kernel/iommu_groups/", group, "/devices", NULL);
	if (r >= 0)
		r = dir_open(&dir, path);
	if (r >= 0)
		r = members_read(d, &dir);
	if (r == 1)
		device_cache_add_group(cache, group, d->name, TAKE_FD(dir.fd));
	return r;
}

static int members_read_linked(struct sysfs_device *d)
{
	_cleanup_(dir_close) struct dir_reader dir = { .fd = -EBADF };
	char path[PATH_MAX];
	int r = sysfs_device_path(d, "iommu_group/devices", path, sizeof(path));

	if (r >= 0)
		r = dir_open(&dir, path);
	return r < 0 ? r : members_read(d, &dir);
}

int sysfs_device_find_members(struct sysfs_device *d)
{
	struct device_cache *cache = device_cache_of(d);
	int r = sysfs_device_add_member(d, &d->device);

	if (r >= 0)
		r = cache ? members_read_group(d, cache) : members_read_linked(d);
	if (r >= 0)
		return 0;
	if (r != -ENOMEM)
		d->n_members = 0;
	return r == -ENOENT ? -ENODATA : r;
}
