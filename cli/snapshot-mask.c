/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Takes addresses out of what a snapshot has; see snapshot.h. */
#include "base/text.h"
#include "cli/snapshot.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { MAC_DIGITS = 12 };

/* Whether a name is one that udev makes of an interface's MAC address: "enx525400123456"
 * (systemd.net-naming-scheme). */
static bool name_has_mac(const char *name, size_t n)
{
	static const char *const kinds[] = { "enx", "wlx", "wwx", "slx", "ibx" };
	bool known = false;

	if (n != strlen("enx") + MAC_DIGITS)
		return false;
	for (size_t i = 0; i < ELEMENTSOF(kinds); i++)
		known |= strncmp(name, kinds[i], 3) == 0;
	for (size_t i = 3; i < n; i++)
		known &= hex_digit(name[i]) >= 0;
	return known;
}

/* The number of a name that is not to be told, the same for the same name. */
static size_t masked_number(struct snapshot *s, const char *name, size_t n)
{
	const char *copy;

	for (size_t i = 0; i < s->masked.n; i++)
		if (strncmp(s->masked.v[i], name, n) == 0)
			return i;
	copy = arena_strndup(&s->arena, name, n);
	if (!copy || strings_add(&s->masked, copy) < 0)
		s->r = -ENOMEM;
	return s->masked.n - 1;
}

const char *snapshot_mask_path(struct snapshot *s, const char *path)
{
	char *copy = NULL;

	for (const char *at = path; !s->with_private && *at;) {
		size_t n = strcspn(at, "/");

		if (name_has_mac(at, n)) {
			char digits[24];

			copy = copy ? copy : arena_strdup(&s->arena, path);
			if (!copy) {
				s->r = -ENOMEM;
				return "";
			}
			(void)snprintf(digits, sizeof(digits), "%012zu", masked_number(s, at, n));
			memcpy(copy + (at - path) + 3, digits, MAC_DIGITS);
		}
		at += n + (at[n] == '/');
	}
	return copy ? copy : path;
}

/* An address of IPv4 or IPv6, perhaps with the length of a network's prefix. */
static bool word_is_address(const char *word, size_t n)
{
	unsigned char binary[sizeof(struct in6_addr)];
	char text[INET6_ADDRSTRLEN + 1];
	const char *slash = memchr(word, '/', n);

	n = slash ? (size_t)(slash - word) : n;
	if (n >= sizeof(text))
		return false;
	memcpy(text, word, n);
	text[n] = '\0';
	return inet_pton(AF_INET, text, binary) > 0 || inet_pton(AF_INET6, text, binary) > 0;
}

/* What stands in a word's place; NULL: the word itself. */
static const char *masked_word(struct snapshot *s, const char *word, size_t n)
{
	if (word_is_address(word, n))
		return "…";
	return name_has_mac(word, n) ? arena_printf(&s->arena, "%.3s%012zu", word, masked_number(s, word, n))
				     : NULL;
}

const char *snapshot_mask_addresses(struct snapshot *s, const char *text)
{
	static const char between[] = " ,;()\t\n";
	const char *masked = "";

	if (s->with_private)
		return text;
	while (*text && masked) {
		size_t blank = strspn(text, between), n = strcspn(text + blank, between);
		const char *word = masked_word(s, text + blank, n);

		masked = arena_printf(&s->arena, "%s%.*s%.*s", masked, (int)blank, text,
				      word ? (int)strlen(word) : (int)n, word ? word : text + blank);
		text += blank + n;
	}
	if (!masked)
		s->r = -ENOMEM;
	return masked ? masked : "";
}
