/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Moves devices side by side: children take one device after the other. One that is slow keeps no other
 * device waiting, since another child goes on with the rest, and one that does not come back in time is left
 * behind.
 */
#pragma once

#include "enforce/move.h"
#include "policy/settings.h"
#include "sysfs/sysfs.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What becomes of one device. In memory that parent and children share. */
struct rebind_report {
	struct progress progress;
	struct move_result moved;
	_Atomic(bool) begun; /* by a child */
	_Atomic(bool) locked;
	_Atomic(bool) done; /* `moved` is what it has found and done */
};

struct rebind_target {
	const char *name;	     /* as the caller gave it */
	uint64_t inode;		     /* of the device that the caller means; 0: whichever has the name */
	struct sysfs_device *device; /* NULL: there is none, or none that can be moved */
	struct rebind_report *report;
};

struct rebind_run {
	const struct settings *settings;
	const struct move_options *options;
	struct rebind_target *targets;
	size_t n;
	uint64_t deadline, last_begin; /* after last_begin no device is begun but the first */
	struct rebind_shared *shared;
	struct in_use_search *search; /* shared, too; NULL: each device is asked about alone */
};

/*
 * Finds the devices that the targets name, handles each, then the other members of their groups. Returns by
 * the deadline, with each report complete.
 */
void rebind_run_named(struct rebind_run *run);
