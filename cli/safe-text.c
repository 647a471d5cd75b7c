/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Text for people; see safe-text.h. */
#include "cli/safe-text.h"
#include "base/macro.h"
#include "base/text.h"

#include <langinfo.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

static bool locale_is_utf8(void)
{
	return streq(nl_langinfo(CODESET), "UTF-8");
}

/* How many bytes of s may be written as they are; 0: the first may not. */
static size_t safe_length(const char *s, size_t left, bool utf8)
{
	size_t n = utf8_length(s, left);

	if (n == 1)
		return *s >= ' ' && *s != 0x7f ? 1 : 0;
	if (!utf8 || (n == 2 && (unsigned char)s[0] == 0xc2 && (unsigned char)s[1] < 0xa0))
		return 0;
	return n;
}

void safe_text_write(FILE *f, const char *s)
{
	bool utf8 = locale_is_utf8();
	size_t left = strlen(s), n;

	for (; left > 0; s += n, left -= n) {
		n = safe_length(s, left, utf8);
		if (n > 0) {
			(void)fwrite(s, 1, n, f);
			continue;
		}
		(void)fprintf(f, "\\x%02x", (unsigned char)*s);
		n = 1;
	}
}

char *safe_text_new(const char *s)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	safe_text_write(f, s);
	if (fclose(f) != 0) {
		free(text);
		return NULL;
	}
	return text;
}
