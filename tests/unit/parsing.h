/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tests of policy texts share: a text is refused in a line, or taken. */
#pragma once

#include "policy.h"

/* Three lines without fault, to stand before what is at fault. */
#define GOOD "[device good]\nName=good\nDriver=good\n"

#define FILL_9 "ddddddddd"
#define FILL_99 FILL_9 FILL_9 FILL_9 FILL_9 FILL_9 FILL_9 FILL_9 FILL_9 FILL_9 FILL_9 FILL_9
#define FILL_127 FILL_99 FILL_9 FILL_9 FILL_9 "d"
#define FILL_128 FILL_127 "d"

/* There is one error, in that line, and no rule of the text is in force; rules of other files stay. */
void refused(const char *text, unsigned line);
void refused_bytes(const char *text, size_t size, unsigned line);

/* The same of `key=value` in a section that has all else it needs. */
void refused_value(const char *key, const char *value);

/* No error, and n rules. */
void taken(const char *text, size_t n);
void taken_bytes(const char *text, size_t size, size_t n);

/* The only rule of a text; it lives until the test ends. */
struct rule *one_rule(const char *text);
/* The rules of a text, likewise. */
struct policy *rules_of(const char *text);
