/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* overridectl rehearse: what the next boot will do, and whether the machine keeps what it needs for it. */
#include "base/text.h"
#include "cli/cli.h"
#include "cli/json-output.h"
#include "cli/lint.h"
#include "cli/rehearsal.h"
#include "cli/safe-text.h"
#include "cli/terminal.h"
#include "cli/text-table.h"

#include <json-c/json.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const struct text_column device_columns[] = {
	{ .heading = "DEVICE" },
	{ .heading = "DRIVER" },
	{ .heading = "DECISION" },
	{ .heading = "NEXT BOOT" },
	{ .heading = "CHANGES" },
	{ .heading = "RULE", .may_be_cut = true },
	{},
};

static const struct text_column need_columns[] = {
	{ .heading = "NEEDED" },
	{ .heading = "DEVICE" },
	{ .heading = "AFTERWARDS" },
	{ .heading = "RULE" },
	{},
};

static bool device_is_listed(const struct cli *cli, const struct rehearsed_device *device)
{
	return cli->option[VERB_ALL] || device->override[0] || device->changes ||
	       *decision_text(&device->now->decision) || *decision_text(&device->next->decision);
}

/* Whence the decision of the next boot comes; "": from nowhere. */
static void device_source(const struct lint_device *device, char *buf, size_t size)
{
	const struct decision *d = &device->decision;

	rule_source(decision_is_nothing(d) ? NULL : d->rule, buf, size);
}

static void device_full_name(const struct lint_device *device, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%s/%s", device->d->bus, device->d->name);
}

static void change_text(const struct rehearsed_device *device, char *buf, size_t size)
{
	const char *driver = rehearsed_driver(device);

	if (!device->changes)
		text_copy(buf, size, "");
	else if (device->next->decision.kind == DECISION_NONE)
		text_copy(buf, size, "to no driver");
	else if (*driver)
		(void)snprintf(buf, size, "to %s", driver);
	else
		text_copy(buf, size, "to its own driver");
}

static int rehearse_print_devices(const struct cli *cli, const struct rehearsal *h)
{
	_cleanup_(text_table_freep) struct text_table *t = text_table_new(cli, device_columns);

	for (size_t i = 0; t && i < h->n_devices; i++) {
		const struct rehearsed_device *device = &h->devices[i];
		char name[600], change[160], source[PATH_MAX];

		if (!device_is_listed(cli, device))
			continue;
		device_full_name(device->next, name, sizeof(name));
		device_source(device->next, source, sizeof(source));
		change_text(device, change, sizeof(change));
		if (!text_table_add(t, NULL,
				    (const char *[]){
					    name, device->now->driver, decision_text(&device->now->decision),
					    decision_text(&device->next->decision), change, source }))
			return cli_fail("out of memory");
	}
	return t && text_table_print(t) >= 0 ? STATUS_DONE : cli_fail("printing the table failed");
}

static int rehearse_print_needs(const struct cli *cli, const struct rehearsal *h)
{
	_cleanup_(text_table_freep) struct text_table *t = text_table_new(cli, need_columns);

	for (size_t i = 0; t && i < h->needs.n; i++) {
		const struct boot_need *need = &h->needs.v[i];
		char name[600] = "", source[PATH_MAX] = "", state[64];

		if (need->device)
			device_full_name(need->device, name, sizeof(name));
		if (need->device && need->state == NEED_LOST)
			device_source(need->device, source, sizeof(source));
		(void)snprintf(state, sizeof(state), "%s%s", boot_need_state_text(need->state),
			       need->optional && need->state != NEED_KEPT ? " (the boot goes on without it)"
									  : "");
		if (!text_table_add(t, NULL, (const char *[]){ need->what, name, state, source }))
			return cli_fail("out of memory");
	}
	return t && text_table_print(t) >= 0 ? STATUS_DONE : cli_fail("printing the table failed");
}

static bool file_is_of_next_boot(const struct rehearsal *h, const char *path)
{
	for (size_t i = 0; i < h->policy_next->n_files; i++)
		if (streq(h->policy_next->files[i].path, path))
			return true;
	return false;
}

static void rehearse_print_notes(const struct rehearsal *h)
{
	bool any = false;

	for (size_t i = 0; i < h->policy_now->n_files; i++) {
		if (file_is_of_next_boot(h, h->policy_now->files[i].path))
			continue;
		fputs(any ? "  " : "\nThese files are of this boot alone:\n  ", stdout);
		safe_text_write(stdout, h->policy_now->files[i].path);
		putchar('\n');
		any = true;
	}
	if (h->has_failed)
		puts("\nBoots with this policy have failed: the next one runs with the last good "
		     "policy, "
		     "too, unless this one is\nchanged, or overridectl reload --retry has it tried again.");
	if (h->command_line[0])
		printf("\nKernel command line: that of %s, which has other words for this project than this "
		       "boot has. "
		       "Credentials: taken to be as in this boot.\n",
		       h->command_line);
	else
		puts("\nKernel command line and credentials: taken to be as in this boot.");
	switch (h->image.state) {
	case BOOT_IMAGE_UNKNOWN:
		puts("Boot image: none is known to have a policy.");
		break;
	case BOOT_IMAGE_CURRENT:
		puts("Boot image: has this policy.");
		break;
	case BOOT_IMAGE_DIFFERS:
		printf("Boot image: %s.\n", h->image.text);
		break;
	}
}

static int rehearse_print_text(const struct cli *cli, const struct rehearsal *h)
{
	int status = rehearse_print_devices(cli, h);

	if (h->needs.n > 0)
		putchar('\n');
	if (status == STATUS_DONE)
		status = rehearse_print_needs(cli, h);
	if (!cli->no_legend)
		rehearse_print_notes(h);
	return status;
}

static struct json_object *rehearsed_device_json(const struct rehearsed_device *device)
{
	const struct decision *next = &device->next->decision;
	struct json_object *o = json_object_new_object();
	char source[PATH_MAX];

	device_source(device->next, source, sizeof(source));
	json_output_add(o, "bus", device->now->d->bus);
	json_output_add(o, "name", device->now->d->name);
	json_output_add(o, "driver", device->now->driver);
	json_output_add(o, "override", device->override);
	json_output_add(o, "decision", decision_text(&device->now->decision));
	json_output_add(o, "next_decision", decision_text(next));
	json_output_add(o, "next_driver", rehearsed_driver(device));
	json_output_add_bool(o, "changes", device->changes);
	json_output_add(o, "rule", decision_is_nothing(next) || !next->rule ? "" : next->rule->label);
	json_output_add(o, "source", source);
	return o;
}

static struct json_object *boot_need_json(const struct boot_need *need)
{
	const struct lint_device *device = need->device;
	struct json_object *o = json_object_new_object();
	char name[600] = "", source[PATH_MAX] = "";

	if (device)
		device_full_name(device, name, sizeof(name));
	if (device && need->state == NEED_LOST)
		device_source(device, source, sizeof(source));
	json_output_add(o, "what", need->what);
	json_output_add(o, "device", name);
	json_output_add(o, "state", boot_need_state_text(need->state));
	json_output_add_bool(o, "required", !need->optional);
	json_output_add(o, "source", source);
	return o;
}

/* A file that has one has no rules at the next boot. */
static struct json_object *policy_errors_json(const struct policy *policy)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < policy->n_errors; i++) {
		struct json_object *o = json_object_new_object();

		json_output_add(o, "file", policy->errors[i].file);
		(void)json_object_object_add(o, "line", json_object_new_int64(policy->errors[i].line));
		json_output_add(o, "text", policy->errors[i].text);
		(void)json_object_array_add(list, o);
	}
	return list;
}

static void rehearse_print_json(const struct cli *cli, const struct rehearsal *h)
{
	const struct boot_need *loss = rehearsal_image_loss(h);
	struct json_object *o = json_object_new_object(), *devices = json_object_new_array(),
			   *needs = json_object_new_array(), *files = json_object_new_array();

	for (size_t i = 0; i < h->n_devices; i++)
		if (device_is_listed(cli, &h->devices[i]))
			(void)json_object_array_add(devices, rehearsed_device_json(&h->devices[i]));
	for (size_t i = 0; i < h->needs.n; i++)
		(void)json_object_array_add(needs, boot_need_json(&h->needs.v[i]));
	for (size_t i = 0; i < h->policy_now->n_files; i++)
		if (!file_is_of_next_boot(h, h->policy_now->files[i].path)) {
			struct json_object *file = json_object_new_object();

			json_output_add(file, "file", h->policy_now->files[i].path);
			(void)json_object_array_add(files, file);
		}
	(void)json_object_object_add(o, "devices", devices);
	(void)json_object_object_add(o, "needs", needs);
	(void)json_object_object_add(o, "runtime_files", files);
	json_output_add(o, "command_line", h->command_line);
	json_output_add(o, "boot_image", h->image.text);
	json_output_add(o, "boot_image_takes", loss ? loss->what : "");
	json_output_add_bool(o, "last_good", h->has_failed);
	(void)json_object_object_add(o, "errors", policy_errors_json(h->policy_next));
	(void)json_object_object_add(o, "lost",
				     json_object_new_int64((int64_t)boot_needs_count_lost(&h->needs)));
	json_output_print(cli, o);
}

/* The image's policy comes first in a boot, whatever the disk has by now. */
static int rehearse_image_or_fail(const struct rehearsal *h, int status)
{
	const struct boot_need *loss = rehearsal_image_loss(h);

	return loss ? cli_fail("the boot image still has a policy that takes %s%s%s%s: %s", loss->what,
			       loss->device ? " (" : "", loss->device ? loss->device->d->name : "",
			       loss->device ? ")" : "", h->image.text)
		    : status;
}

int verb_rehearse(const struct cli *cli, char *const *args, size_t n)
{
	static struct rehearsal h; /* has paths in it */
	int status = STATUS_DONE, policy_status = STATUS_DONE, r = rehearsal_make(&h, &cli->settings);
	size_t lost;

	(void)args;
	(void)n;
	if (r < 0) {
		rehearsal_done(&h);
		return cli_fail("working out the next boot: %s", strerror(-r));
	}
	for (size_t i = 0; i < h.policy_next->n_errors; i++)
		policy_status = cli_fail("%s:%u: %s; none of the file's rules will be in force",
					 h.policy_next->errors[i].file, h.policy_next->errors[i].line,
					 h.policy_next->errors[i].text);
	terminal_start_pager(cli);
	if (cli->json)
		rehearse_print_json(cli, &h);
	else
		status = rehearse_print_text(cli, &h);
	status = rehearse_image_or_fail(&h, status);
	lost = boot_needs_count_lost(&h.needs);
	if (lost > 0)
		status = cli_fail("the next boot will lack %zu of what it needs", lost);
	rehearsal_done(&h);
	lint_done(&h.lint);
	return status == STATUS_DONE ? policy_status : status;
}
