/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* /dev, /proc, /sys and /run, whatever becomes of PID 1's root; see own-view.h. */
#include "guard/own-view.h"
#include "base/errno.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/time.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Between the last mount and the change of the root, initramfs-tools deletes the files of its image. */
#define LOOK_USEC 5000000U
#define LOOK_AGAIN_MS 20

static const char *const kept[] = { "/dev", "/proc", "/sys", "/run" };

static int own_view_bind(const char *folder, const char *path)
{
	char target[PATH_MAX];
	int r = path_join(target, sizeof(target), folder, path, NULL);

	if (r < 0)
		return r;
	if (mkdir(target, 0755) < 0 || mount(path, target, NULL, MS_BIND, NULL) < 0)
		return negative_errno();
	return 0;
}

/* An empty file system at the folder, with what is kept bound into it. 0 or negative errno. */
static int own_view_build(const char *folder)
{
	int r = 0;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return negative_errno();
	if (mkdir(folder, 0700) < 0 && errno != EEXIST)
		return negative_errno();
	if (mount("driver-overrides", folder, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		  "size=64k,mode=0755") < 0)
		return negative_errno();
	for (size_t i = 0; i < ELEMENTSOF(kept) && r >= 0; i++)
		r = own_view_bind(folder, kept[i]);
	return r;
}

/*
 * Makes the folder the root, and lets go of all other mounts, so that nobody's file system stays busy. The
 * root of a boot image cannot be exchanged; there the new one is put over it.
 */
static int own_view_change_root(const char *folder)
{
	_cleanup_(closep) int old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (old < 0 || chdir(folder) < 0)
		return negative_errno();
	if (syscall(SYS_pivot_root, ".", ".") < 0) {
		if (mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || fchdir(old) < 0)
			return negative_errno();
		for (size_t i = 0; i < ELEMENTSOF(kept); i++)
			(void)umount2(kept[i] + 1, MNT_DETACH);
	} else if (fchdir(old) < 0 || umount2(".", MNT_DETACH) < 0)
		return negative_errno();
	return chdir("/") < 0 ? negative_errno() : 0;
}

static bool own_view_look_at_root(struct own_view *v)
{
	struct stat st;
	bool changed;

	if (stat("/proc/1/root/.", &st) < 0)
		return false;
	changed = st.st_dev != v->root_dev || st.st_ino != v->root_inode;
	v->root_dev = st.st_dev;
	v->root_inode = st.st_ino;
	return changed;
}

int own_view_enter(struct own_view *v, const char *folder)
{
	struct own_view view = {};
	int r;

	(void)own_view_look_at_root(&view);
	if (unshare(CLONE_NEWNS) < 0)
		return negative_errno();
	r = own_view_build(folder);
	if (r >= 0)
		r = own_view_change_root(folder);
	if (r < 0)
		return r;
	view.namespace = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	view.mounts = open("/proc/1/mountinfo", O_RDONLY | O_CLOEXEC);
	if (view.namespace < 0 || view.mounts < 0)
		return negative_errno();
	*v = view;
	return 0;
}

int own_view_visit(struct own_view *v)
{
	_cleanup_(closep) int there = -EBADF;

	/* Threads share their root, and only who has it alone may change it. */
	if (!v->is_separated && unshare(CLONE_FS) < 0)
		return negative_errno();
	v->is_separated = true;
	there = open("/proc/1/ns/mnt", O_RDONLY | O_CLOEXEC);
	if (there < 0 || setns(there, CLONE_NEWNS) < 0)
		return negative_errno();
	v->is_visiting = true;
	return 0;
}

void own_view_return(struct own_view *v)
{
	if (v->is_visiting)
		(void)setns(v->namespace, CLONE_NEWNS);
	v->is_visiting = false;
}

bool own_view_root_changed(struct own_view *v, bool mounts_changed, int *ret_again)
{
	const uint64_t now = now_usec();
	bool changed = false;

	if (mounts_changed)
		v->look_until_usec = now + LOOK_USEC;
	if (now < v->look_until_usec)
		changed = own_view_look_at_root(v);
	*ret_again = now < v->look_until_usec ? LOOK_AGAIN_MS : -1;
	return changed;
}
