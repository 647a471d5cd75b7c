/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Decides as the next boot will; see rehearsal.h. */
#include "cli/rehearsal.h"
#include "base/path.h"
#include "base/text.h"
#include "policy/policy-digest.h"
#include "policy/policy-in-force.h"
#include "state/boot-attempts.h"
#include "state/image-note.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int compare_rehearsed(const void *a, const void *b)
{
	const struct sysfs_device *x = ((const struct rehearsed_device *)a)->now->d,
				  *y = ((const struct rehearsed_device *)b)->now->d;
	int r = strcmp(x->bus, y->bus);

	return r ? r : strcmp(x->name, y->name);
}

static const struct lint_device *run_find(const struct lint_run *run, const struct sysfs_device *d)
{
	for (size_t i = 0; i < run->n_devices; i++)
		if (run->devices[i].d->inode == d->inode && streq(run->devices[i].d->devpath, d->devpath))
			return &run->devices[i];
	return NULL;
}

static bool decision_is_driver(const struct decision *d)
{
	return d->kind == DECISION_DRIVER || d->kind == DECISION_NONE;
}

/* An override that no rule of the disk repeats is gone, and with it the driver that it gave. */
static bool device_will_change(const struct rehearsed_device *device)
{
	const struct decision *next = &device->next->decision;
	const char *driver = device->now->driver;

	if (next->kind == DECISION_DRIVER)
		return !streq(driver, next->driver);
	if (next->kind == DECISION_NONE)
		return driver[0] != '\0';
	return device->override[0] != '\0' || decision_is_driver(&device->now->decision);
}

/* Two enumerations find the same devices in the same order, but for those that come and go between them. */
static int rehearsal_pair(struct rehearsal *h)
{
	h->devices = calloc(h->now.n_devices + 1, sizeof(*h->devices));
	if (!h->devices)
		return -ENOMEM;
	for (size_t i = 0; i < h->now.n_devices; i++) {
		struct rehearsed_device *device = &h->devices[h->n_devices];

		device->now = &h->now.devices[i];
		device->next =
			i < h->next.n_devices && streq(h->next.devices[i].d->devpath, device->now->d->devpath)
				? &h->next.devices[i]
				: run_find(&h->next, device->now->d);
		if (!device->next)
			continue;
		if (sysfs_device_override(device->now->d, device->override) < 0)
			device->override[0] = '\0';
		device->changes = device_will_change(device);
		h->n_devices++;
	}
	if (h->n_devices > 0)
		qsort(h->devices, h->n_devices, sizeof(*h->devices), compare_rehearsed);
	return 0;
}

/* With a policy that has failed, the next boot has the last good one again, or none. */
static int rehearsal_load_next(struct rehearsal *h)
{
	char digest[POLICY_DIGEST_SIZE];
	struct boot_attempts attempts;
	struct settings last_good = h->next_settings;

	if (policy_digest_find(&h->next_settings, POLICY_OF_NEXT_BOOT, digest) < 0 ||
	    boot_attempts_read(&h->next_settings, &attempts) < 0 || !boot_attempts_failed(&attempts, digest))
		return policy_load(&h->next_settings, &h->policy_next);
	h->has_failed = true;
	last_good.conf_dirs[0] = h->last_good;
	last_good.n_conf_dirs =
		last_good_folder(&h->next_settings, h->last_good, sizeof(h->last_good)) >= 0 &&
				access(h->last_good, F_OK) == 0
			? 1
			: 0;
	return policy_load(&last_good, &h->policy_next);
}

/* What a boot by an image that has another policy would decide before the root file system is there. */
static int rehearsal_of_image(struct rehearsal *h)
{
	int r;

	if (h->image.state != BOOT_IMAGE_DIFFERS ||
	    image_policy_folder(&h->next_settings, h->image.digest, h->image_folder,
				sizeof(h->image_folder)) < 0 ||
	    access(h->image_folder, F_OK) < 0)
		return 0;
	h->image_settings = h->next_settings;
	h->image_settings.conf_dirs[0] = h->image_folder;
	h->image_settings.n_conf_dirs = 1;
	r = policy_load(&h->image_settings, &h->policy_image);
	if (r < 0)
		return r;
	h->in_image = (struct lint_run){ .lint = &h->lint,
					 .settings = &h->image_settings,
					 .policy = h->policy_image };
	r = lint_run_open(&h->in_image);
	return r < 0 ? r : boot_needs_find(&h->image_needs, &h->in_image);
}

const struct boot_need *rehearsal_image_loss(const struct rehearsal *h)
{
	for (size_t i = 0; i < h->image_needs.n; i++)
		if (boot_need_is_new_loss(&h->image_needs.v[i], &h->needs))
			return &h->image_needs.v[i];
	return NULL;
}

int rehearsal_make_next(struct rehearsal *h, const struct settings *settings)
{
	int r = path_join(h->next_state, sizeof(h->next_state), settings->state_dir, "/next-boot", NULL);

	if (r < 0)
		return r;
	h->next_settings = *settings;
	h->next_settings.scope = POLICY_OF_NEXT_BOOT;
	/* There is nothing of that name, as there is no state when a boot begins. */
	h->next_settings.state_dir = h->next_state;
	/* First, since it waits for files that are being written. */
	r = policy_load_settled(settings, &h->policy_now);
	if (r >= 0)
		r = rehearsal_take_command_line(h);
	if (r >= 0)
		r = rehearsal_load_next(h);
	if (r < 0)
		return r;
	h->next = (struct lint_run){ .lint = &h->lint,
				     .settings = &h->next_settings,
				     .policy = h->policy_next };
	r = lint_run_open(&h->next);
	return r >= 0 ? boot_needs_find(&h->needs, &h->next) : r;
}

int rehearsal_make(struct rehearsal *h, const struct settings *settings)
{
	int r = rehearsal_make_next(h, settings);

	if (r < 0)
		return r;
	boot_image_find(settings, &h->image);
	h->now = (struct lint_run){ .lint = &h->lint, .settings = settings, .policy = h->policy_now };
	r = lint_run_open(&h->now);
	if (r >= 0)
		r = rehearsal_pair(h);
	return r >= 0 ? rehearsal_of_image(h) : r;
}

void rehearsal_done(struct rehearsal *h)
{
	rehearsal_command_line_done(h);
	boot_needs_done(&h->image_needs);
	if (h->in_image.settings)
		lint_run_close(&h->in_image);
	h->policy_image = policy_free(h->policy_image);
	boot_needs_done(&h->needs);
	free(h->devices);
	if (h->next.settings)
		lint_run_close(&h->next);
	if (h->now.settings)
		lint_run_close(&h->now);
	h->policy_next = policy_free(h->policy_next);
	h->policy_now = policy_free(h->policy_now);
}

const char *rehearsed_driver(const struct rehearsed_device *device)
{
	return lint_device_final_driver(device->next, device->changes ? "" : device->now->driver);
}
