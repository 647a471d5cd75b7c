/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rules that take away what the machine itself needs: disks, the network, the console's picture. */
#include "base/arena.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "cli/critical-devices.h"
#include "cli/lint-checks.h"
#include "cli/lint-run.h"
#include "policy/vfio-driver.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What lies on the device, each once: "the root file system, /boot, swap". NULL: nothing, or no memory. */
static const char *device_losses(struct lint_run *run, const struct critical_devices *critical,
				 const struct lint_device *device, bool *ret_vital)
{
	const char *all = NULL;

	*ret_vital = false;
	for (size_t i = 0; i < critical->n; i++) {
		const struct critical_device *c = &critical->v[i];
		bool known = false;

		if (c->network || !critical_device_is_below(c, device->d->devpath))
			continue;
		for (size_t k = 0; k < i && !known; k++)
			known = streq(critical->v[k].what, c->what) &&
				critical_device_is_below(&critical->v[k], device->d->devpath);
		*ret_vital |= c->vital;
		if (!known)
			all = arena_printf(&run->lint->arena, "%s%s%s", all ? all : "", all ? ", " : "",
					   c->what);
	}
	return all;
}

static void lint_disks(struct lint_run *run, const struct critical_devices *critical)
{
	for (size_t i = 0; i < run->n_devices; i++) {
		const struct lint_device *device = &run->devices[i];
		const struct rule *rule = device->decision.rule;
		const char *losses, *text;
		bool vital;

		if (!lint_device_is_taken(device))
			continue;
		losses = device_losses(run, critical, device, &vital);
		if (!losses)
			continue;
		text = arena_printf(&run->lint->arena,
				    "[device %s] takes %s %s away from its driver, at the next boot at the "
				    "latest, and on it is: %s",
				    rule->label, device->d->bus, device->d->name, losses);
		if (vital)
			lint_refuse(run, rule, text);
		else
			lint_warn(run, rule, text);
	}
}

/* An interface may be at the device itself, or anywhere below it: behind USB, on virtio. */
static void lint_network(struct lint_run *run, const struct critical_devices *critical)
{
	size_t interfaces = 0, caught = 0;
	const struct rule *last = NULL;

	for (size_t i = 0; i < critical->n; i++) {
		const struct rule *taker = NULL;

		if (!critical->v[i].network)
			continue;
		interfaces++;
		for (size_t k = 0; k < run->n_devices && !taker; k++)
			if (lint_device_is_taken(&run->devices[k]) &&
			    critical_device_is_below(&critical->v[i], run->devices[k].d->devpath))
				taker = run->devices[k].decision.rule;
		caught += taker != NULL;
		last = taker && (!last || taker->order > last->order) ? taker : last;
	}
	if (interfaces > 0 && caught == interfaces)
		lint_refuse(run, last,
			    arena_printf(&run->lint->arena,
					 "[device %s] leaves the machine without a network card, at the next "
					 "boot at the latest: it takes the %s one",
					 last->label, interfaces == 1 ? "only" : "last"));
}

static bool name_is_boot_framebuffer(const char *name)
{
	static const char *const names[] = { "BOOTFB",		"simple-framebuffer",
					     "efi-framebuffer", "vesa-framebuffer",
					     "simplefb",	"efifb",
					     "vesafb" };

	for (size_t i = 0; i < ELEMENTSOF(names); i++)
		if (startswith(name, names[i]))
			return true;
	return false;
}

/* The name of what the firmware's framebuffer is claimed by within [begin, end]; "": by nothing. */
static void framebuffer_find(const struct lint_run *run, uint64_t begin, uint64_t end, char *buf, size_t size)
{
	char path[PATH_MAX], line[256], name[64];
	unsigned long long from, to;
	FILE *f = NULL;

	buf[0] = '\0';
	if (path_join(path, sizeof(path), run->sysfs.root, "/../proc/iomem", NULL) >= 0)
		f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		/* Without rights all addresses read as 0. */
		if (sscanf(line, " %llx-%llx : %63s", &from, &to, name) == 3 && to > 0 && from >= begin &&
		    to <= end && name_is_boot_framebuffer(name))
			(void)snprintf(buf, size, "%s", name);
	if (f)
		(void)fclose(f);
}

static void lint_framebuffer(struct lint_run *run, const struct lint_device *device)
{
	char path[PATH_MAX], line[256], text[8], name[64] = "";
	unsigned long long begin, end;
	FILE *f = NULL;

	if (device->decision.kind != DECISION_DRIVER || !driver_is_vfio(device->decision.driver) ||
	    sysfs_device_read(device->d, "boot_vga", text, sizeof(text)) < 0 || !streq(text, "1"))
		return;
	if (sysfs_device_path(device->d, "resource", path, sizeof(path)) >= 0)
		f = fopen(path, "re");
	while (f && !name[0] && fgets(line, sizeof(line), f))
		if (sscanf(line, "%llx %llx", &begin, &end) == 2 && end > 0)
			framebuffer_find(run, begin, end, name, sizeof(name));
	if (f)
		(void)fclose(f);
	if (name[0])
		lint_warn(
			run, device->decision.rule,
			arena_printf(&run->lint->arena,
				     "[device %s] gives %s %s to %s, but %s, the firmware's framebuffer, "
				     "holds memory of the card (a guest will not start, or has no picture; "
				     "initcall_blacklist=sysfb_init on the kernel command line sets it free)",
				     device->decision.rule->label, device->d->bus, device->d->name,
				     device->decision.driver, name));
}

void lint_critical_devices(struct lint_run *run)
{
	_cleanup_(critical_devices_done) struct critical_devices critical = {};
	int r = critical_devices_find(&critical, run->settings);

	if (r == -ENOMEM)
		run->r = r;
	if (r < 0)
		return;
	lint_disks(run, &critical);
	lint_network(run, &critical);
	for (size_t i = 0; i < run->n_devices; i++)
		lint_framebuffer(run, &run->devices[i]);
}
