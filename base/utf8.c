/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Texts as UTF-8; see utf8.h. */
#include "base/utf8.h"

size_t utf8_length(const char *s)
{
	const unsigned char *u = (const unsigned char *)s;
	size_t n = u[0] < 0x80			 ? 1
		   : u[0] >= 0xc2 && u[0] < 0xe0 ? 2
		   : u[0] >= 0xe0 && u[0] < 0xf0 ? 3
		   : u[0] >= 0xf0 && u[0] < 0xf5 ? 4
						 : 0;

	for (size_t i = 1; i < n; i++)
		if ((u[i] & 0xc0) != 0x80)
			return 0;
	/* Overlong forms, surrogates, and what is beyond Unicode. */
	if ((u[0] == 0xe0 && u[1] < 0xa0) || (u[0] == 0xed && u[1] > 0x9f) || (u[0] == 0xf0 && u[1] < 0x90) ||
	    (u[0] == 0xf4 && u[1] > 0x8f))
		return 0;
	return n;
}

size_t utf8_prefix(const char *s, size_t most)
{
	size_t n = 0, next;

	while (s[n] && (next = utf8_length(s + n)) > 0 && n + next <= most)
		n += next;
	return n;
}

void utf8_write(FILE *f, const char *s)
{
	while (*s) {
		size_t n = (unsigned char)*s < ' ' ? 0 : utf8_length(s);

		if (n == 0)
			(void)fprintf(f, "\\x%02x", (unsigned char)*s++);
		else
			(void)fwrite(s, 1, n, f);
		s += n;
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
