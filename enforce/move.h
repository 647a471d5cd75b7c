/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Moves a device from its driver to what was decided, unbinding it if needed. In this order: load the module,
 * check that the driver exists and that the device is not in use, unbind, write the override, probe, compare.
 * If a step fails, override and driver of before are restored. Everything here may sleep in the kernel
 * (child.h).
 */
#pragma once

#include "base/macro.h"
#include "enforce/apply.h"
#include "enforce/in-use-search.h"
#include "sysfs/binding.h"

#include <stdbool.h>

enum move_error {
	MOVE_DONE,
	MOVE_NO_SUCH_DEVICE,
	MOVE_NOT_SUPPORTED,
	MOVE_NO_SUCH_DRIVER,
	MOVE_IN_USE,
	MOVE_STUCK,
	MOVE_INVALID,
	MOVE_POLICY_INVALID,
	MOVE_FOREIGN,
	MOVE_NOT_BEGUN,
	MOVE_FAILED,
};

/* The name of the error on the bus; "" for MOVE_DONE. */
const char *move_error_to_string(enum move_error error);

struct move_options {
	enum rebind rebind; /* counts instead of the rule's Rebind=; REBIND_UNSET: the rule's counts */
	bool overwrite;	    /* replace a foreign override, too, except one that the kernel has set */
	bool dry_run;	    /* change nothing, and say what would be done */
	bool look_only;	    /* with dry_run: open nothing exclusively, see in-use.h */
	/* Leave a device that was as decided since it was added and its rule changed, and was changed since.
	 */
	bool only_if_changed;
	bool release; /* give it back, whatever is decided, and leave it alone from then on; see record.h */
	/* Nobody has asked for it: a device that was released stays so, which a move ends otherwise, and one
	 * that has no driver keeps the override, also where it cannot be probed. */
	bool keep_released;
	/* To decide about the functions that share the device's slot; NULL: they are not looked at. */
	const struct policy *policy;
	/* For the nodes of all devices that are moved along with this one; NULL: it is moved alone. */
	struct in_use_search *search;
};

/* The result. It has no pointers, since it may lie in memory that parent and child share. */
struct move_result {
	enum device_state state;
	enum move_error error;
	bool changed; /* sysfs was written, or would have been */
	char reason[512];
	char wait_for[256];	/* with MOVE_IN_USE: see in-use.h */
	char driver[BOUND_MAX]; /* as it is afterwards, like the override */
	char override[OVERRIDE_MAX];
	char decision[DRIVER_NAME_MAX + 1];
};

/* Fills in all of *ret. */
void move_device(const struct decision *decision, const struct move_options *options,
		 struct move_result *ret);

/* Sets a state and its reason, in which control characters become spaces. For callers' own reasons, too. */
void move_result_set(struct move_result *m, enum device_state state, enum move_error error,
		     const char *format, ...) _printf_(4, 5);
