/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From what a person writes to devices; see device-names.h. */
#include "cli/device-names.h"
#include "base/array.h"
#include "base/file.h"
#include "base/path.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/device-rows.h"
#include "cli/near-miss.h"
#include "cli/shown-command.h"
#include "cli/udev-device.h"
#include "sysfs/pci.h"
#include "sysfs/sysfs.h"

#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* Where names are looked for: in this machine's tree, or a list of the service's. */
struct name_finder {
	struct device_names *names;
	const struct cli *cli;
	struct sysfs sysfs;
	struct device_rows rows; /* names at least, once they are needed */
	bool listed;
};

void device_names_done(struct device_names *names)
{
	free(names->v);
	arena_done(&names->arena);
	*names = (struct device_names){};
}

int device_names_add(struct device_names *names, const char *bus, const char *name)
{
	struct device_name *v;

	for (size_t i = 0; i < names->n; i++)
		if (streq(names->v[i].bus, bus) && streq(names->v[i].name, name))
			return 0;
	if (array_reserve(names->v, names->allocated, names->n) < 0)
		return -ENOMEM;
	v = &names->v[names->n++];
	v->bus = arena_strdup(&names->arena, bus);
	v->name = arena_strdup(&names->arena, name);
	return v->bus && v->name ? 0 : -ENOMEM;
}

/* The names of all devices, from the tree if there is one. 0 or an exit status. */
static int name_finder_list(struct name_finder *f)
{
	_cleanup_(service_client_done) struct service_client c = {};
	struct sysfs_device **v = NULL;
	size_t n = 0;
	int r;

	if (f->listed)
		return STATUS_DONE;
	f->listed = true;
	if (f->cli->host) {
		r = service_client_open(&c, f->cli);
		if (r >= 0)
			r = device_rows_list(&f->rows, &c);
		return r < 0 ? cli_fail("%s: %s", f->cli->host, service_error_text(&c, r)) : STATUS_DONE;
	}
	r = sysfs_enumerate(&f->sysfs, &v, &n);
	for (size_t i = 0; r >= 0 && i < n; i++) {
		struct device_row *row = device_rows_add(&f->rows);

		r = row ? device_row_set(&f->rows, row, ROW_BUS, v[i]->bus) : -ENOMEM;
		if (r >= 0)
			r = device_row_set(&f->rows, row, ROW_NAME, v[i]->name);
	}
	if (v)
		sysfs_devices_free(v, n);
	device_rows_sort(&f->rows);
	return r < 0 ? cli_fail("listing the devices: %s", strerror(-r)) : STATUS_DONE;
}

static const char *row_full_name(struct name_finder *f, const struct device_row *row)
{
	const char *name = arena_printf(&f->names->arena, "%s/%s", row->field[ROW_BUS], row->field[ROW_NAME]);

	return name ? name : "";
}

/* Says that there is no such device, and which may have been meant. */
static int name_finder_fail(struct name_finder *f, const char *text)
{
	struct near_miss near = near_miss_of(text);
	const char *meant = "";

	if (name_finder_list(f) != STATUS_DONE)
		return STATUS_FAILED;
	for (size_t i = 0; i < f->rows.n; i++)
		near_miss_try(&near, row_full_name(f, &f->rows.v[i]));
	for (size_t i = 0; i < near.n && meant; i++)
		meant = arena_printf(&f->names->arena, "%s%s%s", meant,
				     i == 0	       ? ""
				     : i + 1 == near.n ? " or "
						       : ", ",
				     near.names[i]);
	if (near.n > 0 && meant)
		return cli_fail("%s: no such device; did you mean %s?", text, meant);
	meant = shown_command_text(&f->names->arena, f->cli, (const char *[]){ "list", "--all", NULL });
	return cli_fail("%s: no such device; %s shows them all", text, meant ? meant : "list --all");
}

/* A device that several buses have: which. */
static int name_finder_fail_ambiguous(struct name_finder *f, const char *text)
{
	const char *which = "";

	if (name_finder_list(f) != STATUS_DONE)
		return STATUS_FAILED;
	for (size_t i = 0; i < f->rows.n && which; i++)
		if (streq(f->rows.v[i].field[ROW_NAME], text))
			which = arena_printf(&f->names->arena, "%s%s%s", which, *which ? ", " : "",
					     row_full_name(f, &f->rows.v[i]));
	if (which && *which)
		return cli_fail("%s: on more than one bus; name one of %s", text, which);
	return cli_fail("%s: %s", text, sysfs_lookup_error(-ENOTUNIQ));
}

static int name_finder_add_pattern(struct name_finder *f, const char *pattern)
{
	size_t before = f->names->n;
	int status = name_finder_list(f);

	for (size_t i = 0; status == STATUS_DONE && i < f->rows.n; i++) {
		const struct device_row *row = &f->rows.v[i];
		const char *name = strchr(pattern, '/') ? row_full_name(f, row) : row->field[ROW_NAME];

		if (fnmatch(pattern, name, FNM_NOESCAPE) == 0 &&
		    device_names_add(f->names, row->field[ROW_BUS], row->field[ROW_NAME]) < 0)
			return cli_fail("out of memory");
	}
	if (status == STATUS_DONE && f->names->n == before)
		return cli_fail("%s: no device matches", pattern);
	return status;
}

/* A name, of another machine's devices. */
static int name_finder_add_listed(struct name_finder *f, const char *text)
{
	const char *with_domain = arena_printf(&f->names->arena, "0000:%s", text);
	const struct device_row *found = NULL;
	int status = name_finder_list(f);

	if (status != STATUS_DONE || !with_domain)
		return STATUS_FAILED;
	for (size_t i = 0; i < f->rows.n; i++) {
		const struct device_row *row = &f->rows.v[i];

		if (strcasecmp(row->field[ROW_NAME], text) != 0 &&
		    strcasecmp(row_full_name(f, row), text) != 0 &&
		    strcasecmp(row->field[ROW_NAME], with_domain) != 0)
			continue;
		if (found)
			return name_finder_fail_ambiguous(f, text);
		found = row;
	}
	if (!found)
		return name_finder_fail(f, text);
	return device_names_add(f->names, found->field[ROW_BUS], found->field[ROW_NAME]) < 0
		       ? cli_fail("out of memory")
		       : STATUS_DONE;
}

/* /dev/vfio/12: the members of that group, but for bridges, which nobody can use by it. */
static int name_finder_add_group(struct name_finder *f, const char *number)
{
	_cleanup_(dir_close) struct dir_reader dir = { .fd = -EBADF };
	char path[PATH_MAX];
	const char *name;
	size_t before = f->names->n;

	if (path_join(path, sizeof(path), f->sysfs.root, "/kernel/iommu_groups/", number, "/devices", NULL) <
		    0 ||
	    dir_open(&dir, path) < 0)
		return cli_fail("/dev/vfio/%s: there is no IOMMU group %s", number, number);
	while ((name = dir_next(&dir))) {
		_cleanup_(sysfs_device_freep) struct sysfs_device *d = NULL;
		char member[PATH_MAX];

		if (path_join(member, sizeof(member), path, "/", name, NULL) < 0 ||
		    sysfs_device_lookup(&f->sysfs, member, &d) < 0 || !sysfs_device_is_supported(d) ||
		    d->device.ops->is_bridge(&d->device) > 0)
			continue;
		if (device_names_add(f->names, d->bus, d->name) < 0)
			return cli_fail("out of memory");
	}
	if (f->names->n == before)
		return cli_fail("/dev/vfio/%s: no device of that group has a driver_override file", number);
	return STATUS_DONE;
}

/* A device that is not there, named in full. 1: it is named so; 0: it is not; -ENOMEM. */
static int name_finder_add_absent(struct name_finder *f, const char *text)
{
	const char *slash = strchr(text, '/'), *bus;

	if (!slash || slash == text || text[0] == '.' || !is_file_name(slash + 1))
		return 0;
	bus = arena_strndup(&f->names->arena, text, (size_t)(slash - text));
	return bus && device_names_add(f->names, bus, slash + 1) >= 0 ? 1 : -ENOMEM;
}

static int name_finder_add(struct name_finder *f, const char *text, bool absent)
{
	_cleanup_(sysfs_device_freep) struct sysfs_device *d = NULL;
	const char *group = startswith(text, "/dev/vfio/");
	int r;

	if (text[0] != '/' && text[strcspn(text, "*?[")])
		return name_finder_add_pattern(f, text);
	if (f->cli->host)
		return absent && name_finder_add_absent(f, text) > 0 ? STATUS_DONE
								     : name_finder_add_listed(f, text);
	if (group && *group && group[strspn(group, "0123456789")] == '\0')
		return name_finder_add_group(f, group);
	/* udev knows more names of a device than sysfs does, but only those of this machine. */
	r = f->cli->settings.sysfs_given ? -ENODEV : udev_device_lookup(&f->sysfs, text, &d);
	if (r == -ENODEV)
		r = sysfs_device_lookup(&f->sysfs, text, &d);
	if (r == -ENODEV && absent && name_finder_add_absent(f, text) > 0)
		return STATUS_DONE;
	if (r == -ENODEV)
		return name_finder_fail(f, text);
	if (r == -ENOTUNIQ)
		return name_finder_fail_ambiguous(f, text);
	if (r < 0)
		return cli_fail("%s: %s", text, sysfs_lookup_error(r));
	if (!sysfs_device_is_supported(d))
		return cli_fail("%s %s: has no driver_override file, so its driver cannot be chosen", d->bus,
				d->name);
	return device_names_add(f->names, d->bus, d->name) < 0 ? cli_fail("out of memory") : STATUS_DONE;
}

/* The devices that a rule decides about, now. */
static int name_finder_add_rule(struct name_finder *f, const char *label)
{
	struct device_rows rows = {};
	size_t before = f->names->n;
	bool service;
	int r = device_rows_read_or_fail(&rows, f->cli, false, &service);

	for (size_t i = 0; r >= 0 && i < rows.n; i++)
		if (streq(rows.v[i].field[ROW_RULE], label))
			r = device_names_add(f->names, rows.v[i].field[ROW_BUS], rows.v[i].field[ROW_NAME]);
	device_rows_done(&rows);
	if (r < 0)
		return STATUS_FAILED;
	return f->names->n > before ? STATUS_DONE
				    : cli_fail("no rule [device %s] decides about a device", label);
}

int device_names_find_or_fail(struct device_names *names, const struct cli *cli, char *const *args, size_t n,
			      bool absent)
{
	struct name_finder f = { .names = names, .cli = cli };
	int status = STATUS_DONE;

	sysfs_init(&f.sysfs, &cli->settings);
	for (size_t i = 0; status == STATUS_DONE && i < n; i++)
		status = name_finder_add(&f, args[i], absent);
	if (status == STATUS_DONE && cli->option[VERB_RULE])
		status = name_finder_add_rule(&f, cli->option[VERB_RULE]);
	if (status == STATUS_DONE && names->n == 0)
		status = cli_fail_usage("no device is named");
	device_rows_done(&f.rows);
	sysfs_done(&f.sysfs);
	return status;
}

int device_name_find_or_fail(struct device_names *names, const struct cli *cli, char *const *args, size_t n)
{
	int status = device_names_find_or_fail(names, cli, args, n, cli->option[VERB_ABSENT] != NULL);
	const char *which = "";

	if (status != STATUS_DONE || names->n == 1)
		return status;
	for (size_t i = 0; i < names->n && which; i++)
		which = arena_printf(&names->arena, "%s%s%s/%s", which, *which ? ", " : "", names->v[i].bus,
				     names->v[i].name);
	return cli_fail("these are %zu devices, and it must be one: %s", names->n, which ? which : "");
}
