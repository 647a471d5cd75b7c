/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Unpacks snapshots; see snapshot-unpack.h. Why nothing gets out of the folder: paths have no `..`, and are
 * walked name by name without following a link; files come before links, so that none is written through one;
 * and a link leads up from its own folder, which is a real one, no further than to the top, and then down.
 */
#include "cli/snapshot-unpack.h"
#include "base/array.h"
#include "base/errno.h"
#include "base/file.h"
#include "base/path.h"
#include "base/text.h"
#include "cli/snapshot-read.h"
#include "state/boot-devices.h"
#include "state/record-file.h"
#include "state/state-file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct unpacking {
	const char *folder;
	int root;
	size_t made;	   /* files, links and folders */
	int parent;	   /* the last folder that was walked to */
	const char *below; /* its path, and how long that is: of an entry */
	size_t below_n;
};

/* The folder of that name in another, which becomes this one; made where it is missing. */
static int unpack_enter(struct unpacking *u, int *fd, const char *name)
{
	int next = openat(*fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (next < 0 && errno == ENOENT) {
		if (++u->made > SNAPSHOT_ENTRIES_MAX)
			return -E2BIG;
		if (mkdirat(*fd, name, 0700) < 0)
			return negative_errno();
		next = openat(*fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	}
	if (next < 0)
		return negative_errno();
	(void)close(*fd);
	*fd = next;
	return 0;
}

/* Walks to the folder of an entry. Neighbours mostly have the same one. */
static int unpack_walk(struct unpacking *u, const char *path)
{
	const char *last = strrchr(path, '/');
	size_t n = last ? (size_t)(last - path) : 0;
	_cleanup_(closep) int fd = -EBADF;
	char name[256];
	int r = 0;

	if (u->parent >= 0 && n == u->below_n && strncmp(u->below, path, n) == 0)
		return 0;
	fd = fcntl(u->root, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return negative_errno();
	for (const char *s = path; r >= 0 && s < path + n; s++) {
		size_t length = strcspn(s, "/");

		memcpy(name, s, length);
		name[length] = '\0';
		r = unpack_enter(u, &fd, name);
		s += length;
	}
	if (r < 0)
		return r;
	closep(&u->parent);
	u->parent = TAKE_FD(fd);
	u->below = path;
	u->below_n = n;
	return 0;
}

static int unpack_file(const struct unpacking *u, const char *name, const struct snapshot_entry *e)
{
	_cleanup_(closep) int fd =
		openat(u->parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return negative_errno();
	return e->n > 0 ? write_full(fd, e->value, e->n) : 0;
}

static int unpack_entry(struct unpacking *u, const struct snapshot_entry *e)
{
	const char *name = path_last(e->path);
	int r = unpack_walk(u, e->path);

	if (r < 0)
		return r;
	if (++u->made > SNAPSHOT_ENTRIES_MAX)
		return -E2BIG;
	if (e->kind == SNAPSHOT_FILE)
		return unpack_file(u, name, e);
	if (e->kind == SNAPSHOT_DIRECTORY)
		return mkdirat(u->parent, name, 0700) < 0 && errno != EEXIST ? negative_errno() : 0;
	/* A link to itself cannot be read, and is no file that is missing. */
	return symlinkat(e->kind == SNAPSHOT_LINK ? e->value : name, u->parent, name) < 0 ? negative_errno()
											  : 0;
}

static int unpack_entries(struct unpacking *u, const struct snapshot_entries *entries, bool links,
			  size_t *reterr_line)
{
	for (size_t i = 0; i < entries->n; i++) {
		const struct snapshot_entry *e = &entries->v[i];
		bool is_link = e->kind == SNAPSHOT_LINK || e->kind == SNAPSHOT_WITHHELD;
		int r;

		if (e->kind > SNAPSHOT_WITHHELD || is_link != links)
			continue;
		r = unpack_entry(u, e);
		if (r < 0) {
			*reterr_line = e->line;
			return r;
		}
	}
	return 0;
}

/* The device of an entry: its bus, its name, and the inode of its folder. False: there is none. */
static bool unpack_find_device(const struct unpacking *u, const char *path, char bus[static 256],
			       const char **ret_name, uint64_t *ret_inode)
{
	const char *slash = strchr(path, '/');
	char full[PATH_MAX];
	struct stat st;

	text_copy(bus, 256, path);
	bus[slash - path] = '\0';
	*ret_name = slash + 1;
	if (path_join(full, sizeof(full), u->folder, "/sys/bus/", bus, "/devices/", slash + 1, "/.", NULL) <
		    0 ||
	    stat(full, &st) < 0)
		return false;
	*ret_inode = st.st_ino;
	return true;
}

static int unpack_record(const struct unpacking *u, const char *state_dir, const struct snapshot_entry *e)
{
	_cleanup_(freep) char *text = NULL;
	char bus[256], path[PATH_MAX];
	const char *name;
	uint64_t inode;

	if (!unpack_find_device(u, e->path, bus, &name, &inode) ||
	    record_path(state_dir, bus, name, path, sizeof(path)) < 0)
		return 0;
	if (asprintf(&text, "VERSION=%d\nBOOT_ID=%s\nINODE=%ju\n%s", RECORD_VERSION, boot_id(),
		     (uintmax_t)inode, e->value) < 0) {
		text = NULL;
		return -ENOMEM;
	}
	return state_file_replace(state_dir, "devices", path, text, strlen(text), NULL, 0600);
}

static int unpack_model(const struct unpacking *u, const char *state_dir, const struct snapshot_entry *e)
{
	char bus[256], path[PATH_MAX];
	const char *name;
	uint64_t inode;

	if (!unpack_find_device(u, e->path, bus, &name, &inode) ||
	    state_device_path(state_dir, "/models/", bus, name, path, sizeof(path)) < 0)
		return 0;
	return state_file_replace(state_dir, "models", path, e->value, e->n, NULL, 0600);
}

/* What was present at boot, by the inodes that the devices' folders have here. */
static int unpack_state(const struct unpacking *u, const struct snapshot_entries *entries)
{
	_cleanup_(freep) uint64_t *inodes = calloc(entries->n + 1, sizeof(*inodes));
	char state_dir[PATH_MAX], bus[256];
	const char *boot = NULL, *name;
	size_t n = 0;
	int r = inodes ? path_join(state_dir, sizeof(state_dir), u->folder, "/state", NULL) : -ENOMEM;

	for (size_t i = 0; r >= 0 && i < entries->n; i++) {
		const struct snapshot_entry *e = &entries->v[i];

		if (e->kind == SNAPSHOT_BOOT)
			boot = e->path;
		else if (e->kind == SNAPSHOT_PRESENT)
			n += unpack_find_device(u, e->path, bus, &name, &inodes[n]);
		else if (e->kind == SNAPSHOT_RECORD)
			r = unpack_record(u, state_dir, e);
		else if (e->kind == SNAPSHOT_MODEL)
			r = unpack_model(u, state_dir, e);
	}
	if (r < 0 || !boot)
		return r;
	r = state_dir_make(state_dir, "tmp");
	return r < 0 ? r : boot_devices_write(state_dir, inodes, n, streq(boot, "complete"));
}

int snapshot_unpack(const char *file, const char *folder, size_t *reterr_line, char reterr_text[static 256])
{
	_cleanup_(snapshot_entries_done) struct snapshot_entries entries = {};
	_cleanup_(closep) int root = open(folder, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct unpacking u = { .folder = folder, .root = root, .parent = -EBADF };
	int r = snapshot_read(&entries, file, reterr_line, reterr_text);

	if (r < 0)
		return r;
	*reterr_line = 0;
	r = root >= 0 ? unpack_entries(&u, &entries, false, reterr_line) : -ENOENT;
	if (r >= 0)
		r = unpack_entries(&u, &entries, true, reterr_line);
	closep(&u.parent);
	if (r >= 0)
		r = unpack_state(&u, &entries);
	if (r >= 0)
		return 0;
	text_copy(reterr_text, 256,
		  r == -EEXIST || r == -ENOTDIR || r == -ELOOP ? "something else has that path"
							       : strerror(-r));
	return r;
}
