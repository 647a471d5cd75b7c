/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* overridectl explain DEVICE: every rule that matches, which one decides, and why. Needs no service. */
#include "cli/cli.h"
#include "base/macro.h"
#include "base/text.h"
#include "cli/null-override.h"
#include "cli/udev-device.h"
#include "explain/explanation.h"
#include "policy/policy-settled.h"

#include <errno.h>
#include <json-c/json.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* No byte of a name does anything to the terminal. */
static void explain_print_line(const char *key, const char *text)
{
	printf("  %-9s ", key);
	utf8_write(stdout, text);
	putchar('\n');
}

/* What else is to be known of the device; NULL: nothing. */
static const char *explain_note(const struct explanation *e)
{
	_cleanup_(null_override_finder_done) struct null_override_finder finder = {};
	struct arena *arena = &e->device->device.arena;
	const char *driver = null_override_find(&finder, e->device, arena);

	return driver ? null_override_text(e->device, driver, arena) : NULL;
}

static void explain_print_rules(const struct explanation *e)
{
	for (size_t i = 0; i < e->n_hits; i++) {
		const struct rule_hit *h = &e->hits[i];
		char missing[512];

		if (i == 0)
			puts("  Rules that match, in order:");
		printf("    ");
		utf8_write(stdout, h->rule->file);
		printf(":%u [device ", h->rule->line);
		utf8_write(stdout, h->rule->label);
		putchar(']');
		if (h->match == MATCH_UNKNOWN) {
			missing_text(&h->missing, "", missing, sizeof(missing));
			printf("  (may match: ");
			utf8_write(stdout, missing);
			putchar(')');
		} else if (e->decision.cause == CAUSE_RULE && h->rule == e->decision.rule)
			printf("  decides");
		putchar('\n');
	}
}

static void explain_print_companions(const struct explanation *e)
{
	for (size_t i = 0; i < e->decision.n_members; i++) {
		const struct decision *m = &e->decision.members[i];
		const struct sysfs_device *companion = to_sysfs_device(m->device);

		if (i == 0)
			puts("  Other members of its group:");
		printf("    %s ", companion->bus);
		utf8_write(stdout, companion->name);
		printf(": %s\n",
		       m->kind == DECISION_LEFT ? "left alone, was there at boot" : decision_text(m));
	}
}

static void explain_print_text(const struct explanation *e, const char *model, const char *note)
{
	const struct sysfs_device *d = e->device;
	const char *decision = decision_text(&e->decision);
	const char *path = device_text(&e->device->device, FACT_PATH);

	utf8_write(stdout, d->bus);
	putchar(' ');
	utf8_write(stdout, d->name);
	putchar('\n');
	if (*model)
		explain_print_line("Model", model);
	if (path)
		explain_print_line("Path", path);
	if (d->group_id)
		explain_print_line("Group", d->group_id);
	explain_print_line("Driver", e->driver[0] ? e->driver : "-");
	explain_print_line("Override", e->override[0] ? e->override : "-");
	explain_print_line("Decision", *decision ? decision : "nothing");
	explain_print_line("Because", e->why);
	if (e->has_record) {
		printf("  Recorded  %s%s", record_state_text(&e->record), e->record.reason[0] ? ": " : "");
		utf8_write(stdout, e->record.reason);
		putchar('\n');
	}
	if (note)
		explain_print_line("Note", note);
	explain_print_rules(e);
	explain_print_companions(e);
}

static void explain_print_json(const struct explanation *e, const char *model, const char *note)
{
	struct json_object *o = explanation_json(e);
	_cleanup_(freep) char *text = utf8_from_bytes(model, strlen(model)),
			      *note_text = note ? utf8_from_bytes(note, strlen(note)) : NULL;

	if (*model)
		(void)json_object_object_add(o, "model", json_object_new_string(text ? text : ""));
	if (note_text)
		(void)json_object_object_add(o, "note", json_object_new_string(note_text));
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
	const char *note;
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
	r = policy_load_settled(&cli->settings, &policy);
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
	note = explain_note(&e);
	if (cli->json)
		explain_print_json(&e, model, note);
	else
		explain_print_text(&e, model, note);
	explanation_done(&e);
	sysfs_done(&sysfs);
	return 0;
}
