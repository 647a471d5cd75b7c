/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What was seen of the first probe of a device without a record; see first-probe-file.h. */
#include "state/first-probe-file.h"
#include "base/file.h"
#include "base/text.h"
#include "state/state-file.h"

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FOLDER "/first-probes/"

int first_probe_keep(const char *state_dir, const struct record_key *key, enum first_probe claim)
{
	char path[PATH_MAX], line[160];
	int r = state_device_path(state_dir, FOLDER, key->bus, key->name, path, sizeof(path));

	if (r < 0)
		return r;
	(void)snprintf(line, sizeof(line), "%s %ju %s\n", boot_id(), (uintmax_t)key->inode,
		       first_probe_to_string(claim));
	return state_file_replace(state_dir, "first-probes", path, line, strlen(line), NULL, 0644);
}

enum first_probe first_probe_kept(const char *state_dir, const struct record_key *key)
{
	char path[PATH_MAX], line[160], begin[128];
	const char *word;

	if (state_device_path(state_dir, FOLDER, key->bus, key->name, path, sizeof(path)) < 0 ||
	    read_first_line(path, line, sizeof(line)) < 0)
		return FIRST_PROBE_UNSEEN;
	(void)snprintf(begin, sizeof(begin), "%s %ju ", boot_id(), (uintmax_t)key->inode);
	word = startswith(line, begin);
	return word ? first_probe_from_string(word) : FIRST_PROBE_UNSEEN;
}

void first_probe_forget(const char *state_dir, const struct record_key *key)
{
	char path[PATH_MAX];

	if (state_device_path(state_dir, FOLDER, key->bus, key->name, path, sizeof(path)) >= 0)
		(void)unlink(path); /* that there is none is the rule */
}
