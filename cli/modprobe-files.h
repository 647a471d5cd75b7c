/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The lines of modprobe.d files, as kmod reads them. */
#pragma once

#include "cli/import-plan.h"

#include <stdbool.h>
#include <stddef.h>

enum { MODPROBE_WORDS_MAX = 256 };

struct modprobe_line {
	const char *from;     /* "/etc/modprobe.d/vfio.conf:3" */
	const char *file;     /* "/etc/modprobe.d/vfio.conf" */
	unsigned line, lines; /* where it begins, and how many there are, joined by backslashes */
	bool of_person;	      /* not of a package */
	const char *words[MODPROBE_WORDS_MAX];
	size_t n;
};

/*
 * Calls take for each line that says something, in order; a file hides those of its name in folders that come
 * later. The line and its words live as long as the plan's arena.
 */
void modprobe_files_read(struct import_plan *plan,
			 void (*take)(struct import_plan *plan, const struct modprobe_line *line));

/* Whether names of modules are the same: `-` and `_` are. */
bool module_names_are_equal(const char *a, const char *b);
