/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Text for people: names in sysfs and in files may have any bytes, and no byte of a name may do anything to
 * a terminal. What is no UTF-8, control characters (those of C1, which some terminals obey in UTF-8, too)
 * and, in a locale without UTF-8, all that is not ASCII, is written as \xHH.
 */
#pragma once

#include <stdio.h>

void safe_text_write(FILE *f, const char *s);
/* malloc()ed; NULL when out of memory. */
char *safe_text_new(const char *s);
