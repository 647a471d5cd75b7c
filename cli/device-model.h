/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a device is called by who sells it. */
#pragma once

#include "cli/command-line.h"

#include <stddef.h>

/*
 * As udev knows this machine's devices, or a snapshot has it of another's; "": nobody knows. Of a tree that
 * --sysfs gives, and of --host, nothing is known.
 */
void device_model(const struct cli *cli, const char *bus, const char *name, char *buf, size_t size);
