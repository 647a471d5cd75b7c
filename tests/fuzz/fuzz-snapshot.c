/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any bytes as a snapshot: its lines are taken or refused. Of every line that is taken it is checked here, in
 * another way than by the reader, that it stays below the folder that it is unpacked into.
 */
#include "cli/snapshot-read.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_that(bool ok)
{
	if (!ok)
		abort();
}

/* How deep the walk along a path ends that begins so deep; it must never be above the folder. */
static int path_walk(int depth, const char *path)
{
	char name[256];

	for (const char *s = path; *s;) {
		size_t n = strcspn(s, "/");

		check_that(n > 0 && n < sizeof(name));
		memcpy(name, s, n);
		name[n] = '\0';
		check_that(!streq(name, "."));
		depth += streq(name, "..") ? -1 : 1;
		check_that(depth >= 0);
		s += n + (s[n] == '/');
	}
	return depth;
}

/* Once a link has gone down, it does not go up again: what it went through may be a link itself. */
static void check_link(const struct snapshot_entry *e)
{
	const char *names = e->value;

	while (startswith(names, ".."))
		names += names[2] == '/' ? 3 : 2;
	check_that(!strstr(names, "..") || !strstr(names, "/../"));
	(void)path_walk(path_walk(0, e->path) - 1, e->value);
}

static void check_entry(const struct snapshot_entry *e)
{
	switch (e->kind) {
	case SNAPSHOT_LINK:
		check_that(e->value && *e->value && *e->value != '/' && strlen(e->value) == e->n);
		check_link(e);
		break;
	case SNAPSHOT_DIRECTORY:
	case SNAPSHOT_FILE:
	case SNAPSHOT_WITHHELD:
		check_that(*e->path != '/' && !startswith(e->path, "state/"));
		check_that(path_walk(0, e->path) > 1);
		break;
	case SNAPSHOT_PRESENT:
	case SNAPSHOT_RECORD:
	case SNAPSHOT_MODEL:
		check_that(path_walk(0, e->path) == 2);
		break;
	case SNAPSHOT_BOOT:
		break;
	case SNAPSHOT_KINDS:
		abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct snapshot_entries entries = { .text = malloc(size + 1) };
	char why[256] = "";
	size_t line = 0;
	int r;

	check_that(entries.text != NULL);
	memcpy(entries.text, data, size);
	entries.text[size] = '\0';
	r = snapshot_parse(&entries, size, &line, why);
	check_that(r == 0 || (r < 0 && *why));
	for (size_t i = 0; i < entries.n; i++)
		check_entry(&entries.v[i]);
	snapshot_entries_done(&entries);
	return 0;
}
