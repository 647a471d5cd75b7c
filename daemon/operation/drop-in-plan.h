/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a call changes about policy files: each with its text before and after. A plan is worked out first
 * (drop-in-plan-worker.h), tried as a staging directory that stands before all other policy, and then
 * executed, or not.
 */
#pragma once

#include "base/macro.h"
#include "daemon/operation/drop-in.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* A file for each key, one that lasts and one until the next boot; and that of a trial. */
#define PLAN_FILES_MAX (2 * KEY_COUNT + 1)

struct drop_in_plan_file {
	char *path;
	char *before; /* NULL: there is no such file */
	char *after;  /* NULL: there will be none */
};

struct drop_in_plan {
	struct drop_in_plan_file files[PLAN_FILES_MAX];
	size_t n;
};

void drop_in_plan_done(struct drop_in_plan *plan);
/* It changes nothing. */
bool drop_in_plan_is_empty(const struct drop_in_plan *plan) _pure_;
/* Some file is in both. */
bool drop_in_plans_overlap(const struct drop_in_plan *a, const struct drop_in_plan *b) _pure_;
/* Makes it the plan that undoes it, the last file first. */
void drop_in_plan_reverse(struct drop_in_plan *plan);

/* To and from bytes, for the child that makes the plan; *at is left behind what was read. 0 or negative
 * errno. */
void drop_in_plan_serialize(const struct drop_in_plan *plan, FILE *out);
int drop_in_plan_deserialize(const char **at, const char *end, struct drop_in_plan *ret);

/*
 * Writes and removes the files of n plans in one step: all new files are on the disk under temporary names
 * before the first is put in its place. It waits for other writers first, and holds their lock until the
 * process ends, so it is for a child that does nothing else. 0, or negative errno and everything is as it
 * was; -ESTALE: a file is not what it was when the plan was made.
 */
int drop_in_plans_execute(const struct drop_in_plan *const *plans, size_t n, const struct settings *settings,
			  uint64_t usec);
/* The same of reversed plans, some files of which may be restored already. A file that was changed since
 * stays. */
int drop_in_plans_restore(const struct drop_in_plan *const *plans, size_t n, const struct settings *settings,
			  uint64_t usec);

/* A directory in which policy is as if plans had been executed. 0 or negative errno. */
int staging_make(const char *dir);
int drop_in_plan_stage(const struct drop_in_plan *plan, const struct settings *settings, const char *dir);
void drop_in_plan_unstage(const struct drop_in_plan *plan, const char *dir);
void staging_remove(const char *dir);

/* Removes the temporary files and staging directories of a killed service. Only while no other is at work. */
void drop_in_plan_remove_leftovers(const struct settings *settings);
