/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tables and trees; see text-table.h. */
#include "cli/text-table.h"
#include "base/text.h"
#include "cli/safe-text.h"
#include "cli/terminal.h"

#include <errno.h>
#include <libsmartcols/libsmartcols.h>
#include <langinfo.h>
#include <stdlib.h>

/* A row is a line of libsmartcols by another name, so that nobody else needs to know that library. */
struct text_table {
	const struct text_column *columns;
	struct libscols_table *table;
};

static const struct {
	const char *state, *color;
} state_colors[] = {
	{ "enforced", "green" }, { "held", "green" }, { "pending", "yellow" }, { "foreign", "magenta" },
	{ "blocked", "yellow" }, { "failed", "red" }, { "stuck", "red" },
};

static const char *state_color(const char *state)
{
	for (size_t i = 0; i < ELEMENTSOF(state_colors); i++)
		if (streq(state_colors[i].state, state))
			return state_colors[i].color;
	return NULL;
}

static int text_table_add_columns(struct text_table *t)
{
	for (const struct text_column *c = t->columns; c->heading; c++) {
		int flags = (c->may_be_cut ? SCOLS_FL_TRUNC : 0) | (c->is_tree ? SCOLS_FL_TREE : 0);

		if (!scols_table_new_column(t->table, c->heading, c->may_be_cut ? 0.1 : 0, flags))
			return -ENOMEM;
	}
	return 0;
}

struct text_table *text_table_new(const struct cli *cli, const struct text_column *columns)
{
	struct text_table *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->columns = columns;
	t->table = scols_new_table();
	if (!t->table || text_table_add_columns(t) < 0)
		return text_table_free(t);
	(void)scols_table_enable_noheadings(t->table, cli->no_legend);
	(void)scols_table_enable_colors(t->table, terminal_has_colors());
	if (terminal_width() > 0) {
		(void)scols_table_set_termforce(t->table, SCOLS_TERMFORCE_ALWAYS);
		(void)scols_table_set_termwidth(t->table, terminal_width());
	} else {
		(void)scols_table_set_termforce(t->table, SCOLS_TERMFORCE_NEVER);
	}
	/* It takes any locale that is not C for one of UTF-8. */
	if (!streq(nl_langinfo(CODESET), "UTF-8"))
		(void)scols_table_enable_ascii(t->table, 1);
	return t;
}

struct text_table *text_table_free(struct text_table *t)
{
	if (t)
		scols_unref_table(t->table);
	free(t);
	return NULL;
}

struct text_row *text_table_add(struct text_table *t, struct text_row *parent, const char *const *cells)
{
	struct libscols_line *line = scols_table_new_line(t->table, (struct libscols_line *)(void *)parent);

	for (size_t i = 0; line && t->columns[i].heading; i++) {
		const char *color = t->columns[i].is_state ? state_color(cells[i]) : NULL;

		/* libsmartcols writes bytes that are not printable as \xHH by itself. */
		if (scols_line_set_data(line, i, *cells[i] ? cells[i] : "-") != 0)
			return NULL;
		if (color && terminal_has_colors())
			(void)scols_cell_set_color(scols_line_get_cell(line, i), color);
	}
	return (struct text_row *)(void *)line;
}

int text_table_print(struct text_table *t)
{
	return scols_table_is_empty(t->table) ? 0 : scols_print_table(t->table);
}
