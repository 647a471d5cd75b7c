/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From the root file system's disk up to the devices that policy may take; see root-devices.h. */
#include "enforcer/root-devices.h"
#include "base/errno.h"
#include "base/file.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "state/image-note.h"
#include "state/state-file.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Device mapper on md on partitions, and so on. */
#define SLAVES_DEEP 16U

/* The disk's link in sysfs. Btrfs has a number of its own, which is no disk's; there the name of the one that
 * was mounted tells, of which the others, if there are any, are not known. */
static bool root_disk_path(const struct settings *s, const char *number, const char *source, char *buf,
			   size_t size)
{
	const char *name = startswith(source, "/dev/");

	if (!startswith(number, "0:"))
		return path_join(buf, size, s->sysfs, "/dev/block/", number, NULL) >= 0;
	return name && !strchr(name, '/') && path_join(buf, size, s->sysfs, "/class/block/", name, NULL) >= 0;
}

/* What is mounted at /; the last mount counts. */
static bool root_disk_find(const struct settings *s, char *buf, size_t size)
{
	_cleanup_(freep) char *line = NULL;
	_cleanup_(fclosep) FILE *f = NULL;
	char path[PATH_MAX], number[32], where[PATH_MAX], source[PATH_MAX];
	size_t allocated = 0;
	bool found = false;

	if (settings_system_path(s, "/proc/self/mountinfo", path, sizeof(path)) >= 0)
		f = fopen(path, "re");
	while (f && getline(&line, &allocated, f) >= 0) {
		const char *rest = strstr(line, " - ");

		if (sscanf(line, "%*s %*s %31s %*s %4095s", number, where) != 2 || !streq(where, "/"))
			continue;
		if (!rest || sscanf(rest, " - %*s %4095s", source) != 1)
			source[0] = '\0';
		found = root_disk_path(s, number, source, buf, size);
	}
	return found;
}

/* Each folder on the way up that has an override: "BUS/NAME". */
static void write_devices_above(FILE *f, char *path)
{
	char file[PATH_MAX], bus[NAME_MAX + 1];

	for (char *slash; (slash = strrchr(path, '/')) && slash != path; *slash = '\0')
		if (path_join(file, sizeof(file), path, "/driver_override", NULL) >= 0 &&
		    access(file, F_OK) == 0 && path_join(file, sizeof(file), path, "/subsystem", NULL) >= 0 &&
		    read_link_name(file, bus, sizeof(bus)) >= 0)
			(void)fprintf(f, "%s/%s\n", bus, slash + 1);
}

/* A disk by the path of its folder or of a link to it, and the disks that it is made of. */
static void write_devices_of_disk(FILE *f, const char *disk, unsigned deep)
{
	_cleanup_(dir_close) struct dir_reader slaves = { .fd = -EBADF };
	char path[PATH_MAX], folder[PATH_MAX];

	if (deep > SLAVES_DEEP || !realpath(disk, path))
		return;
	if (path_join(folder, sizeof(folder), path, "/slaves", NULL) >= 0 && dir_open(&slaves, folder) >= 0)
		for (const char *name; (name = dir_next(&slaves));) {
			char slave[PATH_MAX];

			if (path_join(slave, sizeof(slave), folder, "/", name, NULL) >= 0)
				write_devices_of_disk(f, slave, deep + 1);
		}
	write_devices_above(f, path);
}

int root_devices_note(const struct settings *s)
{
	_cleanup_(freep) char *text = NULL;
	char path[PATH_MAX], lasting[PATH_MAX], temporary[PATH_MAX], disk[PATH_MAX];
	const struct file_replacement how = {
		.path = path, .temporary = temporary, .mode = 0644, .durable = true
	};
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);
	int r = f ? settings_system_path(s, ROOT_DEVICES_FILE, path, sizeof(path)) : -ENOMEM;

	if (r >= 0)
		r = settings_system_path(s, LASTING_DIR, lasting, sizeof(lasting));
	if (r >= 0)
		r = path_join(temporary, sizeof(temporary), lasting, "/.XXXXXX", NULL);
	if (r >= 0 && root_disk_find(s, disk, sizeof(disk)))
		write_devices_of_disk(f, disk, 0);
	if (f && fclose(f) != 0 && r >= 0)
		r = -ENOMEM;
	if (r >= 0 && size == 0)
		return unlink(path) < 0 && errno != ENOENT ? negative_errno() : 0;
	if (r >= 0) {
		_cleanup_(freep) char *before = NULL;

		/* A disk is not worn out by each boot. */
		if (state_file_read(path, &before) >= 0 && streq(before, text))
			return 0;
		r = dir_make(lasting);
	}
	return r < 0 ? r : file_replace(&how, text, size);
}

/* After a change of the hardware, names may be others'. */
static bool any_is_here(const struct settings *s, const char *text)
{
	char path[PATH_MAX], bus[64];

	for (const char *line = text; *line; line = text_next_line(line)) {
		const char *slash = strchr(line, '/');
		int n;

		if (!slash)
			break;
		n = (int)strcspn(slash + 1, "\n");
		if (path_printf(bus, sizeof(bus), "%.*s", (int)(slash - line), line) >= 0 &&
		    path_printf(path, sizeof(path), "%s/bus/%s/devices/%.*s", s->sysfs, bus, n, slash + 1) >=
			    0 &&
		    access(path, F_OK) == 0)
			return true;
	}
	return false;
}

void root_devices_read(const struct settings *s, struct root_devices *ret)
{
	char path[PATH_MAX];

	*ret = (struct root_devices){};
	if (settings_system_path(s, ROOT_DEVICES_FILE, path, sizeof(path)) < 0 ||
	    state_file_read(path, &ret->text) < 0)
		return;
	if (!any_is_here(s, ret->text))
		root_devices_done(ret);
}

void root_devices_done(struct root_devices *devices)
{
	free(devices->text);
	devices->text = NULL;
}

bool root_devices_known(const struct root_devices *devices)
{
	return devices->text != NULL;
}

bool root_devices_have(const struct root_devices *devices, const char *bus, const char *name)
{
	const size_t n = strlen(bus), m = strlen(name);

	for (const char *line = devices->text; line && *line; line = text_next_line(line))
		if (strncmp(line, bus, n) == 0 && line[n] == '/' && strncmp(line + n + 1, name, m) == 0 &&
		    (line[n + 1 + m] == '\n' || line[n + 1 + m] == '\0'))
			return true;
	return false;
}
