/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Puts paths together without ever cutting them. */
#pragma once

#include "base/macro.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Puts strings together, up to a final NULL: 0, or -ENAMETOOLONG with an empty buf. The first printf() of a
 * process costs as much as reading a small policy, so what runs at every device event does without.
 */
_must_check_ int path_join(char *buf, size_t size, const char *first, ...) __attribute__((sentinel));

/* snprintf() into an array that fails instead of cutting: 0 or -ENAMETOOLONG. */
_must_check_ int path_printf(char *buf, size_t size, const char *format, ...) _printf_(3, 4);

/* The folder that a path lies in, "." where there is no slash. 0 or -ENAMETOOLONG. */
_must_check_ int path_parent(const char *path, char *buf, size_t size);

/* What is behind the last slash; all of a path without one. */
const char *path_last(const char *path) _pure_;

/* Could be the name of a file in a folder: no path, and not the folder itself or the one above. */
bool is_file_name(const char *s) _pure_;
