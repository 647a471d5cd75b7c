/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A rehearsal of the next boot, with rules that `set` has not written yet; see set-needs.h. */
#include "cli/set-needs.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/lint.h"
#include "cli/rehearsal.h"
#include "cli/safe-text.h"
#include "policy/vfio-driver.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* What a rule with this Driver= or Group= would decide; DECISION_NOTHING: nothing that takes a device away.
 */
static struct decision decision_of_word(const struct lint_device *device, const char *word)
{
	struct decision decision = device->decision;

	decision.kind = DECISION_DRIVER;
	decision.driver[0] = '\0';
	if (streq(word, "none"))
		decision.kind = DECISION_NONE;
	else if (streq(word, "default") || streq(word, "leave") || streq(word, "hold"))
		decision.kind = DECISION_NOTHING;
	else if (streq(word, "vfio"))
		vfio_driver_of_bus(device->d->bus, decision.driver);
	else
		text_copy(decision.driver, sizeof(decision.driver), word);
	return decision;
}

static bool device_is_of_change(const struct lint_device *device, const struct change *change)
{
	return streq(device->d->bus, change->device->bus) && streq(device->d->name, change->device->name);
}

/* Whether the rule would match the device as well, by what it is. */
static bool device_has_id_of_change(const struct lint_device *device, const struct change *change,
				    const struct lint_device *changed)
{
	const enum fact fact = streq(device->d->bus, "pci") ? FACT_ID : FACT_MODALIAS;
	const char *by = change->cli->option[VERB_BY], *own, *others;

	if (!by || !streq(by, "id") || !streq(device->d->bus, changed->d->bus))
		return false;
	own = device_text(&changed->d->device, fact);
	others = device_text(&device->d->device, fact);
	return own && others && streq(own, others);
}

static void rehearsal_apply_change(struct rehearsal *h, const struct change *change)
{
	const char *group = change->cli->option[VERB_GROUP];
	struct lint_device *changed = NULL;

	for (size_t i = 0; i < h->next.n_devices && !changed; i++)
		if (device_is_of_change(&h->next.devices[i], change))
			changed = &h->next.devices[i];
	if (!changed)
		return;
	for (size_t i = 0; i < h->next.n_devices; i++) {
		struct lint_device *device = &h->next.devices[i];
		const struct sysfs_device *d = device->d;
		const bool same_group = group && d->group_id && changed->d->group_id &&
					streq(d->group_id, changed->d->group_id) &&
					device->decision.kind != DECISION_BRIDGE;

		if (device == changed || device_has_id_of_change(device, change, changed))
			device->decision = decision_of_word(device, change->driver);
		else if (same_group)
			device->decision = decision_of_word(device, group);
	}
}

static bool needs_write_lost(const struct boot_needs *before, const struct boot_needs *after)
{
	bool any = false;

	for (size_t i = 0; i < after->n; i++) {
		const struct boot_need *need = &after->v[i];

		if (!boot_need_is_new_loss(need, before))
			continue;
		(void)fputs(any ? ", " : "overridectl: the next boot would lack ", stderr);
		safe_text_write(stderr, need->what);
		if (need->device)
			(void)fprintf(stderr, " (%s/%s)", need->device->d->bus, need->device->d->name);
		any = true;
	}
	if (any)
		(void)fputc('\n', stderr);
	return any;
}

bool set_needs_are_lost(const struct change *v, size_t n)
{
	static struct rehearsal h; /* has paths in it */
	const struct cli *cli = v[0].cli;
	struct boot_needs after = {};
	bool lost = false;

	if (cli->host || cli->option[VERB_RUNTIME] || cli->option[VERB_TRY])
		return false;
	/*
	 * Where the next boot cannot be worked out, there is nothing to be said of it; nor where its command
	 * line turns all of it off, so that it has no policy directories.
	 */
	if (rehearsal_make_next(&h, &cli->settings) >= 0 && h.next_settings.n_conf_dirs > 0) {
		for (size_t i = 0; i < n; i++)
			if (!v[i].is_absent)
				rehearsal_apply_change(&h, &v[i]);
		lost = boot_needs_find(&after, &h.next) >= 0 && needs_write_lost(&h.needs, &after);
		boot_needs_done(&after);
	}
	rehearsal_done(&h);
	lint_done(&h.lint);
	return lost;
}
