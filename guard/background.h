/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guard of a boot image without systemd: a script starts it and goes on when it is ready. Then it is a
 * process on its own, which nobody ends when the root is switched.
 */
#pragma once

#include "base/macro.h"

/*
 * Goes on as a child. The parent waits until the child is ready or has ended, some seconds at most, and ends:
 * 0, or 1 if the child has. *ret_ready: to be closed by background_ready(). 0 or negative errno.
 */
_must_check_ int background_enter(int *ret_ready);

/* The one who has started the guard may go on. */
void background_ready(int ready);
