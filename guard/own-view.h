/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A guard that lives on while PID 1 changes its root: one of the boot image, or one that lasts over a
 * soft-reboot. At such a change /dev, /proc, /sys and /run are moved to the new root, and files of the old
 * one are deleted; a guard that looked for /sys in between would not find it. So it gets a mount namespace of
 * its own, in which there is nothing but these four, and which nobody changes.
 *
 * What it wants of the real system (policy files, the enforcer) it gets from PID 1's mount namespace, which
 * its main thread visits for a moment.
 */
#pragma once

#include "base/macro.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct own_view {
	int namespace;	   /* of this process, to come back from a visit */
	int mounts;	   /* PID 1's mountinfo, which tells by POLLPRI that something was mounted or moved */
	bool is_separated; /* the main thread has its own root and working folder: own_view_separate() */
	bool is_visiting;
	dev_t root_dev; /* PID 1's root, as last seen */
	ino_t root_inode;
	uint64_t look_until_usec; /* something was mounted: PID 1 may change to it until then */
};

/*
 * Enters the view. Only while the process has one thread. `folder` is made for a moment, on a file system
 * that can be written to. 0; negative errno: everything is as before, or this process alone sees only part of
 * the system.
 */
_must_check_ int own_view_enter(struct own_view *v, const char *folder);

/* The calling thread sees PID 1's files until own_view_return(). 0 or negative errno. Only one thread may. */
_must_check_ int own_view_visit(struct own_view *v);
void own_view_return(struct own_view *v);

/*
 * Whether PID 1 has another root since the last call. To be called when v->mounts is readable, and again
 * after as many milliseconds as *ret_again has (-1: not before that), for PID 1 changes its root after the
 * mounts.
 */
bool own_view_root_changed(struct own_view *v, bool mounts_changed, int *ret_again);
