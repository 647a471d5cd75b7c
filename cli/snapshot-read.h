/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The lines of a snapshot file, checked one by one before anything is made of them. */
#pragma once

#include "base/macro.h"
#include "cli/snapshot-format.h"

#include <stddef.h>

struct snapshot_entry {
	enum snapshot_kind kind;
	size_t line;
	const char *path; /* or BUS/NAME; "" with SNAPSHOT_BOOT */
	const char *value;
	size_t n; /* bytes of the value; files may have any */
};

struct snapshot_entries {
	char *text; /* malloc()ed; the entries point into it */
	struct snapshot_entry *v;
	size_t n, allocated;
};

void snapshot_entries_done(struct snapshot_entries *entries);

/*
 * The lines of entries->text, which has n bytes and a NUL behind them, and is written over. 0, or negative
 * errno and as snapshot_unpack() why.
 */
_must_check_ int snapshot_parse(struct snapshot_entries *entries, size_t n, size_t *reterr_line,
				char reterr_text[static 256]);
/* The same of a file. */
_must_check_ int snapshot_read(struct snapshot_entries *entries, const char *file, size_t *reterr_line,
			       char reterr_text[static 256]);
