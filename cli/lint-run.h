/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One run of the lint, as its checks share it: all devices, each with its decision, and where findings go. */
#pragma once

#include "cli/lint-findings.h"
#include "policy/decide.h"
#include "policy/settings.h"
#include "sysfs/binding.h"
#include "sysfs/sysfs.h"

#include <stdbool.h>
#include <stddef.h>

struct lint_device {
	struct sysfs_device *d;
	struct decision decision;
	char driver[BOUND_MAX]; /* that it has now; "": none */
};

struct lint_run {
	struct lint *lint;
	const struct settings *settings;
	const struct policy *policy;
	struct sysfs sysfs;
	struct sysfs_device **found;
	struct lint_device *devices; /* members of one group follow one another */
	size_t n_devices;
	int r; /* the first failure: -ENOMEM */
};

/* Finds the devices and decides about each, by run->settings and run->policy. 0 or -ENOMEM, as run->r is. */
_must_check_ int lint_run_open(struct lint_run *run);
void lint_run_close(struct lint_run *run);

/* The text comes from the arena of run->lint; NULL: out of memory. `rule` may be NULL: nothing is found then.
 */
void lint_warn(struct lint_run *run, const struct rule *rule, const char *text);
void lint_refuse(struct lint_run *run, const struct rule *rule, const char *text);

/* A warning about another file than one of the policy, as a whole. */
void lint_warn_of_file(struct lint_run *run, const char *file, const char *text);

/* How many devices, from this one on, are in one group with it. */
size_t lint_group_size(const struct lint_run *run, size_t first);

/* Whether the policy takes the device away from the driver that it works with now. */
bool lint_device_is_taken(const struct lint_device *device);

/* The driver that it has once the policy is enforced, "": none; `otherwise`: where policy gives it none. */
const char *lint_device_final_driver(const struct lint_device *device, const char *otherwise);
