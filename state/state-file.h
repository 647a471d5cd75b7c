/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files of the state directory, whatever is in them. Each is written whole to a temporary file and renamed;
 * the directory is on a tmpfs and lasts until the next boot, so nothing is synced.
 */
#pragma once

#include "base/macro.h"

#include <stddef.h>
#include <sys/types.h>
#include <time.h>

/* Makes STATE_DIR/sub, and STATE_DIR itself, unless they are there. 0 or negative errno. */
_must_check_ int state_dir_make(const char *state_dir, const char *sub);

/*
 * Replaces a file of STATE_DIR/sub, at once and whole; folders are made. times: as for futimens(), NULL: now.
 * 0 or negative errno.
 */
_must_check_ int state_file_replace(const char *state_dir, const char *sub, const char *path,
				    const char *text, size_t size, const struct timespec *times, mode_t mode);

/* All of a file; *ret is malloc()ed. 0 or negative errno. */
_must_check_ int state_file_read(const char *path, char **ret);

/* STATE_DIR, folder ("/devices/"), then BUS:NAME, both escaped. 0 or -ENAMETOOLONG. */
_must_check_ int state_device_path(const char *state_dir, const char *folder, const char *bus,
				   const char *name, char *buf, size_t size);

/* Puts text into STATE_DIR/name, at once and whole. 0 or negative errno. */
_must_check_ int state_write(const char *state_dir, const char *name, const char *text);

/* Removes STATE_DIR/name; that there is none is no error. 0 or negative errno. */
_must_check_ int state_remove(const char *state_dir, const char *name);

/* Removes temporary files that a killed program left behind more than a minute ago. */
void state_dir_remove_temporary(const char *state_dir);
