/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Short texts: comparing, numbers, escaping, and UTF-8, which is all that a bus and JSON take. */
#pragma once

#include "base/arena.h"
#include "base/macro.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct arena;

static inline bool streq(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

/* The rest of s after prefix, or NULL when s does not start with it. */
static inline const char *startswith(const char *s, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(s, prefix, n) == 0 ? s + n : NULL;
}

/* The line after the one that s begins with; the end of s where there is none. */
static inline const char *text_next_line(const char *s)
{
	s += strcspn(s, "\n");
	return *s == '\n' ? s + 1 : s;
}

/* What separates the values of a key. */
static inline bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Copies what fits; for texts that are shorter than their arrays by the rules of policy files. */
static inline void text_copy(char *buf, size_t size, const char *s)
{
	size_t n = strnlen(s, size - 1);

	memcpy(buf, s, n);
	buf[n] = '\0';
}

/*
 * The value of a hex digit; -1: it is none. Without the locale's tables, in which isxdigit() looks things
 * up.
 */
static inline int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The decimal number that s begins with; 0: none. */
static inline uint64_t text_to_number(const char *s)
{
	uint64_t n = 0;

	while (*s >= '0' && *s <= '9')
		n = n * 10 + (uint64_t)(*s++ - '0');
	return n;
}

/* n in decimal digits; buf has room for any. Returns buf. */
char *number_to_text(unsigned n, char buf[static 16]);

/*
 * Writes name to buf with every byte outside [A-Za-z0-9._:-] as \xHH, as the contract has it for file names
 * made from device names; a leading dot is escaped as well, so that no name is hidden, `.` or `..`.
 * Returns 0, or -ENAMETOOLONG when size does not suffice.
 */
_must_check_ int name_escape(const char *name, char *buf, size_t size);

/*
 * Decodes \xHH, as name_escape() writes it, and \ooo, as the kernel writes it in mountinfo, in place. Any
 * other backslash is kept; false: there was one.
 */
bool text_unescape(char *s);

/* For messages: s in quotation marks, at most 60 bytes of it, unprintable ones as \xHH. Never NULL. */
const char *quoted(struct arena *arena, const char *s);

/* How many bytes the character takes that s, n bytes long, begins with; 0: no valid UTF-8. */
size_t utf8_length(const char *s, size_t n) _pure_;

/* How many bytes of s, at most that many, are whole characters. */
size_t utf8_prefix(const char *s, size_t most) _pure_;

/* Writes a text; bytes that are no UTF-8, and control characters, as \xHH. */
void utf8_write(FILE *f, const char *s);

/* The first n bytes of s likewise, malloc()ed; NULL when out of memory. */
char *utf8_from_bytes(const char *s, size_t n);
