/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A change of policy that goes back by itself unless it is confirmed: STATE_DIR/trials/BUS:NAME says what was
 * changed and what there was before. The service writes it and has systemd start a timer; whose unit runs
 * `driver-override undo`, so neither a terminal nor the network nor the service is needed to go back.
 * KEY=value lines, then for each policy file its lines before, each behind a "-", and those after, each
 * behind a "+":
 *
 *     ID=hex         of the trial; a timer of an earlier one has another
 *     UNTIL=usec     CLOCK_BOOTTIME
 *     FORCE=1        it was moved by force, so it goes back by force
 *     BACK=1         it was not confirmed, policy is back, and the device is still to be moved
 *     BUS=… NAME=… DRIVER=… BY=… GROUP=… REBIND=… MODULE=… ANY_DEVICE=1
 *     FILE=path      then BEFORE and AFTER where there is such a file
 */
#pragma once

#include "base/macro.h"
#include "policy/settings.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRIAL_FILES_MAX 8

struct trial_file {
	const char *path;
	const char *before, *after; /* NULL: there is no such file */
};

/* The strings are borrowed, or point into text. */
struct trial {
	char *text; /* NULL: it was not read from a file */
	const char *id, *bus, *name;
	uint64_t until;
	bool force, any_device;
	bool is_back; /* it is over but for the device, and has no files */
	const char *driver, *by;
	const char *group, *rebind, *module; /* NULL: not given */
	struct trial_file files[TRIAL_FILES_MAX];
	size_t n;
};

/* STATE_DIR/trials/BUS:NAME, both escaped. 0 or -ENAMETOOLONG. */
_must_check_ int trial_path(const char *state_dir, const char *bus, const char *name, char *buf, size_t size);

/* 0; -ENOENT: no change of the device is on trial; other negative errno. */
_must_check_ int trial_read(const char *path, struct trial *ret);
/* The same of the text of such a file, which is taken, also on failure. */
_must_check_ int trial_parse(char *text, struct trial *ret);
void trial_done(struct trial *trial);

/*
 * Calls for each file of a trial until it returns other than 0, which is returned: with the trial, or with
 * NULL and the negative errno why it cannot be read; one that ends meanwhile is passed over. Before the first
 * trial there are none.
 */
int trial_each(const char *state_dir,
	       int (*each)(const char *path, const struct trial *trial, int r, void *userdata),
	       void *userdata);

/* The text of the file; malloc()ed. NULL when out of memory. */
char *trial_text(const struct trial *trial);

/*
 * Restores the policy files of a trial, after which only the device is left to be moved. A file that is not
 * as the trial left it was changed since, and stays. Waits for other writers until `deadline` (now_usec()).
 * 1: policy is back, *ret_force is known; 2: it was already; 0: that trial is over; negative errno.
 */
_must_check_ int trial_undo(const struct settings *settings, const char *bus, const char *name,
			    const char *id, uint64_t deadline, bool *ret_force);

/* Ends a trial whose policy is back: the device is, too, or never will be. 0 or negative errno. */
_must_check_ int trial_undo_finish(const struct settings *settings, const char *bus, const char *name,
				   const char *id, uint64_t deadline);
