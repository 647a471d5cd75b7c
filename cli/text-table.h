/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tables and trees for people, by libsmartcols; their JSON is made by json-c, of the same columns and cells.
 */
#pragma once

#include "base/macro.h"
#include "cli/command-line.h"

#include <stdbool.h>
#include <stddef.h>

#define TEXT_TABLE_COLUMNS_MAX 12

struct text_column {
	const char *heading;
	const char *key; /* in JSON; NULL: only for people */
	bool may_be_cut; /* where the terminal is too narrow */
	bool is_tree;
	bool is_state; /* has the colour of its state */
};

struct text_table;
struct text_row;

/* columns end with {}, and are borrowed. NULL: out of memory. */
struct text_table *text_table_new(const struct cli *cli, const struct text_column *columns);
struct text_table *text_table_free(struct text_table *t);

static inline void text_table_freep(struct text_table **t)
{
	text_table_free(*t);
}

/* Adds a row of one text a column below another; parent may be NULL. NULL: out of memory. */
struct text_row *text_table_add(struct text_table *t, struct text_row *parent, const char *const *cells);

/* 0 or negative errno. */
_must_check_ int text_table_print(struct text_table *t);
