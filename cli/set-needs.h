/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the next boot would lack because of changes that are about to be made. */
#pragma once

#include "cli/change.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Says on stderr what the machine needs to come up that these changes take away: the root file system and
 * other disks, swap, the last network card, a console. True: there is something. Nothing is said of another
 * machine, of a device that is not there, and of rules that end with this boot.
 */
bool set_needs_are_lost(const struct change *v, size_t n);
