/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The policy files that are the service's own: what `set` writes, one for a device and a way to name it.
 * What would change is planned first, and tried out in a staging directory that stands before all others;
 * then it is done, or not. Files of people are never touched.
 */
#pragma once

#include "base/macro.h"
#include "daemon/operation/operation-options.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A file of each kind, lasting and until the next boot. */
#define PLAN_FILES_MAX (2 * BY_COUNT)

struct drop_in_plan_file {
	char *path;
	char *before; /* NULL: it is not there */
	char *after;  /* NULL: it shall not be there */
};

struct drop_in_plan {
	struct drop_in_plan_file files[PLAN_FILES_MAX];
	size_t n;
};

void drop_in_plan_done(struct drop_in_plan *plan);
bool drop_in_plan_is_empty(const struct drop_in_plan *plan) _pure_;
/* Some file is in both. */
bool drop_in_plans_meet(const struct drop_in_plan *a, const struct drop_in_plan *b) _pure_;
/* The way back. */
void drop_in_plan_reverse(struct drop_in_plan *plan);

/*
 * Writes and removes, new files first, each at once and for good, once no other writer is left, for which it
 * waits that long: 0 or negative errno, and nothing is changed. For a process that ends afterwards.
 */
int drop_in_plan_carry_out(const struct drop_in_plan *plan, const struct settings *settings, uint64_t usec);

/* The plan as files of a directory that is put before those of the settings. 0 or negative errno. */
int drop_in_plan_stage(const struct drop_in_plan *plan, const struct settings *settings, const char *dir);
/* Removes a staging directory. */
void staging_remove(const char *dir);

/* What a killed service has left: temporary files, staging directories. Only while no other is at work. */
void drop_in_clean(const struct settings *settings);

/* The directory that set rules go to; NULL: there is none. */
const char *drop_in_dir(const struct settings *settings, bool runtime);

/*
 * DIR/NN-set-BUS-KEY.conf, for a device's name, path or id. 0 or -ENAMETOOLONG.
 */
int drop_in_path(const char *dir, bool runtime, enum drop_in_key by, const char *bus, const char *value,
		 char *buf, size_t size);

/*
 * The text of a file that set has written, which a person may have changed since, but not made another one
 * of: 1; 0: there is none; -EEXIST: it is somebody else's, a link, or no file; other negative errno.
 */
int drop_in_read(const char *path, char **ret);

/* The text of the rule; malloc()ed. NULL when out of memory. */
char *drop_in_text(const char *bus, enum drop_in_key by, const char *value, const char *driver,
		   const struct options *o);
