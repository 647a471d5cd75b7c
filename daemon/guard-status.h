/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the guard says about itself, in a file which it removes when it ends. */
#pragma once

#include "daemon/service.h"

/* KEY=value lines, malloc()ed; NULL: no guard is running. */
char *guard_status_read(const struct service *s);

/* The value of that key, which ends with the line; NULL: no such key. */
const char *guard_status_value(const char *text, const char *key);
