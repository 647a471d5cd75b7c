/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * overridectl groups [GROUP…]: IOMMU groups as a tree, each viable or with what keeps it from a guest, and
 * beside each device what matters for a choice. With --why also how that could be changed.
 */
#include "base/macro.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/device-model.h"
#include "cli/device-rows.h"
#include "cli/group-facts.h"
#include "cli/group-why.h"
#include "cli/json-output.h"
#include "cli/safe-text.h"
#include "cli/terminal.h"
#include "cli/text-table.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a verb works on: members of one group stand together. */
struct groups_view {
	const struct cli *cli;
	const struct device_row **v;
	size_t n;
	bool service, here; /* here: the tree of these devices can be read */
	struct critical_devices critical;
	struct arena arena;
};

static const struct text_column groups_columns[] = {
	{ .heading = "GROUP", .is_tree = true },
	{ .heading = "DRIVER" },
	{ .heading = "DECISION" },
	{ .heading = "STATE", .is_state = true },
	{ .heading = "GUEST" },
	{ .heading = "CLASS" },
	{ .heading = "RESET", .may_be_cut = true },
	{ .heading = "LINK", .may_be_cut = true },
	{ .heading = "NUMA" },
	{ .heading = "ACS" },
	{ .heading = "NODE", .may_be_cut = true },
	{ .heading = "MODEL", .may_be_cut = true },
	{},
};
#define GROUPS_COLUMNS (ELEMENTSOF(groups_columns) - 1)

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

static bool group_is_named(const char *group, char *const *args, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (streq(args[i], group))
			return true;
	return n == 0;
}

static int groups_sort(struct groups_view *g, const struct device_rows *rows, char *const *args, size_t n)
{
	g->v = calloc(rows->n + 1, sizeof(*g->v));
	for (size_t i = 0; g->v && i < rows->n; i++)
		if (*rows->v[i].field[ROW_GROUP] && group_is_named(rows->v[i].field[ROW_GROUP], args, n))
			g->v[g->n++] = &rows->v[i];
	if (g->v && g->n > 0)
		qsort(g->v, g->n, sizeof(*g->v), compare_by_group);
	return g->v ? 0 : -ENOMEM;
}

static void groups_view_done(struct groups_view *g)
{
	free(g->v);
	critical_devices_done(&g->critical);
	arena_done(&g->arena);
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

static void member_read_all(const struct groups_view *g, const struct device_row *row,
			    struct member_facts *facts, char *model, size_t size)
{
	*facts = (struct member_facts){};
	if (g->here)
		member_facts_read(g->cli->settings.sysfs, row, facts);
	device_model(g->cli, row->field[ROW_BUS], row->field[ROW_NAME], model, size);
}

static void group_read_node(const struct groups_view *g, const char *group, char *buf, size_t size)
{
	buf[0] = '\0';
	if (g->here)
		group_vfio_node(g->cli->settings.sysfs, group, buf, size);
}

static struct text_row *member_add_to_table(const struct groups_view *g, struct text_table *t,
					    struct text_row *group, const struct device_row *row)
{
	char device[512], model[256], link[300];
	struct member_facts facts;

	member_read_all(g, row, &facts, model, sizeof(model));
	member_link_text(&facts, link, sizeof(link));
	(void)snprintf(device, sizeof(device), "%s/%s", row->field[ROW_BUS], row->field[ROW_NAME]);
	return text_table_add(
		t, group,
		(const char *[GROUPS_COLUMNS]){ device, row->field[ROW_DRIVER], row->field[ROW_DECISION],
						row->field[ROW_STATE], row->blocks ? "blocks" : "",
						facts.text[MEMBER_CLASS], facts.text[MEMBER_RESET], link,
						facts.text[MEMBER_NUMA_NODE], facts.text[MEMBER_ACS],
						facts.text[MEMBER_VFIO_NODE], model });
}

static int groups_print_table(const struct groups_view *g)
{
	_cleanup_(text_table_freep) struct text_table *t = text_table_new(g->cli, groups_columns);
	bool viable;

	for (size_t i = 0, length; t && i < g->n; i += length) {
		const char *cells[GROUPS_COLUMNS] = { g->v[i]->field[ROW_GROUP] };
		struct text_row *group;
		char node[128];

		length = group_length(g->v + i, g->n - i, &viable);
		for (size_t k = 1; k < GROUPS_COLUMNS; k++)
			cells[k] = "";
		group_read_node(g, g->v[i]->field[ROW_GROUP], node, sizeof(node));
		cells[4] = viable ? "viable" : "not viable";
		cells[10] = node;
		group = text_table_add(t, NULL, cells);
		for (size_t k = i; group && k < i + length; k++)
			if (!member_add_to_table(g, t, group, g->v[k]))
				return cli_fail("out of memory");
		if (!group)
			return cli_fail("out of memory");
	}
	if (!t || text_table_print(t) < 0)
		return cli_fail("printing the table failed");
	if (g->n == 0 && !g->cli->no_legend)
		puts("No device is in an IOMMU group.");
	return STATUS_DONE;
}

static int group_print_reasons(struct groups_view *g, const struct device_row *const *v, size_t n)
{
	_cleanup_(strings_done) struct strings reasons = {};

	if (!g->here)
		return 0;
	if (group_reasons(g->cli->settings.sysfs, v, n, &g->arena, &reasons) < 0)
		return -ENOMEM;
	if (reasons.n > 0)
		printf("  Why these %zu devices are one group:\n", n);
	for (size_t i = 0; i < reasons.n; i++) {
		printf("    ");
		safe_text_write(stdout, reasons.v[i]);
		putchar('\n');
	}
	return 0;
}

static int member_print_why(struct groups_view *g, const struct device_row *row,
			    const struct device_row *const *group, size_t n)
{
	struct group_why why;

	if (group_why_find(g->cli, row, group, n, &g->critical, &g->arena, &why) < 0)
		return -ENOMEM;
	printf("  ");
	safe_text_write(stdout, row->field[ROW_BUS]);
	putchar('/');
	safe_text_write(stdout, row->field[ROW_NAME]);
	printf(" has the driver ");
	safe_text_write(stdout, row->field[ROW_DRIVER]);
	printf(": ");
	safe_text_write(stdout, why.why);
	putchar('\n');
	for (size_t i = 0; i < why.n_commands; i++) {
		printf("    ");
		safe_text_write(stdout, why.commands[i].command);
		printf("   # %s\n", why.commands[i].effect);
	}
	return 0;
}

static int groups_print_why(struct groups_view *g)
{
	bool viable;
	int r = 0;

	for (size_t i = 0, length; r >= 0 && i < g->n; i += length) {
		const struct device_row *const *v = g->v + i;

		length = group_length(v, g->n - i, &viable);
		if (viable)
			continue;
		printf("\nGroup %s is not viable:\n", v[0]->field[ROW_GROUP]);
		for (size_t k = 0; r >= 0 && k < length; k++)
			if (v[k]->blocks)
				r = member_print_why(g, v[k], v, length);
		if (r >= 0)
			r = group_print_reasons(g, v, length);
	}
	return r < 0 ? cli_fail("out of memory") : STATUS_DONE;
}

static struct json_object *why_json(const struct group_why *why)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < why->n_commands; i++) {
		struct json_object *command = json_object_new_object();

		json_output_add(command, "command", why->commands[i].command);
		json_output_add(command, "effect", why->commands[i].effect);
		(void)json_object_array_add(list, command);
	}
	return list;
}

static int member_add_json(struct groups_view *g, const struct device_row *row,
			   const struct device_row *const *group, size_t n, struct json_object *members)
{
	static const enum row_field fields[] = { ROW_BUS, ROW_NAME, ROW_DRIVER, ROW_DECISION, ROW_STATE };
	struct json_object *o = json_object_new_object();
	struct group_why why = { .why = "" };
	struct member_facts facts;
	char model[256];
	int r = 0;

	for (size_t i = 0; i < ELEMENTSOF(fields); i++)
		json_output_add(o, row_field_key(fields[i]), row->field[fields[i]]);
	json_output_add_bool(o, "blocks", row->blocks);
	if (row->blocks)
		r = group_why_find(g->cli, row, group, n, &g->critical, &g->arena, &why);
	if (r >= 0) {
		json_output_add(o, "why", why.why);
		(void)json_object_object_add(o, "commands", why_json(&why));
	}
	member_read_all(g, row, &facts, model, sizeof(model));
	for (unsigned i = 0; i < MEMBER_FACTS; i++)
		json_output_add(o, member_fact_key(i), facts.text[i]);
	json_output_add(o, "model", model);
	(void)json_object_array_add(members, o);
	return r;
}

static int group_add_json(struct groups_view *g, const struct device_row *const *v, size_t n, bool viable,
			  struct json_object *list)
{
	struct json_object *group = json_object_new_object(), *members = json_object_new_array(),
			   *shared = json_object_new_array();
	_cleanup_(strings_done) struct strings reasons = {};
	char node[128];
	int r = 0;

	json_output_add(group, "id", v[0]->field[ROW_GROUP]);
	json_output_add_bool(group, "viable", viable);
	group_read_node(g, v[0]->field[ROW_GROUP], node, sizeof(node));
	json_output_add(group, "vfio_node", node);
	if (g->here)
		r = group_reasons(g->cli->settings.sysfs, v, n, &g->arena, &reasons);
	for (size_t i = 0; i < reasons.n; i++) {
		_cleanup_(freep) char *text = utf8_from_bytes(reasons.v[i], strlen(reasons.v[i]));

		(void)json_object_array_add(shared, json_object_new_string(text ? text : ""));
	}
	(void)json_object_object_add(group, "reasons", shared);
	for (size_t i = 0; r >= 0 && i < n; i++)
		r = member_add_json(g, v[i], v, n, members);
	(void)json_object_object_add(group, "devices", members);
	(void)json_object_array_add(list, group);
	return r;
}

static int groups_print_json(struct groups_view *g)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();
	bool viable;
	int r = 0;

	json_output_add_bool(o, "service", g->service);
	for (size_t i = 0, length; r >= 0 && i < g->n; i += length) {
		length = group_length(g->v + i, g->n - i, &viable);
		r = group_add_json(g, g->v + i, length, viable, list);
	}
	(void)json_object_object_add(o, "groups", list);
	if (r < 0) {
		(void)json_object_put(o);
		return cli_fail("out of memory");
	}
	json_output_print(g->cli, o);
	return STATUS_DONE;
}

/* "12", as sysfs has it. STATUS_DONE or STATUS_USAGE, and that was said. */
static int groups_check_arguments(char *const *args, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!*args[i] || args[i][strspn(args[i], "0123456789")])
			return cli_fail_usage("%s: no number of an IOMMU group", args[i]);
	return STATUS_DONE;
}

/* Each group that was named must be there. */
static int groups_check_found(const struct groups_view *g, char *const *args, size_t n)
{
	for (size_t i = 0, k; i < n; i++) {
		for (k = 0; k < g->n && !streq(g->v[k]->field[ROW_GROUP], args[i]); k++)
			;
		if (k == g->n)
			return cli_fail("no device is in IOMMU group %s", args[i]);
	}
	return STATUS_DONE;
}

int verb_groups(const struct cli *cli, char *const *args, size_t n)
{
	_cleanup_(device_rows_done) struct device_rows rows = {};
	_cleanup_(groups_view_done) struct groups_view g = { .cli = cli, .here = !cli->host };
	int status = groups_check_arguments(args, n);

	if (status != STATUS_DONE)
		return status;
	if (device_rows_read_or_fail(&rows, cli, false, &g.service) < 0)
		return STATUS_FAILED;
	if (groups_sort(&g, &rows, args, n) < 0)
		return cli_fail("out of memory");
	status = groups_check_found(&g, args, n);
	if (status != STATUS_DONE)
		return status;
	/* What cannot be read is not named. */
	if (g.here && (cli->json || cli->option[VERB_WHY]))
		(void)!critical_devices_find(&g.critical, &cli->settings);
	terminal_start_pager(cli);
	if (cli->json)
		return groups_print_json(&g);
	status = groups_print_table(&g);
	return status == STATUS_DONE && cli->option[VERB_WHY] ? groups_print_why(&g) : status;
}
