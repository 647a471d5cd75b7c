/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Devices as rows; see device-rows.h. */
#include "cli/device-rows.h"
#include "base/array.h"
#include "base/text.h"
#include "cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *key, *property;
} row_fields[ROW_FIELDS] = {
	[ROW_BUS] = { "bus", "Bus" },
	[ROW_NAME] = { "name", "Name" },
	[ROW_SYSPATH] = { "syspath", "SysfsPath" },
	[ROW_PATH] = { "path", "Path" },
	[ROW_DRIVER] = { "driver", "Driver" },
	[ROW_OVERRIDE] = { "override", "Override" },
	[ROW_DECISION] = { "decision", "Decision" },
	[ROW_RULE] = { "rule", "Rule" },
	[ROW_SOURCE] = { "source", "Source" },
	[ROW_STATE] = { "state", "State" },
	[ROW_REASON] = { "reason", "Reason" },
	[ROW_FIRST_PROBE] = { "first_probe", "FirstProbe" },
	[ROW_NODE] = { "node", "Node" },
	[ROW_IDENTITY] = { "identity", "Identity" },
	[ROW_GROUP] = { "group", "Group" },
};

const char *row_field_key(enum row_field field)
{
	return row_fields[field].key;
}

const char *row_field_property(enum row_field field)
{
	return row_fields[field].property;
}

void device_rows_done(struct device_rows *rows)
{
	free(rows->v);
	arena_done(&rows->arena);
	*rows = (struct device_rows){};
}

struct device_row *device_rows_add(struct device_rows *rows)
{
	struct device_row *row;

	if (array_reserve(rows->v, rows->allocated, rows->n) < 0)
		return NULL;
	row = &rows->v[rows->n++];
	*row = (struct device_row){};
	for (size_t i = 0; i < ROW_FIELDS; i++)
		row->field[i] = "";
	return row;
}

int device_row_set(struct device_rows *rows, struct device_row *row, enum row_field field, const char *text)
{
	const char *copy = *text ? arena_strdup(&rows->arena, text) : "";

	if (!copy)
		return -ENOMEM;
	row->field[field] = copy;
	return 0;
}

static int compare_rows(const void *a, const void *b)
{
	const struct device_row *x = a, *y = b;
	int r = strcmp(x->field[ROW_BUS], y->field[ROW_BUS]);

	return r ? r : strcmp(x->field[ROW_NAME], y->field[ROW_NAME]);
}

void device_rows_sort(struct device_rows *rows)
{
	if (rows->n > 0)
		qsort(rows->v, rows->n, sizeof(*rows->v), compare_rows);
}

struct device_row *device_rows_find(const struct device_rows *rows, const char *bus, const char *name)
{
	const struct device_row key = { .field = { [ROW_BUS] = bus, [ROW_NAME] = name } };

	return rows->n > 0 ? bsearch(&key, rows->v, rows->n, sizeof(*rows->v), compare_rows) : NULL;
}

int device_rows_read_or_fail(struct device_rows *rows, const struct cli *cli, bool list_only,
			     bool *ret_service)
{
	_cleanup_(service_client_done) struct service_client c = {};
	int r = service_client_open(&c, cli);

	if (r >= 0)
		r = list_only ? device_rows_list(rows, &c) : device_rows_read_service(rows, &c);
	if (r >= 0 && list_only && cli->host)
		r = device_rows_read_failed_policy(rows, &c);
	*ret_service = r >= 0;
	if (r >= 0)
		return 0;
	if (cli->host || !service_is_missing(&c, r)) {
		(void)cli_fail("%s%s%s", cli->host ? cli->host : "", cli->host ? ": " : "",
			       service_error_text(&c, r));
		return r;
	}
	/* A tree that is not the machine's has no service that it could lack. */
	if (r != -ENXIO && !cli->no_legend)
		(void)cli_fail("note: %s; states are worked out here, without what it has seen happen",
			       service_error_text(&c, r));
	device_rows_done(rows);
	r = device_rows_read_sysfs(rows, &cli->settings);
	if (r < 0)
		(void)cli_fail("reading the devices: %s", strerror(-r));
	return r;
}
