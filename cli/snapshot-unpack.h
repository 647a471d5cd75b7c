/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Makes a tree of files of a snapshot: a sysfs tree, what is beside it, and state. */
#pragma once

#include "base/macro.h"

#include <stddef.h>

/*
 * Reads the snapshot file and puts its tree into an empty folder: FOLDER/sys, …, and FOLDER/state. Whatever
 * the file says, nothing is made outside the folder, and no link leads out of it; one that cannot be right is
 * refused. 0, or negative errno: *reterr_line is where, 0: the file as a whole, and reterr_text says why.
 */
_must_check_ int snapshot_unpack(const char *file, const char *folder, size_t *reterr_line,
				 char reterr_text[static 256]);
