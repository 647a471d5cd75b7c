/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the output goes to: how wide it is, whether it has colours, and the pager before it. */
#pragma once

#include "cli/command-line.h"

#include <stdbool.h>
#include <stddef.h>

/* Looks at stdout before anything is written to it. */
void terminal_start(void);
/* Waits for the pager, if there is one. */
void terminal_finish(void);

/* From now on the output goes through the pager, if it goes to a terminal and one is wanted. */
void terminal_start_pager(const struct cli *cli);

/* 0: no terminal, so any width. */
size_t terminal_width(void);
bool terminal_has_colors(void);
