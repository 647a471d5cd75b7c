/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Short texts; see text.h. */
#include "base/text.h"
#include "base/arena.h"
#include "base/macro.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *number_to_text(unsigned n, char buf[static 16])
{
	char digits[16];
	size_t count = 0;

	do
		digits[count++] = (char)('0' + n % 10);
	while ((n /= 10) > 0);
	for (size_t i = 0; i < count; i++)
		buf[i] = digits[count - 1 - i];
	buf[count] = '\0';
	return buf;
}

static bool name_char_is_plain(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
	       c == '_' || c == ':' || c == '-';
}

int name_escape(const char *name, char *buf, size_t size)
{
	static const char hex[] = "0123456789abcdef";
	size_t n = 0;

	for (const char *s = name; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (name_char_is_plain(c) && !(s == name && c == '.')) {
			if (n + 1 >= size)
				return -ENAMETOOLONG;
			buf[n++] = *s;
		} else {
			if (n + 4 >= size)
				return -ENAMETOOLONG;
			buf[n++] = '\\';
			buf[n++] = 'x';
			buf[n++] = hex[c >> 4];
			buf[n++] = hex[c & 15];
		}
	}
	if (n >= size)
		return -ENAMETOOLONG;
	buf[n] = '\0';
	return 0;
}

/* The byte that an escape sequence stands for, and its length; 0: s begins with none. */
static size_t unescape_one(const char *s, char *ret)
{
	if (s[1] == 'x' && hex_digit(s[2]) >= 0 && hex_digit(s[3]) >= 0) {
		*ret = (char)(16 * hex_digit(s[2]) + hex_digit(s[3]));
		return 4;
	}
	if (s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' && s[3] >= '0' && s[3] <= '7') {
		*ret = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
		return 4;
	}
	return 0;
}

bool text_unescape(char *s)
{
	bool whole = true;
	char *to = s;

	while (*s) {
		size_t n = *s == '\\' ? unescape_one(s, to) : 0;

		if (n == 0) {
			whole = whole && *s != '\\';
			*to = *s;
			n = 1;
		}
		to++;
		s += n;
	}
	*to = '\0';
	return whole;
}

const char *quoted(struct arena *arena, const char *s)
{
	const size_t most = 60;
	size_t n = 0;
	char *q = arena_alloc(arena, 4 * most + sizeof("\"…\""));

	if (!q || !s)
		return "\"\"";
	q[n++] = '"';
	for (size_t i = 0; s[i]; i++) {
		if (i == most) {
			n += (size_t)sprintf(q + n, "…");
			break;
		}
		if (s[i] >= ' ' && s[i] <= '~')
			q[n++] = s[i];
		else
			n += (size_t)sprintf(q + n, "\\x%02x", (unsigned char)s[i]);
	}
	q[n] = '"';
	return q;
}

size_t utf8_length(const char *s, size_t n)
{
	const unsigned char *u = (const unsigned char *)s;
	size_t length;

	if (n == 0)
		return 0;
	length = u[0] < 0x80 ? 1 : u[0] < 0xc2 ? 0 : u[0] < 0xe0 ? 2 : u[0] < 0xf0 ? 3 : u[0] < 0xf5 ? 4 : 0;
	if (length > n)
		return 0;
	for (size_t i = 1; i < length; i++)
		if ((u[i] & 0xc0) != 0x80)
			return 0;
	/* Overlong forms, surrogates, and what is beyond Unicode: no D-Bus string, no JSON. */
	if ((u[0] == 0xe0 && u[1] < 0xa0) || (u[0] == 0xed && u[1] > 0x9f) || (u[0] == 0xf0 && u[1] < 0x90) ||
	    (u[0] == 0xf4 && u[1] > 0x8f))
		return 0;
	return length;
}

size_t utf8_prefix(const char *s, size_t most)
{
	size_t n = 0, size = strnlen(s, most), next;

	while ((next = utf8_length(s + n, size - n)) > 0)
		n += next;
	return n;
}

void utf8_write(FILE *f, const char *s)
{
	for (size_t left = strlen(s); left > 0;) {
		size_t n = (unsigned char)*s < ' ' ? 0 : utf8_length(s, left);

		if (n > 0) {
			(void)fwrite(s, 1, n, f);
		} else {
			(void)fprintf(f, "\\x%02x", (unsigned char)*s);
			n = 1;
		}
		s += n;
		left -= n;
	}
}

char *utf8_from_bytes(const char *s, size_t n)
{
	_cleanup_(freep) char *copy = strndup(s, n);
	char *text = NULL;
	size_t size;
	FILE *f = copy ? open_memstream(&text, &size) : NULL;

	if (!f)
		return NULL;
	utf8_write(f, copy);
	if (fclose(f) != 0) {
		free(text);
		return NULL;
	}
	return text;
}
