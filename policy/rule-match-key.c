/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Match keys of a rule: which values they take, made ready for matching; see rule-keys.h. */
#include "base/arena.h"
#include "base/hash.h"
#include "base/macro.h"
#include "base/text.h"
#include "policy/mistake.h"
#include "policy/rule-keys.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static bool is_glob_character(char c)
{
	return c == '*' || c == '?' || c == '[';
}

static bool text_has_glob(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (is_glob_character(s[i]))
			return true;
	return false;
}

static bool is_hex_digit(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* Hex digits, and where the text is a glob its other characters, too. */
static bool text_is_hex_or_glob(const char *s, size_t n, bool glob)
{
	for (size_t i = 0; i < n; i++)
		if (!is_hex_digit(s[i]) && !(glob && strchr("*?[]!^-", s[i])))
			return false;
	return true;
}

/* Parts between colons: each four hex digits, or a glob. */
static bool id_is_valid(const char *s)
{
	unsigned parts = 0;

	for (;;) {
		size_t n = 0;
		bool glob;

		while (s[n] && s[n] != ':')
			n++;
		glob = text_has_glob(s, n);
		if (n == 0 || (!glob && n != 4) || !text_is_hex_or_glob(s, n, glob))
			return false;
		parts++;
		if (!s[n])
			break;
		s += n + 1;
	}
	return parts == 2 || parts == 4;
}

static bool class_is_valid(const char *s, size_t n)
{
	bool glob = text_has_glob(s, n);

	return (glob || n == 2 || n == 4 || n == 6) && text_is_hex_or_glob(s, n, glob);
}

/* A PCI address or a glob for some: hexadecimal, hence compared without case. */
static bool looks_like_pci_address(const char *s)
{
	bool colon = false;

	/* "pci0000:00" is a host bridge. */
	for (s += strncasecmp(s, "pci", 3) == 0 ? 3 : 0; *s; s++) {
		if (*s == ':')
			colon = true;
		else if (!is_hex_digit(*s) && !strchr(".*?[]!^-", *s))
			return false;
	}
	return colon;
}

/* Rules hold their conditions in the order of enum fact, which is the order of what a fact costs. */
static struct condition *rule_get_condition(struct rule *rule, struct arena *arena, enum fact fact,
					    const char *attr)
{
	struct condition **at = &rule->conditions, *c;

	for (; *at && (*at)->fact <= fact; at = &(*at)->next)
		if ((*at)->fact == fact && (!attr || streq((*at)->attr, attr)))
			return *at;

	c = arena_alloc(arena, sizeof(*c));
	if (!c)
		return NULL;
	c->fact = fact;
	if (attr) {
		c->attr = arena_strdup(arena, attr);
		if (!c->attr)
			return NULL;
	}
	c->next = *at;
	*at = c;
	return c;
}

/* The value that begins at s and ends at a blank; its length in *ret_n. */
static int condition_add_pattern(struct condition *c, struct arena *arena, const char *s, unsigned line,
				 size_t *ret_n)
{
	struct pattern *p = arena_alloc(arena, sizeof(*p));
	uint32_t hash = FNV32_BASIS;
	size_t n = 0, plain = SIZE_MAX;
	const char *text;

	/* One pass: this runs for each value of a thousand rules at each device event. */
	for (; s[n] && !is_blank(s[n]); n++) {
		hash = value_hash_add(hash, s[n]);
		if (plain == SIZE_MAX && is_glob_character(s[n]))
			plain = n;
	}
	*ret_n = n;
	text = arena_strndup(arena, s, n);
	if (!p || !text)
		return -ENOMEM;
	p->text = text;
	p->length = (uint16_t)n;
	p->plain = (uint16_t)(plain == SIZE_MAX ? n : plain);
	p->hash = hash;
	p->line = line;
	if ((c->fact == FACT_ID && !id_is_valid(text)) || (c->fact == FACT_CLASS && !class_is_valid(text, n)))
		return -EINVAL;

	switch (c->fact) {
	case FACT_ID:
	case FACT_CLASS:
	case FACT_PATH:
	case FACT_MODALIAS:
		p->fold = true;
		break;
	case FACT_NAME:
	case FACT_ANCESTOR:
	case FACT_PHYSFN:
		p->fold = looks_like_pci_address(text);
		break;
	case FACT_ATTR:
		p->fold = strncasecmp(text, "0x", 2) == 0;
		break;
	case FACT_BUS:
	case FACT_FIRMWARE:
	case FACT_COMPATIBLE:
	case FACT_COUNT:
		break;
	}

	*(c->last ? &c->last->next : &c->any) = p;
	c->last = p;
	return 0;
}

static bool attr_name_is_valid(const char *s)
{
	static const char *const no[] = { "driver_override", "config", "rom", "vpd", ".", ".." };

	if (!*s || strchr(s, '/'))
		return false;
	for (size_t i = 0; i < ELEMENTSOF(no); i++)
		if (streq(s, no[i]))
			return false;
	return true;
}

/* In Path=, a host bridge below another device (VMD) is `pci*`: its domain is counted when it is probed. */
static const char *path_without_counted_domains(struct arena *arena, const char *value)
{
	char *text = arena_strdup(arena, value), *to = text;

	for (const char *s = value; text && *s;) {
		const char *number = startswith(s, "/pci");
		size_t n = number ? strspn(number, "0123456789abcdefABCDEF:") : 0;

		if (n > 0 && (!number[n] || number[n] == '/' || is_blank(number[n]))) {
			to = mempcpy(to, "/pci*", strlen("/pci*"));
			s = number + n;
		} else
			*to++ = *s++;
	}
	if (text)
		*to = '\0';
	return text;
}

static int rule_set_match(struct rule *rule, struct arena *arena, enum fact fact, const char *attr,
			  const char *value, const char **reterr_error)
{
	struct condition *c;
	int r;

	while (is_blank(*value))
		value++;
	if (!*value)
		return rule_refuse(reterr_error, arena_printf(arena, "%s%s needs a value", fact_key(fact),
							      attr ? attr : ""));

	if (fact == FACT_PATH && strstr(value, "/pci") && !strstr(value, "devices/")) {
		value = path_without_counted_domains(arena, value);
		if (!value)
			return -ENOMEM;
	}
	c = rule_get_condition(rule, arena, fact, attr);
	if (!c)
		return -ENOMEM;

	while (*value) {
		size_t n = strcspn(value, " \t");

		r = mistake_in_match_value(arena, fact, attr, value, n, reterr_error);
		if (r < 0)
			return r;
		r = condition_add_pattern(c, arena, value, rule->line_at_hand, &n);
		if (r == -EINVAL)
			return rule_refuse(
				reterr_error,
				arena_printf(arena, "%s takes %s, not %s", fact_key(fact),
					     fact == FACT_ID ? "vendor:device or "
							       "vendor:device:subvendor:subdevice, four hex "
							       "digits each as lspci -nn prints them"
							     : "two, four or six hex digits",
					     quoted(arena, arena_strndup(arena, value, n))));
		if (r < 0)
			return r;
		for (value += n; is_blank(*value); value++)
			;
	}
	return 0;
}

/* Which fact a match key asks for; FACT_COUNT: it is none. Attr. is not among them. */
static enum fact fact_of_key(const char *key)
{
	/* Two letters tell nearly all of them apart, so a key costs about one comparison. */
	static const enum fact facts[] = { FACT_NAME,	  FACT_ID,	   FACT_PATH,	  FACT_BUS,
					   FACT_CLASS,	  FACT_COMPATIBLE, FACT_MODALIAS, FACT_ANCESTOR,
					   FACT_FIRMWARE, FACT_PHYSFN };

	for (size_t i = 0; i < ELEMENTSOF(facts); i++) {
		const char *name = fact_key(facts[i]);
		size_t n;

		if (key[0] != name[0] || key[1] != name[1])
			continue;
		n = strlen(key);
		/* The name has a "=" at its end. */
		if (strncmp(key, name, n) == 0 && name[n] == '=' && name[n + 1] == '\0')
			return facts[i];
	}
	return FACT_COUNT;
}

int rule_set_match_key(struct rule *rule, struct arena *arena, const char *key, const char *value,
		       const char **reterr_error)
{
	enum fact fact = fact_of_key(key);
	const char *attr;
	int r;

	if (fact != FACT_COUNT)
		return rule_set_match(rule, arena, fact, NULL, value, reterr_error);
	attr = startswith(key, "Attr.");
	if (!attr)
		return -ENOENT;
	if (!attr_name_is_valid(attr))
		return rule_refuse(reterr_error,
				   arena_printf(arena, "%s cannot be matched: no attribute to compare with",
						quoted(arena, key)));
	r = mistake_in_attr_name(arena, attr, reterr_error);
	return r < 0 ? r : rule_set_match(rule, arena, FACT_ATTR, attr, value, reterr_error);
}
