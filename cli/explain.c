/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* overridectl explain DEVICE: every rule that matches, which one decides, and why. Needs no service. */
#include "cli/cli.h"
#include "base/macro.h"
#include "base/text.h"
#include "cli/udev-device.h"
#include "explain/explanation.h"

#include <errno.h>
#include <json-c/json.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static void explain_print_text(const struct explanation *e, const char *model)
{
	const struct sysfs_device *d = e->device;
	const char *decision = decision_text(&e->decision);
	const char *path = device_text(&e->device->device, FACT_PATH);

	printf("%s %s\n", d->bus, d->name);
	if (*model)
		printf("  Model     %s\n", model);
	if (path)
		printf("  Path      %s\n", path);
	if (d->group_id)
		printf("  Group     %s\n", d->group_id);
	printf("  Driver    %s\n", e->driver[0] ? e->driver : "-");
	printf("  Override  %s\n", e->override[0] ? e->override : "-");
	printf("  Decision  %s\n", *decision ? decision : "nothing");
	printf("  Because   %s\n", e->why);
	if (e->has_record)
		printf("  Recorded  %s%s%s\n", record_state_text(&e->record), e->record.reason[0] ? ": " : "",
		       e->record.reason);

	for (size_t i = 0; i < e->n_hits; i++) {
		const struct rule_hit *h = &e->hits[i];

		if (i == 0)
			puts("  Rules that match, in order:");
		printf("    %s:%u [device %s]", h->rule->file, h->rule->line, h->rule->label);
		if (h->match == MATCH_UNKNOWN)
			printf("  (may match: %s is not known yet)", fact_key(h->missing));
		else if (e->decision.cause == CAUSE_RULE && h->rule == e->decision.rule)
			printf("  decides");
		putchar('\n');
	}
	for (size_t i = 0; i < e->decision.n_members; i++) {
		const struct decision *m = &e->decision.members[i];
		const struct sysfs_device *companion = to_sysfs_device(m->device);

		if (i == 0)
			puts("  Other members of its group:");
		printf("    %s %s: %s\n", companion->bus, companion->name,
		       m->left_at_boot ? "left alone, was there at boot" : decision_text(m));
	}
}

static void explain_print_json(const struct explanation *e, const char *model)
{
	struct json_object *o = explanation_json(e);
	_cleanup_(freep) char *text = utf8_from_bytes(model, strlen(model));

	if (*model)
		(void)json_object_object_add(o, "model", json_object_new_string(text ? text : ""));
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}

/* udev knows more names of a device than sysfs does, but only those of this machine. */
static int explain_lookup(const struct cli *cli, struct sysfs *sysfs, const char *name,
			  struct sysfs_device **ret)
{
	int r = cli->settings.sysfs_given ? -ENODEV : udev_device_lookup(sysfs, name, ret);

	return r == -ENODEV ? sysfs_device_lookup(sysfs, name, ret) : r;
}

int verb_explain(const struct cli *cli, char *const *args, size_t n)
{
	_cleanup_(policy_freep) struct policy *policy = NULL;
	_cleanup_(sysfs_device_freep) struct sysfs_device *d = NULL;
	static struct explanation e; /* as large as a page of sysfs and more */
	char model[512] = "";
	struct sysfs sysfs;
	int r;

	(void)n;
	sysfs_init(&sysfs, &cli->settings);
	r = explain_lookup(cli, &sysfs, args[0], &d);
	if (r < 0)
		return cli_fail("%s: %s", args[0],
				r == -ENODEV ? "no such device (try `ls /sys/bus/*/devices`)"
					     : sysfs_lookup_error(r));
	if (!sysfs_device_is_supported(d))
		return cli_fail("%s %s: has no driver_override file, so its driver cannot be chosen", d->bus,
				d->name);
	r = policy_load(&cli->settings, &policy);
	if (r < 0)
		return cli_fail("reading the policy: %s", strerror(-r));
	for (size_t i = 0; i < policy->n_errors; i++)
		(void)cli_fail("%s:%u: %s", policy->errors[i].file, policy->errors[i].line,
			       policy->errors[i].text);

	r = explanation_make(&e, policy, d);
	if (r < 0)
		return cli_fail("%s", strerror(-r));
	if (!cli->settings.sysfs_given)
		udev_device_model(d, model, sizeof(model));
	if (cli->json)
		explain_print_json(&e, model);
	else
		explain_print_text(&e, model);
	explanation_done(&e);
	sysfs_done(&sysfs);
	return 0;
}
