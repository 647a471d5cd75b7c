/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* overridectl import driverctl: a file BUS-NAME in /etc/driverctl.d, with a driver in it, a device. */
#include "base/file.h"
#include "base/path.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/import-plan.h"
#include "cli/shown-command.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define DRIVERCTL_DIR "/etc/driverctl.d"

/* Buses whose devices have overrides, some with dashes in their names, whether this kernel has them or not.
 */
static const char *const known_buses[] = { "amba",     "ap",	"cdx", "css",  "fsl-mc", "pci",
					   "platform", "rpmsg", "spi", "vdpa", "vmbus" };

static size_t bus_prefix_length(const char *file, const char *bus)
{
	const char *rest = startswith(file, bus);

	return rest && rest[0] == '-' && rest[1] ? strlen(bus) : 0;
}

/* How long the name of the bus is with which a file's name begins: the longest that is known; 0: none. */
static size_t driverctl_bus_length(const struct import_plan *plan, const char *file)
{
	_cleanup_(dir_close) struct dir_reader dir = { .fd = -EBADF };
	char path[PATH_MAX];
	const char *bus;
	size_t best = 0, n;

	for (size_t i = 0; i < ELEMENTSOF(known_buses); i++) {
		n = bus_prefix_length(file, known_buses[i]);
		best = n > best ? n : best;
	}
	if (path_join(path, sizeof(path), plan->sysfs.root, "/bus", NULL) < 0 || dir_open(&dir, path) < 0)
		return best;
	while ((bus = dir_next(&dir))) {
		n = bus_prefix_length(file, bus);
		best = n > best ? n : best;
	}
	return best;
}

/* 0.121 writes the ids of a device to vfio-pci's new_id, by which it takes each such device that has no
 * driver. */
static void driverctl_add_twins(struct import_plan *plan, const char *from, struct sysfs_device *d)
{
	const char *id = device_text(&d->device, FACT_ID);

	for (size_t i = 0; id && i < plan->n_devices; i++) {
		struct sysfs_device *twin = plan->devices[i];
		const char *other = device_text(&twin->device, FACT_ID);
		char driver[256], override[OVERRIDE_MAX], file[PATH_MAX], device[600];

		if (twin == d || !other || strncmp(id, other, strlen("vvvv:dddd")) != 0 ||
		    sysfs_device_link(twin, "driver", driver, sizeof(driver)) < 0 ||
		    !streq(driver, "vfio-pci") || sysfs_device_override(twin, override) < 0 || override[0] ||
		    path_join(file, sizeof(file), plan->root, DRIVERCTL_DIR "/", twin->bus, "-", twin->name,
			      NULL) < 0 ||
		    access(file, F_OK) == 0)
			continue;
		(void)snprintf(device, sizeof(device), "%s/%s", twin->bus, twin->name);
		import_note(
			plan, IMPORT_NOTE, from,
			"%s %s is at vfio-pci without an override: driverctl's new_id for %.9s has captured "
			"it; "
			"without driverctl it has its own driver from the next boot on, unless `%s` keeps it",
			twin->bus, twin->name, id,
			import_command(plan, (const char *[]){ "set", device, "vfio-pci", NULL }));
	}
}

static void driverctl_add_file(struct import_plan *plan, const char *file)
{
	const char *from = arena_printf(&plan->arena, DRIVERCTL_DIR "/%s", file), *bus, *name;
	char path[PATH_MAX], driver[256];
	size_t n = driverctl_bus_length(plan, file);
	struct import_rule rule;
	struct sysfs_device *d;
	int r;

	if (!from || import_path(plan, from, path, sizeof(path)) < 0)
		return;
	if (n == 0) {
		import_note(plan, IMPORT_NOT_CARRIED, from, "its name does not begin with that of a bus");
		return;
	}
	r = read_first_line(path, driver, sizeof(driver));
	driver[r > 0 ? strcspn(driver, " \t\r") : 0] = '\0';
	if (!driver[0]) {
		import_note(plan, IMPORT_NOT_CARRIED, from, "%s",
			    r < 0 ? strerror(-r) : "it names no driver");
		return;
	}
	bus = arena_strndup(&plan->arena, file, n);
	name = file + n + 1;
	if (!bus) {
		plan->r = -ENOMEM;
		return;
	}
	rule = (struct import_rule){ .label = import_label(plan, file), .from = from, .driver = driver };
	import_rule_set_device(plan, &rule, bus, name);
	if (!import_section_add_or_refuse(plan, &rule))
		return;
	d = import_device_find(plan, bus, name);
	if (!d)
		import_note(plan, IMPORT_NOTE, from,
			    "there is no %s %s now: the rule takes whatever comes there", bus, name);
	else if (streq(driver, "vfio-pci"))
		driverctl_add_twins(plan, from, d);
}

int import_driverctl(struct import_plan *plan, char *const *args, size_t n)
{
	struct strings files = {};
	const char *root;

	if (n > 0)
		return cli_fail_usage("%s: driverctl's files are in " DRIVERCTL_DIR, args[0]);
	import_list(plan, DRIVERCTL_DIR, &files);
	for (size_t i = 0; i < files.n; i++)
		driverctl_add_file(plan, files.v[i]);
	strings_done(&files);
	root = *plan->shown_root ? shell_word(&plan->arena, plan->shown_root) : "";
	if (!root)
		plan->r = -ENOMEM;
	else if (plan->n > 0)
		import_note(plan, IMPORT_RETIRE,
			    "driverctl applies its files at each boot and plug (`driverctl unset-override` "
			    "would take "
			    "devices from their drivers now):",
			    "mkdir -p %s/var/backups/driverctl.d && mv %s" DRIVERCTL_DIR
			    "/* %s/var/backups/driverctl.d/",
			    root, root, root);
	return STATUS_DONE;
}
