/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The devices on which the root file system lies, noted on the real root (LASTING_DIR/root-devices) for boot
 * images made later: one that waits for the root file system in vain knows then whether policy has taken one
 * of these.
 */
#pragma once

#include "policy/settings.h"

#include <stdbool.h>

#define ROOT_DEVICES_FILE "/var/lib/driver-overrides/root-devices"

/* Notes them, "BUS/NAME" a line; removes the note where they cannot be told. 0 or negative errno. */
int root_devices_note(const struct settings *settings);

struct root_devices {
	char *text;
};

/* What was noted; nothing where it is of no use, since none of these devices is here. */
void root_devices_read(const struct settings *settings, struct root_devices *ret);
void root_devices_done(struct root_devices *devices);

/* Whether there is anything to go by, and whether a device is one of them. */
bool root_devices_known(const struct root_devices *devices);
bool root_devices_have(const struct root_devices *devices, const char *bus, const char *name);
