/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether a block device is in use. The kernel knows, and refuses to open it exclusively (mounts in any mount
 * namespace, swap, device mapper, md, btrfs and ZFS hold it that way). Only then is the user looked for.
 */
#include "enforce/in-use-parts.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "sysfs/fd-users.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/*
 * Says who uses it; 1. A change of mounts or of swap may tell that this has ended, also where what is mounted
 * is only built on the disk.
 */
#define in_use_set_disk_reason(u, ...)                                                                       \
	((void)strcpy((u)->answer->wait_for, "mount"), in_use_set_reason(u, __VA_ARGS__))

struct disk {
	const char *path;  /* in sysfs */
	char node[256];	   /* below /dev */
	char dev[DEV_MAX]; /* "259:0" */
	unsigned major, minor;
};

/* Whether the source of a mount, or a swap device, is this disk under any of its names. */
static bool path_is_disk(const struct in_use *u, const struct disk *disk, const char *path)
{
	char full[PATH_MAX];
	struct stat st;

	if (startswith(path, "/dev/") && streq(path + 5, disk->node))
		return true;
	return path[0] == '/' && path_join(full, sizeof(full), u->root, "/..", path, NULL) >= 0 &&
	       stat(full, &st) >= 0 && S_ISBLK(st.st_mode) && major(st.st_rdev) == disk->major &&
	       minor(st.st_rdev) == disk->minor;
}

/*
 * "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue", see proc(5): where the
 * disk is mounted, "" if nowhere. btrfs shows a device number of its own, so the source counts as well.
 */
static void disk_find_mount(const struct in_use *u, const struct disk *disk, const char *file, char *buf,
			    size_t size)
{
	_cleanup_(freep) char *text = in_use_read_file(u, file);
	char *line, *rest = text;

	buf[0] = '\0';
	while (rest && (line = strsep(&rest, "\n"))) {
		char *field[5] = {}, *more = line, *tail, *source;

		for (size_t i = 0; i < ELEMENTSOF(field); i++)
			field[i] = more ? strsep(&more, " ") : NULL;
		tail = more ? strstr(more, "- ") : NULL;
		if (!field[4] || !tail)
			continue;
		tail += 2;
		(void)strsep(&tail, " ");
		source = tail ? strsep(&tail, " ") : NULL;
		if (source)
			(void)text_unescape(source);
		if (!streq(field[2], disk->dev) && !(source && path_is_disk(u, disk, source)))
			continue;
		(void)text_unescape(field[4]);
		text_copy(buf, size, field[4]);
		return;
	}
}

static bool disk_is_swap(const struct in_use *u, const struct disk *disk)
{
	_cleanup_(freep) char *text = in_use_read_file(u, "proc/swaps");
	char *line, *rest = text;

	while (rest && (line = strsep(&rest, "\n"))) {
		char *path = strsep(&line, " \t");

		(void)text_unescape(path);
		if (path_is_disk(u, disk, path))
			return true;
	}
	return false;
}

/* The device that is built on the disk: "device-mapper vg-root (dm-0)", "md0". */
static bool disk_find_holder(const struct disk *disk, char *buf, size_t size)
{
	_cleanup_(closedirp) DIR *dir = NULL;
	char path[PATH_MAX], holder[PATH_MAX], name[128];
	const struct dirent *e;

	if (path_join(path, sizeof(path), disk->path, "/holders", NULL) < 0)
		return false;
	dir = opendir(path);
	while (dir && (e = readdir(dir))) {
		if (e->d_name[0] == '.' || path_join(holder, sizeof(holder), path, "/", e->d_name, NULL) < 0)
			continue;
		if (in_use_attr(holder, "dm/name", name, sizeof(name)) >= 0)
			(void)snprintf(buf, size, "device-mapper %s (%.64s)", name, e->d_name);
		else
			(void)snprintf(buf, size, "%s", e->d_name);
		return true;
	}
	return false;
}

struct mount_search {
	const struct in_use *u;
	const struct disk *disk;
	char where[PATH_MAX];
	char ours[64];
	char seen[64][64]; /* namespaces that were looked at; any beyond these are looked at again */
	size_t n;
};

static int mount_search_process(const char *pid, void *userdata)
{
	struct mount_search *e = userdata;
	const struct in_use *u = e->u;
	char path[PATH_MAX], ns[64], file[64], who[128];

	if (path_join(path, sizeof(path), u->root, "/../proc/", pid, NULL) < 0 ||
	    in_use_link(path, "ns/mnt", ns, sizeof(ns)) < 0 || streq(ns, e->ours))
		return 0;
	for (size_t i = 0; i < e->n; i++)
		if (streq(e->seen[i], ns))
			return 0;
	if (e->n < ELEMENTSOF(e->seen))
		(void)strcpy(e->seen[e->n++], ns);
	(void)snprintf(file, sizeof(file), "proc/%.32s/mountinfo", pid);
	disk_find_mount(u, e->disk, file, e->where, sizeof(e->where));
	if (!e->where[0])
		return 0;
	fd_users_process_name(u->root, pid, who, sizeof(who));
	return in_use_set_disk_reason(u, "/dev/%s is mounted on %.200s in the mount namespace of %s",
				      e->disk->node, e->where, who);
}

static int disk_find_mount_elsewhere(const struct in_use *u, const struct disk *disk)
{
	struct mount_search e = { .u = u, .disk = disk };
	char self[PATH_MAX];

	if (path_join(self, sizeof(self), u->root, "/../proc/self", NULL) >= 0)
		(void)in_use_link(self, "ns/mnt", e.ours, sizeof(e.ours));
	return fd_users_each_process(u->root, mount_search_process, &e);
}

/* Finds what uses the disk, as far as it can be seen; processes that have it open are not looked for. 0:
 * nothing. */
static int disk_find_user(struct in_use *u, const struct disk *disk)
{
	char text[PATH_MAX];

	disk_find_mount(u, disk, "proc/self/mountinfo", text, sizeof(text));
	if (text[0])
		return in_use_set_disk_reason(u, "/dev/%s is mounted on %s", disk->node, text);
	if (disk_is_swap(u, disk))
		return in_use_set_disk_reason(u, "/dev/%s is swap", disk->node);
	if (disk_find_holder(disk, text, sizeof(text)))
		return in_use_set_disk_reason(u, "/dev/%s is used by %s", disk->node, text);
	return disk_find_mount_elsewhere(u, disk) > 0 ? 1 : 0;
}

int in_use_disk(struct in_use *u, const struct in_use_item *item, const struct node *number)
{
	_cleanup_(closep) int fd = -EBADF;
	struct disk disk = { .path = item->path, .major = number->major, .minor = number->minor };
	char node[PATH_MAX];
	struct stat st;
	int r;

	(void)snprintf(disk.dev, sizeof(disk.dev), "%u:%u", disk.major, disk.minor);
	text_copy(disk.node, sizeof(disk.node), item->name);
	if (path_join(node, sizeof(node), u->root, "/../dev/", disk.node, NULL) < 0)
		return -ENAMETOOLONG;
	if (stat(node, &st) < 0 || major(st.st_rdev) != disk.major || minor(st.st_rdev) != disk.minor)
		return in_use_set_reason(u, "/dev/%s is not there, so nobody can tell whether it is in use",
					 disk.node);
	if (u->look_only)
		return disk_find_user(u, &disk);
	/* Non-blocking, so that no drive closes its tray for this. */
	fd = open(node, O_RDONLY | O_EXCL | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	if (fd >= 0 || errno == ENXIO || errno == ENODEV || errno == ENOMEDIUM)
		return 0;
	if (errno != EBUSY && errno != EAGAIN)
		return in_use_set_reason(
			u, "/dev/%s cannot be opened, so nobody can tell whether it is in use: %s", disk.node,
			strerror(errno));
	r = disk_find_user(u, &disk);
	return r != 0 ? r
		      : in_use_set_disk_reason(
				u, "/dev/%s is mounted in another mount namespace, or opened exclusively",
				disk.node);
}
