/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* overridectl explain DEVICE: every rule that matches, which one decides, and why. Needs no service. */
#include "cli/cli.h"
#include "base/macro.h"
#include "base/text.h"
#include "cli/device-model.h"
#include "cli/device-names.h"
#include "cli/json-output.h"
#include "cli/null-override.h"
#include "cli/safe-text.h"
#include "cli/terminal.h"
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
	safe_text_write(stdout, text);
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
		safe_text_write(stdout, h->rule->file);
		printf(":%u [device ", h->rule->line);
		safe_text_write(stdout, h->rule->label);
		putchar(']');
		if (h->match == MATCH_UNKNOWN) {
			missing_text(&h->missing, "", missing, sizeof(missing));
			printf("  (may match: ");
			safe_text_write(stdout, missing);
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
		safe_text_write(stdout, companion->name);
		printf(": %s\n",
		       m->kind == DECISION_LEFT ? "left alone, was there at boot" : decision_text(m));
	}
}

static void explain_print_text(const struct explanation *e, const char *model, const char *note)
{
	const struct sysfs_device *d = e->device;
	const char *decision = decision_text(&e->decision);
	const char *path = device_text(&e->device->device, FACT_PATH);

	safe_text_write(stdout, d->bus);
	putchar(' ');
	safe_text_write(stdout, d->name);
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
		safe_text_write(stdout, e->record.reason);
		putchar('\n');
	}
	if (note)
		explain_print_line("Note", note);
	explain_print_rules(e);
	explain_print_companions(e);
}

static void explain_print_json(const struct cli *cli, const struct explanation *e, const char *model,
			       const char *note)
{
	struct json_object *o = explanation_json(e);

	if (*model)
		json_output_add(o, "model", model);
	if (note)
		json_output_add(o, "note", note);
	json_output_print(cli, o);
}

int verb_explain(const struct cli *cli, char *const *args, size_t n)
{
	_cleanup_(policy_freep) struct policy *policy = NULL;
	_cleanup_(sysfs_device_freep) struct sysfs_device *d = NULL;
	_cleanup_(device_names_done) struct device_names names = {};
	static struct explanation e; /* as large as a page of sysfs and more */
	char model[512] = "";
	const char *note;
	struct sysfs sysfs;
	int r = device_name_find_or_fail(&names, cli, args, n);

	if (r != STATUS_DONE)
		return r;
	sysfs_init(&sysfs, &cli->settings);
	r = sysfs_device_find(&sysfs, names.v[0].bus, names.v[0].name, &d);
	if (r < 0)
		return cli_fail("%s: %s", args[0], sysfs_lookup_error(r));
	r = policy_load_settled(&cli->settings, &policy);
	if (r < 0)
		return cli_fail("reading the policy: %s", strerror(-r));
	for (size_t i = 0; i < policy->n_errors; i++)
		(void)cli_fail("%s:%u: %s", policy->errors[i].file, policy->errors[i].line,
			       policy->errors[i].text);

	r = explanation_make(&e, policy, d);
	if (r < 0)
		return cli_fail("%s", strerror(-r));
	device_model(cli, d->bus, d->name, model, sizeof(model));
	note = explain_note(&e);
	terminal_start_pager(cli);
	if (cli->json)
		explain_print_json(cli, &e, model, note);
	else
		explain_print_text(&e, model, note);
	explanation_done(&e);
	sysfs_done(&sysfs);
	return STATUS_DONE;
}
