/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Texts for the bus and for JSON, which take nothing but UTF-8. */
#pragma once

#include "base/util.h"

/* How many bytes the character at s takes; 0: it is none. */
size_t utf8_length(const char *s) _pure_;

/* How many bytes of s, at most that many, are whole characters. */
size_t utf8_prefix(const char *s, size_t most) _pure_;

/* Writes a text; bytes that are no UTF-8, and control characters, as \xHH. */
void utf8_write(FILE *f, const char *s);

/* The first n bytes of s likewise, malloc()ed; NULL when out of memory. */
char *utf8_from_bytes(const char *s, size_t n);
