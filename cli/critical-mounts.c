/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is mounted, or will be at boot, and swap: which block devices that means. */
#include "base/arena.h"
#include "base/array.h"
#include "base/file.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "cli/critical-devices.h"

#include <errno.h>
#include <limits.h>
#include <mntent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

enum { MOUNT_DEPTH_MAX = 8 };

struct mount_entry {
	unsigned major, minor; /* 0:N where the file system has several disks or none */
	const char *source, *folder, *type, *options;
};

struct mount_table {
	struct critical_devices *c;
	struct mount_entry *v;
	size_t n, allocated;
};

static void mount_table_done(struct mount_table *t)
{
	free(t->v);
}

static void mount_table_closep(FILE **f)
{
	if (*f)
		(void)endmntent(*f);
}

/* A file beside the sysfs tree. */
static FILE *open_beside(const struct critical_devices *c, const char *name)
{
	char path[PATH_MAX];

	return path_join(path, sizeof(path), c->sysfs, "/../", name, NULL) >= 0 ? fopen(path, "re") : NULL;
}

static const char *mount_field(struct mount_table *t, char **line)
{
	char *field = strsep(line, " \n"), *copy = field ? arena_strdup(&t->c->arena, field) : NULL;

	if (copy)
		(void)text_unescape(copy);
	return copy ? copy : "";
}

/* A line of mountinfo: id, parent, major:minor, root, folder, options, tags, "-", type, source, options. */
static int mount_table_add_line(struct mount_table *t, char *line)
{
	struct mount_entry e = {};

	(void)mount_field(t, &line);
	(void)mount_field(t, &line);
	if (sscanf(mount_field(t, &line), "%u:%u", &e.major, &e.minor) != 2)
		return 0;
	(void)mount_field(t, &line);
	e.folder = mount_field(t, &line);
	while (line && !streq(mount_field(t, &line), "-"))
		;
	e.type = mount_field(t, &line);
	e.source = mount_field(t, &line);
	e.options = mount_field(t, &line);
	if (array_reserve(t->v, t->allocated, t->n) < 0)
		return -ENOMEM;
	t->v[t->n++] = e;
	return 0;
}

static int mount_table_read(struct mount_table *t)
{
	_cleanup_(fclosep) FILE *f = open_beside(t->c, "proc/self/mountinfo");
	_cleanup_(freep) char *line = NULL;
	size_t size = 0;
	int r = 0;

	while (r >= 0 && f && getline(&line, &size, f) > 0)
		r = mount_table_add_line(t, line);
	return r;
}

/* The mount that a path lies on: the last of the deepest. */
static const struct mount_entry *mount_of_path(const struct mount_table *t, const char *path)
{
	const struct mount_entry *best = NULL;

	for (size_t i = 0; i < t->n; i++) {
		const char *rest = startswith(path, t->v[i].folder);

		if (rest && (*rest == '\0' || *rest == '/' || streq(t->v[i].folder, "/")) &&
		    (!best || strlen(t->v[i].folder) >= strlen(best->folder)))
			best = &t->v[i];
	}
	return best;
}

static int mount_add(struct mount_table *t, const struct mount_entry *e, const struct critical_device *use,
		     unsigned depth);

static int mount_add_of_path(struct mount_table *t, const char *path, const struct mount_entry * not,
			     const struct critical_device *use, unsigned depth)
{
	const struct mount_entry *e = mount_of_path(t, path);

	return e && e != not ? mount_add(t, e, use, depth + 1) : 0;
}

/* A loop device lies on the file system of its file. */
static int loop_add(struct mount_table *t, const char *disk, const struct critical_device *use,
		    unsigned depth)
{
	char path[PATH_MAX], file[PATH_MAX];

	if (path_join(path, sizeof(path), disk, "/loop/backing_file", NULL) < 0 ||
	    read_first_line(path, file, sizeof(file)) < 0)
		return 0;
	return mount_add_of_path(t, file, NULL, use, depth);
}

static int block_add(struct mount_table *t, const char *path, const struct critical_device *use,
		     unsigned depth)
{
	int r = critical_disk_add(t->c, path, use);

	return r < 0 ? r : loop_add(t, path, use, depth);
}

/* A node by a path as fstab has it: what it leads to beside the sysfs tree, and the disk of that name. */
static int node_add(struct mount_table *t, const char *node, const struct critical_device *use,
		    unsigned depth)
{
	_cleanup_(freep) char *real = NULL;
	char path[PATH_MAX], folder[PATH_MAX];
	struct stat st;

	if (path_join(path, sizeof(path), t->c->sysfs, "/..", node, NULL) < 0)
		return 0;
	real = realpath(path, NULL);
	if (real && stat(real, &st) >= 0 && S_ISBLK(st.st_mode)) {
		if (path_printf(folder, sizeof(folder), "%s/dev/block/%u:%u", t->c->root, major(st.st_rdev),
				minor(st.st_rdev)) < 0)
			return 0;
	} else if (path_join(folder, sizeof(folder), t->c->root, "/class/block/",
			     path_last(real ? real : node), NULL) < 0) {
		return 0;
	}
	return block_add(t, folder, use, depth);
}

/* Of ZFS only udev knows which disks a pool has. */
static int zfs_add(struct mount_table *t, const char *source, const struct critical_device *use)
{
	_cleanup_(dir_close) struct dir_reader dir = { .fd = -EBADF };
	char folder[PATH_MAX], path[PATH_MAX], label[300];
	const char *name;
	int r = 0;

	(void)snprintf(label, sizeof(label), "E:ID_FS_LABEL=%.*s\n", (int)strcspn(source, "/"), source);
	if (path_join(folder, sizeof(folder), t->c->sysfs, "/../run/udev/data", NULL) < 0 ||
	    dir_open(&dir, folder) < 0)
		return 0;
	while (r >= 0 && (name = dir_next(&dir))) {
		_cleanup_(fclosep) FILE *f = NULL;
		bool zfs = false, pool = false;
		char line[512];

		if (name[0] != 'b' || path_join(path, sizeof(path), folder, "/", name, NULL) < 0)
			continue;
		f = fopen(path, "re");
		while (f && fgets(line, sizeof(line), f)) {
			zfs |= streq(line, "E:ID_FS_TYPE=zfs_member\n");
			pool |= streq(line, label);
		}
		if (zfs && pool &&
		    path_join(path, sizeof(path), t->c->root, "/dev/block/", name + 1, NULL) >= 0)
			r = critical_disk_add(t->c, path, use);
	}
	return r;
}

/* The layers of an overlay, each on a mount of its own perhaps. */
static int overlay_add(struct mount_table *t, const struct mount_entry *e, const struct critical_device *use,
		       unsigned depth)
{
	char *options = arena_strdup(&t->c->arena, e->options), *option;
	int r = 0;

	if (!options)
		return -ENOMEM;
	while (r >= 0 && (option = strsep(&options, ","))) {
		char *layers = NULL, *layer;

		if (startswith(option, "lowerdir=") || startswith(option, "upperdir="))
			layers = option + strlen("lowerdir=");
		while (r >= 0 && layers && (layer = strsep(&layers, ":")))
			r = *layer ? mount_add_of_path(t, layer, e, use, depth) : 0;
	}
	return r;
}

/* Tags of fstab, and where udev has links for them. */
static const struct {
	const char *tag, *folder;
} source_tags[] = { { "UUID=", "/dev/disk/by-uuid/" },
		    { "LABEL=", "/dev/disk/by-label/" },
		    { "PARTUUID=", "/dev/disk/by-partuuid/" },
		    { "PARTLABEL=", "/dev/disk/by-partlabel/" } };

static int tag_add(struct mount_table *t, const char *source, const struct critical_device *use,
		   unsigned depth)
{
	for (size_t i = 0; i < ELEMENTSOF(source_tags); i++) {
		const char *value = startswith(source, source_tags[i].tag);
		char node[PATH_MAX];

		if (!value)
			continue;
		value += *value == '"';
		if (path_printf(node, sizeof(node), "%s%.*s", source_tags[i].folder,
				(int)strcspn(value, "\""), value) < 0)
			return 0;
		return node_add(t, node, use, depth);
	}
	return 0;
}

static int mount_add(struct mount_table *t, const struct mount_entry *e, const struct critical_device *use,
		     unsigned depth)
{
	char path[PATH_MAX], *sources, *source;
	int r = 0;

	if (depth > MOUNT_DEPTH_MAX)
		return 0;
	if (streq(e->type, "zfs"))
		return zfs_add(t, e->source, use);
	if (streq(e->type, "overlay"))
		return overlay_add(t, e, use, depth);
	if (e->major > 0 &&
	    path_printf(path, sizeof(path), "%s/dev/block/%u:%u", t->c->root, e->major, e->minor) >= 0)
		r = block_add(t, path, use, depth);
	if (r < 0 || !startswith(e->source, "/dev/"))
		return r < 0 ? r : tag_add(t, e->source, use, depth);
	/* bcachefs names all its disks, with colons between them. */
	sources = arena_strdup(&t->c->arena, e->source);
	if (!sources)
		return -ENOMEM;
	while (r >= 0 && (source = strsep(&sources, ":")))
		r = startswith(source, "/dev/") ? node_add(t, source, use, depth) : 0;
	return r;
}

static int mounts_add_mounted(struct mount_table *t)
{
	static const char *const folders[] = { "/",    "/usr", "/boot", "/boot/efi", "/boot/firmware",
					       "/efi", "/var", "/home" };
	int r = 0;

	for (size_t i = 0; r >= 0 && i < t->n; i++)
		for (size_t k = 0; r >= 0 && k < ELEMENTSOF(folders); k++)
			if (streq(t->v[i].folder, folders[k]))
				r = mount_add(t, &t->v[i],
					      &(struct critical_device){
						      .what = k == 0 ? "the root file system" : folders[k],
						      .vital = k == 0 },
					      0);
	return r;
}

static bool options_have(const char *options, const char *option)
{
	const size_t n = strlen(option);

	for (const char *s = options; *s; s += strcspn(s, ","), s += *s == ',')
		if (strncmp(s, option, n) == 0 && (s[n] == ',' || s[n] == '\0'))
			return true;
	return false;
}

/* What a table of the boot says; a disk that is not there now is noted, unless the boot goes on without. */
static int mounts_add_line(struct mount_table *t, const struct mount_entry *e, struct critical_device *use)
{
	const size_t before = t->c->n;
	bool disk = startswith(e->source, "/dev/");
	int r = mount_add(t, e, use, 0);

	for (size_t i = 0; i < ELEMENTSOF(source_tags); i++)
		disk |= startswith(e->source, source_tags[i].tag) != NULL;
	if (r < 0 || t->c->n > before || use->optional || !disk)
		return r;
	return strings_add(&t->c->missing, use->what);
}

static int mounts_add_fstab(struct mount_table *t)
{
	_cleanup_(mount_table_closep) FILE *f = open_beside(t->c, "etc/fstab");
	const struct mntent *m;
	int r = 0;

	while (r >= 0 && f && (m = getmntent(f))) {
		bool root = streq(m->mnt_dir, "/"), swap = streq(m->mnt_type, "swap");
		struct mount_entry e = {};
		struct critical_device use = { .vital = root };

		use.optional = options_have(m->mnt_opts, "nofail") || options_have(m->mnt_opts, "noauto");
		e.source = arena_strdup(&t->c->arena, m->mnt_fsname);
		e.type = arena_strdup(&t->c->arena, m->mnt_type);
		e.options = "";
		use.what = root	  ? "the root file system"
			   : swap ? "swap"
				  : arena_strdup(&t->c->arena, m->mnt_dir);
		r = e.source && e.type && use.what ? mounts_add_line(t, &e, &use) : -ENOMEM;
	}
	return r;
}

/* crypttab(5): name, device, key, options. What is mounted of them fstab may know, and the initramfs more. */
static int mounts_add_crypttab(struct mount_table *t)
{
	_cleanup_(fclosep) FILE *f = open_beside(t->c, "etc/crypttab");
	char line[PATH_MAX], name[256], source[1024], options[1024];
	int r = 0;

	while (r >= 0 && f && fgets(line, sizeof(line), f)) {
		struct mount_entry e = { .type = "", .options = "" };
		struct critical_device use = {};

		options[0] = '\0';
		if (sscanf(line, " %255s %1023s %*s %1023s", name, source, options) < 2 || name[0] == '#')
			continue;
		use.optional = options_have(options, "nofail") || options_have(options, "noauto");
		use.what = arena_printf(&t->c->arena, "the encrypted disk %s", name);
		e.source = arena_strdup(&t->c->arena, source);
		r = use.what && e.source ? mounts_add_line(t, &e, &use) : -ENOMEM;
	}
	return r;
}

static int mounts_add_swap(struct mount_table *t)
{
	_cleanup_(fclosep) FILE *f = open_beside(t->c, "proc/swaps");
	const struct critical_device use = { .what = "swap" };
	char line[PATH_MAX], path[PATH_MAX], type[32];
	int r = 0;

	while (r >= 0 && f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%4000s %31s", path, type) != 2 || path[0] != '/')
			continue;
		(void)text_unescape(path);
		r = streq(type, "file") ? mount_add_of_path(t, path, NULL, &use, 0)
					: node_add(t, path, &use, 0);
	}
	return r;
}

int critical_mounts_add(struct critical_devices *c)
{
	_cleanup_(mount_table_done) struct mount_table t = { .c = c };
	int r = mount_table_read(&t);

	if (r >= 0)
		r = mounts_add_mounted(&t);
	if (r >= 0)
		r = mounts_add_fstab(&t);
	if (r >= 0)
		r = mounts_add_crypttab(&t);
	return r >= 0 ? mounts_add_swap(&t) : r;
}
