/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A command line that comes by stdin: the service starts the enforcer ahead of need, so that it is loaded
 * when it is to move a device. Arguments and options, each ended by a NUL, then one NUL more.
 */
#pragma once

#include "base/macro.h"

#include <stddef.h>

/*
 * Waits for all of it. *ret: what takes the place of argv, with its first string, in one piece to be freed.
 * The number of its strings; 0: there is none, since nobody needs us any more; -EBADMSG: it is cut off; other
 * negative errno.
 */
_must_check_ int request_read(int fd, char *program, char ***ret);
