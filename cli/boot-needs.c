/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Disks, the network and the console of a machine, after its devices are decided about; see boot-needs.h. */
#include "cli/boot-needs.h"
#include "base/array.h"
#include "base/path.h"
#include "base/text.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void boot_needs_done(struct boot_needs *needs)
{
	free(needs->v);
	critical_devices_done(&needs->critical);
	*needs = (struct boot_needs){};
}

static int boot_need_add(struct boot_needs *needs, const struct boot_need *need)
{
	if (array_reserve(needs->v, needs->allocated, needs->n) < 0)
		return -ENOMEM;
	needs->v[needs->n++] = *need;
	return 0;
}

/* The nearest device above something, and the one that is taken away, if any is. */
static const struct lint_device *device_above(const struct lint_run *run, const struct critical_device *c,
					      bool *ret_taken)
{
	const struct lint_device *nearest = NULL;

	*ret_taken = false;
	for (size_t i = 0; i < run->n_devices; i++) {
		const struct lint_device *device = &run->devices[i];

		if (!critical_device_is_below(c, device->d->devpath))
			continue;
		if (lint_device_is_taken(device)) {
			*ret_taken = true;
			return device;
		}
		if (!nearest || strlen(device->d->devpath) > strlen(nearest->d->devpath))
			nearest = device;
	}
	return nearest;
}

static struct boot_need *boot_need_of(const struct boot_needs *needs, const char *what)
{
	for (size_t i = 0; i < needs->n; i++)
		if (streq(needs->v[i].what, what))
			return &needs->v[i];
	return NULL;
}

/* Something may lie on several disks: one that is taken counts. */
static int boot_needs_add_disks(struct boot_needs *needs, const struct lint_run *run)
{
	for (size_t i = 0; i < needs->critical.n; i++) {
		const struct critical_device *c = &needs->critical.v[i];
		struct boot_need *need = boot_need_of(needs, c->what);
		const struct lint_device *device;
		bool taken;

		if (c->network)
			continue;
		device = device_above(run, c, &taken);
		if (!need &&
		    boot_need_add(needs, &(struct boot_need){ .what = c->what, .optional = true }) < 0)
			return -ENOMEM;
		need = boot_need_of(needs, c->what);
		need->optional &= c->optional;
		if (taken || !need->device)
			need->device = device;
		if (taken)
			need->state = NEED_LOST;
	}
	for (size_t i = 0; i < needs->critical.missing.n; i++)
		if (boot_need_add(needs, &(struct boot_need){ .what = needs->critical.missing.v[i],
							      .state = NEED_MISSING }) < 0)
			return -ENOMEM;
	return 0;
}

/* One network card is enough. Without any, none is needed. */
static int boot_needs_add_network(struct boot_needs *needs, const struct lint_run *run)
{
	struct boot_need need = { .what = "a network card", .state = NEED_LOST };
	bool any = false;

	for (size_t i = 0; i < needs->critical.n; i++) {
		const struct lint_device *device;
		bool taken;

		if (!needs->critical.v[i].network)
			continue;
		any = true;
		device = device_above(run, &needs->critical.v[i], &taken);
		if (need.state == NEED_LOST)
			need.device = device;
		if (!taken)
			need.state = NEED_KEPT;
	}
	return any ? boot_need_add(needs, &need) : 0;
}

/* Whether the kernel's messages go to a serial line or a hypervisor's: "ttyS0 -W- (EC p a) 4:64". */
static bool console_is_elsewhere(const struct lint_run *run)
{
	char path[PATH_MAX], line[128];
	bool found = false;
	FILE *f;

	if (path_join(path, sizeof(path), run->sysfs.root, "/../proc/consoles", NULL) < 0)
		return false;
	f = fopen(path, "re");
	while (f && !found && fgets(line, sizeof(line), f))
		found = (startswith(line, "tty") && !(line[3] >= '0' && line[3] <= '9')) ||
			startswith(line, "hvc");
	if (f)
		(void)fclose(f);
	return found;
}

/* The card that the firmware shows its picture on, or another one, or a line. */
static int boot_needs_add_console(struct boot_needs *needs, const struct lint_run *run)
{
	struct boot_need need = { .what = "a console", .state = NEED_LOST };
	bool picture = false;

	for (size_t i = 0; i < run->n_devices && need.state == NEED_LOST; i++) {
		const struct lint_device *device = &run->devices[i];
		const char *class = device_text(&device->d->device, FACT_CLASS);
		char text[8];

		if (!class || !startswith(class, "03"))
			continue;
		if (sysfs_device_read(device->d, "boot_vga", text, sizeof(text)) >= 0 && streq(text, "1")) {
			picture = true;
			need.device = device;
		}
		/* A card that has no driver shows what the firmware has set up, if it is the firmware's. */
		if (!lint_device_is_taken(device) && (device->driver[0] || need.device == device))
			need = (struct boot_need){ .what = need.what, .device = device };
	}
	if (!picture && need.state == NEED_LOST)
		return 0;
	if (need.state == NEED_LOST && console_is_elsewhere(run))
		need = (struct boot_need){ .what = need.what };
	return boot_need_add(needs, &need);
}

int boot_needs_find(struct boot_needs *needs, const struct lint_run *run)
{
	int r = critical_devices_find(&needs->critical, run->settings);

	if (r < 0 && r != -ENOMEM)
		return 0;
	if (r >= 0)
		r = boot_needs_add_disks(needs, run);
	if (r >= 0)
		r = boot_needs_add_network(needs, run);
	return r >= 0 ? boot_needs_add_console(needs, run) : r;
}

size_t boot_needs_count_lost(const struct boot_needs *needs)
{
	size_t n = 0;

	for (size_t i = 0; i < needs->n; i++)
		n += needs->v[i].state != NEED_KEPT && !needs->v[i].optional;
	return n;
}

bool boot_need_is_new_loss(const struct boot_need *need, const struct boot_needs *before)
{
	const struct boot_need *was = boot_need_of(before, need->what);

	return need->state == NEED_LOST && !need->optional && (!was || was->state != NEED_LOST);
}

const char *boot_need_state_text(enum boot_need_state state)
{
	switch (state) {
	case NEED_KEPT:
		return "kept";
	case NEED_LOST:
		return "lost";
	case NEED_MISSING:
		return "missing";
	}
	return "";
}
