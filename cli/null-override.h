/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Overrides that are the text "(null)": a script that saves and restores what it reads writes it. The kernel
 * takes it for a driver's name, which none has, and prints an override that is not set in the same way.
 */
#pragma once

#include "base/arena.h"
#include "sysfs/sysfs.h"

#include <stddef.h>

/* The kernel's list of what modules are for; read at the first question. */
struct null_override_finder {
	char *aliases;
	bool read;
};

/*
 * The driver that is loaded and made for a device that has no driver, although its override reads as unset;
 * NULL: there is none, so that nothing is strange about the device. From the arena.
 */
const char *null_override_find(struct null_override_finder *finder, struct sysfs_device *d,
			       struct arena *arena);
void null_override_finder_done(struct null_override_finder *finder);

/* What to say of it. NULL: out of memory. */
const char *null_override_text(const struct sysfs_device *d, const char *driver, struct arena *arena);
