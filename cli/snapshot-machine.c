/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a snapshot has of the machine beside its devices: buses, classes, what it cannot lose, other tools. */
#include "base/file.h"
#include "base/path.h"
#include "base/text.h"
#include "cli/critical-devices.h"
#include "cli/snapshot.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void bus_add(struct snapshot *s, const char *path, const char *name)
{
	char below[PATH_MAX];

	(void)name;
	if (path_join(below, sizeof(below), path, "/drivers", NULL) >= 0)
		snapshot_copy_names(s, below);
	if (path_join(below, sizeof(below), path, "/drivers_autoprobe", NULL) >= 0)
		snapshot_copy_file(s, below);
}

void snapshot_add_buses(struct snapshot *s)
{
	snapshot_for_each(s, "sys/bus", bus_add);
}

/* An interface or a disk: its link in the class, and its folder with the links by which it is told apart. */
static void class_entry_add(struct snapshot *s, const char *path, const char *name)
{
	char full[PATH_MAX], target[PATH_MAX], folder[PATH_MAX];
	const char *devices;

	(void)name;
	if (snapshot_real_path(s, path, full, sizeof(full)) < 0 ||
	    read_link(full, target, sizeof(target)) < 0)
		return;
	devices = strstr(target, "devices/");
	if (!devices || path_join(folder, sizeof(folder), "sys/", devices, NULL) < 0 ||
	    !snapshot_path_is_plain(folder))
		return;
	snapshot_copy_link(s, path);
	snapshot_add(s, SNAPSHOT_DIRECTORY, folder, NULL, 0);
	if (path_join(target, sizeof(target), folder, "/device", NULL) >= 0)
		snapshot_copy_link(s, target);
	if (path_join(target, sizeof(target), folder, "/subsystem", NULL) >= 0)
		snapshot_copy_link(s, target);
}

/* The links to the controllers of a drive that has several. */
static void nvme_controller_add(struct snapshot *s, const char *path, const char *name)
{
	if (startswith(name, "nvme"))
		snapshot_copy_link(s, path);
}

static void nvme_subsystem_add(struct snapshot *s, const char *path, const char *name)
{
	(void)name;
	snapshot_for_each(s, path, nvme_controller_add);
}

void snapshot_add_classes(struct snapshot *s)
{
	snapshot_for_each(s, "sys/class/net", class_entry_add);
	snapshot_for_each(s, "sys/class/block", class_entry_add);
	snapshot_for_each(s, "sys/devices/virtual/nvme-subsystem", nvme_subsystem_add);
	snapshot_copy_names(s, "sys/class/iommu");
	snapshot_copy_names(s, "sys/class/vfio");
}

/* The way up from sys/class/block, and down to a device. */
static void critical_add_link(struct snapshot *s, const struct critical_device *device)
{
	char path[PATH_MAX], target[PATH_MAX];

	if (path_join(path, sizeof(path), "sys/class/block/", path_last(device->devpath), NULL) >= 0 &&
	    path_join(target, sizeof(target), "../..", device->devpath, NULL) >= 0)
		snapshot_add_text(s, SNAPSHOT_LINK, path, target);
	if (path_join(path, sizeof(path), "sys", device->devpath, NULL) >= 0 && snapshot_path_is_plain(path))
		snapshot_add(s, SNAPSHOT_DIRECTORY, path, NULL, 0);
}

/* A word of fstab. */
static void fstab_write_word(FILE *f, const char *word)
{
	for (; *word; word++)
		if (strchr(" \t\n\\#", *word))
			(void)fprintf(f, "\\%03o", (unsigned)(unsigned char)*word);
		else
			(void)fputc(*word, f);
}

/*
 * Mount tables, the tables of swap and udev's data have names and numbers of a single machine's file systems.
 * What is made of them, a list of disks and of what lies on each, fits into a plain fstab, whose reader comes
 * to the same list.
 */
void snapshot_add_critical(struct snapshot *s)
{
	_cleanup_(critical_devices_done) struct critical_devices critical = {};
	_cleanup_(freep) char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f || critical_devices_find(&critical, s->settings) == -ENOMEM)
		s->r = -ENOMEM;
	for (size_t i = 0; f && i < critical.n; i++) {
		const struct critical_device *c = &critical.v[i];

		if (c->network || startswith(c->devpath, "/devices/virtual/"))
			continue;
		critical_add_link(s, c);
		(void)fprintf(f, "/dev/%s ", path_last(c->devpath));
		if (streq(c->what, "swap"))
			(void)fputs("none swap", f);
		else {
			fstab_write_word(f, c->vital ? "/" : c->what);
			(void)fputs(" auto", f);
		}
		(void)fputs(c->optional ? " nofail 0 0\n" : " defaults 0 0\n", f);
	}
	if (f && fclose(f) == 0 && size > 0)
		snapshot_add(s, SNAPSHOT_FILE, "etc/fstab", text, size);
}

static void driverctl_add(struct snapshot *s, const char *path, const char *name)
{
	(void)name;
	snapshot_copy_file(s, path);
}

static void kubevirt_add(struct snapshot *s, const char *path, const char *name)
{
	if (startswith(name, "kubevirt-"))
		snapshot_add(s, SNAPSHOT_DIRECTORY, path, NULL, 0);
}

/* The lines of a file that have a word in them, or of such lines the words that do. */
static void add_lines_with(struct snapshot *s, const char *path, const char *const *words, size_t n,
			   bool words_only)
{
	_cleanup_(fclosep) FILE *in = NULL;
	_cleanup_(freep) char *text = NULL, *line = NULL;
	char full[PATH_MAX];
	size_t size = 0, length = 0;
	FILE *out;

	if (snapshot_real_path(s, path, full, sizeof(full)) < 0)
		return;
	in = fopen(full, "re");
	out = in ? open_memstream(&text, &length) : NULL;
	while (out && getdelim(&line, &size, words_only ? ' ' : '\n', in) > 0)
		for (size_t i = 0; i < n; i++)
			if (strstr(line, words[i])) {
				(void)fputs(line, out);
				break;
			}
	if (out && fclose(out) == 0 && length > 0)
		snapshot_add(s, SNAPSHOT_FILE, path, text, length);
}

void snapshot_add_beside(struct snapshot *s)
{
	static const char *const framebuffers[] = { "BOOTFB",	       "simple-framebuffer",
						    "efi-framebuffer", "vesa-framebuffer",
						    "simplefb",	       "efifb",
						    "vesafb" };
	static const char *const parameters[] = { "allow_driver_override" };

	snapshot_for_each(s, "etc/driverctl.d", driverctl_add);
	snapshot_for_each(s, "var/lib/kubelet/device-plugins", kubevirt_add);
	add_lines_with(s, "proc/iomem", framebuffers, ELEMENTSOF(framebuffers), false);
	add_lines_with(s, "proc/cmdline", parameters, ELEMENTSOF(parameters), true);
}
