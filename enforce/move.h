/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Moves a device from the driver that it has to what was decided, which may mean to unbind it: module first,
 * then whether the driver exists, whether the device is in use, unbind, override, probe, look. A step that
 * fails puts the device back to where it was. Everything here may sleep in the kernel (child.h).
 */
#pragma once

#include "base/macro.h"
#include "enforce/apply.h"
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
	MOVE_FAILED,
};

/* The name of the error on the bus; "" for MOVE_DONE. */
const char *move_error_to_string(enum move_error error);

struct move_options {
	enum rebind rebind; /* instead of the rule's own; REBIND_UNSET: as the rule says */
	bool overwrite;	    /* a foreign override is replaced, too, but for one that the kernel set */
	bool dry_run;	    /* change nothing, and tell what would come of it */
	bool look_only;	    /* and open nothing exclusively to find out: see in-use.h */
	/* What was enforced already, since the device was added and its rule changed, is left as it is now.
	 */
	bool only_if_changed;
};

/* What came of it. Without pointers: it may lie in memory that parent and child share. */
struct move_result {
	enum device_state state;
	enum move_error error;
	bool changed; /* sysfs was written, or would have been */
	char reason[512];
	char driver[BOUND_MAX]; /* as it is afterwards */
	char override[OVERRIDE_MAX];
	char decision[DRIVER_NAME_MAX + 1];
};

/* Fills in *ret, of which the caller has set nothing. */
void move_device(const struct decision *decision, const struct move_options *options,
		 struct move_result *ret);

/* For the callers' own reasons. */
void move_result_set(struct move_result *m, enum device_state state, enum move_error error,
		     const char *format, ...) _printf_(4, 5);
