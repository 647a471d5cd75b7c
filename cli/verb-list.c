/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* overridectl list: the devices with a decision or an override, or all. Works without the service, too. */
#include "base/macro.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/device-model.h"
#include "cli/device-rows.h"
#include "cli/json-output.h"
#include "cli/safe-text.h"
#include "cli/taken-places.h"
#include "cli/terminal.h"
#include "cli/text-table.h"
#include "state/boot-image.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const struct text_column list_columns[] = {
	{ .heading = "DEVICE" },
	{ .heading = "DRIVER", .key = "driver" },
	{ .heading = "OVERRIDE", .key = "override" },
	{ .heading = "DECISION", .key = "decision" },
	{ .heading = "STATE", .key = "state", .is_state = true },
	{ .heading = "MODEL", .key = "model", .may_be_cut = true },
	{},
};

static bool row_is_listed(const struct cli *cli, const struct device_row *row)
{
	if (cli->option[VERB_BUS] && !streq(row->field[ROW_BUS], cli->option[VERB_BUS]))
		return false;
	return cli->option[VERB_ALL] || *row->field[ROW_DECISION] || *row->field[ROW_OVERRIDE];
}

static void list_print_taken_places(const struct taken_places *places)
{
	for (size_t i = 0; i < places->n; i++) {
		const struct taken_place *place = &places->v[i];

		safe_text_write(stdout, place->bus);
		putchar('/');
		safe_text_write(stdout, place->name);
		printf(" is left alone: it is another device than [device ");
		safe_text_write(stdout, place->rule);
		printf("] means there (");
		safe_text_write(stdout, place->source);
		puts(")");
	}
}

static int list_print_table(const struct cli *cli, const struct device_rows *rows,
			    const struct taken_places *places, const char *failed)
{
	_cleanup_(text_table_freep) struct text_table *t = text_table_new(cli, list_columns);
	size_t n = 0;

	for (size_t i = 0; t && i < rows->n; i++) {
		const struct device_row *row = &rows->v[i];
		char model[256], device[512];

		if (!row_is_listed(cli, row))
			continue;
		device_model(cli, row->field[ROW_BUS], row->field[ROW_NAME], model, sizeof(model));
		(void)snprintf(device, sizeof(device), "%s/%s", row->field[ROW_BUS], row->field[ROW_NAME]);
		if (!text_table_add(t, NULL,
				    (const char *[]){ device, row->field[ROW_DRIVER],
						      row->field[ROW_OVERRIDE], row->field[ROW_DECISION],
						      row->field[ROW_STATE], model }))
			return cli_fail("out of memory");
		n++;
	}
	terminal_start_pager(cli);
	if (!t || text_table_print(t) < 0)
		return cli_fail("printing the table failed");
	if (cli->no_legend)
		return STATUS_DONE;
	if (*failed) {
		putchar('\n');
		safe_text_write(stdout, failed);
		putchar('\n');
	}
	printf("%s%zu of %zu devices%s\n", n > 0 ? "\n" : "", n, rows->n,
	       n < rows->n && !cli->option[VERB_ALL] ? "; --all shows those without a decision, too" : "");
	list_print_taken_places(places);
	return STATUS_DONE;
}

static struct json_object *taken_place_json(const struct taken_place *place)
{
	struct json_object *o = json_object_new_object();

	json_output_add(o, "bus", place->bus);
	json_output_add(o, "name", place->name);
	json_output_add(o, "rule", place->rule);
	json_output_add(o, "source", place->source);
	return o;
}

static int list_print_json(const struct cli *cli, const struct device_rows *rows,
			   const struct taken_places *places, const char *failed, bool service)
{
	static const enum row_field fields[] = { ROW_BUS,      ROW_NAME,     ROW_DRIVER,
						 ROW_OVERRIDE, ROW_DECISION, ROW_STATE };
	struct json_object *o = json_object_new_object(), *list = json_object_new_array(),
			   *others = json_object_new_array();

	for (size_t i = 0; i < rows->n; i++) {
		const struct device_row *row = &rows->v[i];
		struct json_object *device;
		char model[256];

		if (!row_is_listed(cli, row))
			continue;
		device = json_object_new_object();
		for (size_t k = 0; k < ELEMENTSOF(fields); k++)
			json_output_add(device, row_field_key(fields[k]), row->field[fields[k]]);
		device_model(cli, row->field[ROW_BUS], row->field[ROW_NAME], model, sizeof(model));
		json_output_add(device, "model", model);
		(void)json_object_array_add(list, device);
	}
	json_output_add_bool(o, "service", service);
	json_output_add(o, "failed_policy", failed);
	(void)json_object_object_add(o, "devices", list);
	for (size_t i = 0; i < places->n; i++)
		(void)json_object_array_add(others, taken_place_json(&places->v[i]));
	(void)json_object_object_add(o, "rules_for_others", others);
	json_output_print(cli, o);
	return STATUS_DONE;
}

int verb_list(const struct cli *cli, char *const *args, size_t n)
{
	_cleanup_(device_rows_done) struct device_rows rows = {};
	_cleanup_(taken_places_done) struct taken_places places = {};
	char failed_here[BOOT_SENTENCE_MAX];
	const char *failed = failed_here;
	bool service;
	int r = 0;

	(void)args;
	(void)n;
	if (device_rows_read_or_fail(&rows, cli, true, &service) < 0)
		return STATUS_FAILED;
	if (cli->host)
		failed = rows.failed_policy;
	else {
		failed_policy_sentence(&cli->settings, failed_here);
		r = taken_places_find(&places, &cli->settings);
	}
	if (r < 0)
		return cli_fail("reading the policy: %s", strerror(-r));
	return cli->json ? list_print_json(cli, &rows, &places, failed, service)
			 : list_print_table(cli, &rows, &places, failed);
}
