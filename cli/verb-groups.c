/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* overridectl groups: IOMMU groups as a tree, each viable or with what keeps it from a guest. */
#include "base/macro.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/device-rows.h"
#include "cli/json-output.h"
#include "cli/terminal.h"
#include "cli/text-table.h"
#include "cli/udev-device.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct text_column groups_columns[] = {
	{ .heading = "GROUP", .is_tree = true },
	{ .heading = "DRIVER" },
	{ .heading = "DECISION" },
	{ .heading = "STATE", .is_state = true },
	{ .heading = "GUEST" },
	{ .heading = "MODEL", .may_be_cut = true },
	{},
};

/* Those in a group, by its number. */
static int compare_by_group(const void *a, const void *b)
{
	const struct device_row *x = *(const struct device_row *const *)a,
				*y = *(const struct device_row *const *)b;
	uint64_t m = text_to_number(x->field[ROW_GROUP]), n = text_to_number(y->field[ROW_GROUP]);

	if (m != n)
		return m < n ? -1 : 1;
	return x < y ? -1 : x > y;
}

static const struct device_row **groups_sort(const struct device_rows *rows, size_t *ret_n)
{
	const struct device_row **v = calloc(rows->n + 1, sizeof(*v));
	size_t n = 0;

	for (size_t i = 0; v && i < rows->n; i++)
		if (*rows->v[i].field[ROW_GROUP])
			v[n++] = &rows->v[i];
	if (n > 0)
		qsort(v, n, sizeof(*v), compare_by_group);
	*ret_n = n;
	return v;
}

/* How many, from the first on, are in one group; *ret_viable: none of them blocks it. */
static size_t group_length(const struct device_row *const *v, size_t n, bool *ret_viable)
{
	size_t i = 0;

	for (*ret_viable = true; i < n && streq(v[i]->field[ROW_GROUP], v[0]->field[ROW_GROUP]); i++)
		if (v[i]->blocks)
			*ret_viable = false;
	return i;
}

static void member_model(const struct cli *cli, const struct device_row *row, char *buf, size_t size)
{
	buf[0] = '\0';
	if (!cli->host && !cli->settings.sysfs_given)
		udev_device_model(row->field[ROW_BUS], row->field[ROW_NAME], buf, size);
}

static int groups_print_table(const struct cli *cli, const struct device_row *const *v, size_t n)
{
	_cleanup_(text_table_freep) struct text_table *t = text_table_new(cli, groups_columns);
	bool viable;

	for (size_t i = 0, length; t && i < n; i += length) {
		const char *cells[] = { v[i]->field[ROW_GROUP], "", "", "", "", "" };
		struct text_row *group;

		length = group_length(v + i, n - i, &viable);
		cells[4] = viable ? "viable" : "not viable";
		group = text_table_add(t, NULL, cells);
		for (size_t k = i; group && k < i + length; k++) {
			char device[512], model[256];

			member_model(cli, v[k], model, sizeof(model));
			(void)snprintf(device, sizeof(device), "%s/%s", v[k]->field[ROW_BUS],
				       v[k]->field[ROW_NAME]);
			if (!text_table_add(t, group,
					    (const char *[]){ device, v[k]->field[ROW_DRIVER],
							      v[k]->field[ROW_DECISION],
							      v[k]->field[ROW_STATE],
							      v[k]->blocks ? "blocks" : "", model }))
				return cli_fail("out of memory");
		}
		if (!group)
			return cli_fail("out of memory");
	}
	terminal_start_pager(cli);
	if (!t || text_table_print(t) < 0)
		return cli_fail("printing the table failed");
	if (n == 0 && !cli->no_legend)
		puts("No device is in an IOMMU group.");
	return STATUS_DONE;
}

static struct json_object *member_json(const struct cli *cli, const struct device_row *row)
{
	static const enum row_field fields[] = { ROW_BUS, ROW_NAME, ROW_DRIVER, ROW_DECISION, ROW_STATE };
	struct json_object *o = json_object_new_object();
	char model[256];

	for (size_t i = 0; i < ELEMENTSOF(fields); i++)
		json_output_add(o, row_field_key(fields[i]), row->field[fields[i]]);
	json_output_add_bool(o, "blocks", row->blocks);
	member_model(cli, row, model, sizeof(model));
	json_output_add(o, "model", model);
	return o;
}

static void groups_print_json(const struct cli *cli, const struct device_row *const *v, size_t n,
			      bool service)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();
	bool viable;

	for (size_t i = 0, length; i < n; i += length) {
		struct json_object *group = json_object_new_object(), *members = json_object_new_array();

		length = group_length(v + i, n - i, &viable);
		json_output_add(group, "id", v[i]->field[ROW_GROUP]);
		json_output_add_bool(group, "viable", viable);
		for (size_t k = i; k < i + length; k++)
			(void)json_object_array_add(members, member_json(cli, v[k]));
		(void)json_object_object_add(group, "devices", members);
		(void)json_object_array_add(list, group);
	}
	json_output_add_bool(o, "service", service);
	(void)json_object_object_add(o, "groups", list);
	json_output_print(cli, o);
}

int verb_groups(const struct cli *cli, char *const *args, size_t n)
{
	_cleanup_(device_rows_done) struct device_rows rows = {};
	_cleanup_(freep) const struct device_row **v = NULL;
	bool service;

	(void)args;
	if (device_rows_read_or_fail(&rows, cli, false, &service) < 0)
		return STATUS_FAILED;
	v = groups_sort(&rows, &n);
	if (!v)
		return cli_fail("out of memory");
	if (!cli->json)
		return groups_print_table(cli, v, n);
	groups_print_json(cli, v, n, service);
	return STATUS_DONE;
}
