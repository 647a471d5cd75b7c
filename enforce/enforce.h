/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The verbs of the enforcer, and what they share: the exit status is what each returns. */
#pragma once

#include "../policy/settings.h"

/*
 * A device's `add` event, from udev: decides, writes, prints properties. `device` is a path in sysfs, or
 * NULL for the one that udev names in the environment.
 */
int verb_event(const struct settings *settings, const char *device);

/* All devices present. */
int verb_sweep(const struct settings *settings);

/* Clears what we set: on the named devices (a sysfs path, BUS/NAME or a name), or on all. */
int verb_release(const struct settings *settings, char *const *devices, size_t n);
