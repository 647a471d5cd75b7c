/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* overridectl show DEVICE: all that the service knows of one device; without it, what can be worked out. */
#include "base/macro.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/device-names.h"
#include "cli/device-rows.h"
#include "cli/json-output.h"
#include "cli/safe-text.h"
#include "cli/terminal.h"
#include "cli/udev-device.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

static const struct {
	enum row_field field;
	const char *heading;
} show_lines[] = {
	{ ROW_PATH, "Path" },	      { ROW_SYSPATH, "Sysfs path" },
	{ ROW_DRIVER, "Driver" },     { ROW_OVERRIDE, "Override" },
	{ ROW_DECISION, "Decision" }, { ROW_RULE, "Rule" },
	{ ROW_SOURCE, "Source" },     { ROW_STATE, "State" },
	{ ROW_REASON, "Reason" },     { ROW_FIRST_PROBE, "First probe" },
	{ ROW_NODE, "VFIO node" },    { ROW_IDENTITY, "Identity" },
};

static void show_line(const char *heading, const char *text)
{
	printf("  %-12s ", heading);
	safe_text_write(stdout, *text ? text : "-");
	putchar('\n');
}

static bool row_blocks_group(const struct device_row *row, const char *group)
{
	return row->blocks && streq(row->field[ROW_GROUP], group);
}

/* The group, and which of its members keep it from a guest. */
static void show_group(const struct device_rows *rows, const char *group)
{
	size_t n = 0;

	printf("  %-12s %s", "Group", *group ? group : "-");
	for (size_t i = 0; *group && i < rows->n; i++) {
		if (!row_blocks_group(&rows->v[i], group))
			continue;
		printf("%s", n++ == 0 ? ", not viable: blocked by " : ", ");
		safe_text_write(stdout, rows->v[i].field[ROW_BUS]);
		putchar('/');
		safe_text_write(stdout, rows->v[i].field[ROW_NAME]);
	}
	puts(*group && n == 0 ? ", viable" : "");
}

static void show_print_text(const struct device_rows *rows, const struct device_row *row, const char *model)
{
	safe_text_write(stdout, row->field[ROW_BUS]);
	putchar('/');
	safe_text_write(stdout, row->field[ROW_NAME]);
	putchar('\n');
	if (*model)
		show_line("Model", model);
	for (size_t i = 0; i < ELEMENTSOF(show_lines); i++)
		show_line(show_lines[i].heading, row->field[show_lines[i].field]);
	show_group(rows, row->field[ROW_GROUP]);
}

static void show_print_json(const struct cli *cli, const struct device_rows *rows,
			    const struct device_row *row, const char *model, bool service)
{
	struct json_object *o = json_object_new_object(), *blockers = json_object_new_array();

	for (unsigned i = 0; i < ROW_FIELDS; i++)
		json_output_add(o, row_field_key(i), row->field[i]);
	json_output_add(o, "model", model);
	for (size_t i = 0; *row->field[ROW_GROUP] && i < rows->n; i++) {
		struct json_object *blocker;

		if (!row_blocks_group(&rows->v[i], row->field[ROW_GROUP]))
			continue;
		blocker = json_object_new_object();
		json_output_add(blocker, "bus", rows->v[i].field[ROW_BUS]);
		json_output_add(blocker, "name", rows->v[i].field[ROW_NAME]);
		(void)json_object_array_add(blockers, blocker);
	}
	(void)json_object_object_add(o, "blockers", blockers);
	json_output_add_bool(o, "service", service);
	json_output_print(cli, o);
}

int verb_show(const struct cli *cli, char *const *args, size_t n)
{
	_cleanup_(device_names_done) struct device_names names = {};
	_cleanup_(device_rows_done) struct device_rows rows = {};
	const struct device_row *row;
	char model[512] = "";
	bool service;
	int status = device_name_find_or_fail(&names, cli, args, n);

	if (status != STATUS_DONE)
		return status;
	if (device_rows_read_or_fail(&rows, cli, false, &service) < 0)
		return STATUS_FAILED;
	row = device_rows_find(&rows, names.v[0].bus, names.v[0].name);
	if (!row)
		return cli_fail("%s/%s: the service does not know this device", names.v[0].bus,
				names.v[0].name);
	if (!cli->host && !cli->settings.sysfs_given)
		udev_device_model(row->field[ROW_BUS], row->field[ROW_NAME], model, sizeof(model));
	terminal_start_pager(cli);
	if (cli->json)
		show_print_json(cli, &rows, row, model, service);
	else
		show_print_text(&rows, row, model);
	return STATUS_DONE;
}
