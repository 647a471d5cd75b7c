/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keys and values of a rule: what is allowed, what it means; see rule.h. */
#include "policy/rule.h"
#include "base/arena.h"
#include "base/hash.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "policy/mistake.h"
#include "policy/vfio-driver.h"

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

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
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

static int rule_refuse(const char **reterr_error, const char *text)
{
	*reterr_error = text;
	return text ? -EINVAL : -ENOMEM;
}

bool driver_name_is_valid(const char *name)
{
	size_t n = strlen(name);

	/* What an unset override reads as can be no driver's name. */
	if (n == 0 || n > DRIVER_NAME_MAX || streq(name, ".") || streq(name, "..") || streq(name, "(null)"))
		return false;
	for (size_t i = 0; i < n; i++)
		if (name[i] < ' ' || name[i] > '~' || name[i] == '/')
			return false;
	return true;
}

const char *rebind_to_string(enum rebind rebind)
{
	switch (rebind) {
	case REBIND_NO:
		return "no";
	case REBIND_SAFE:
		return "safe";
	case REBIND_FORCE:
		return "force";
	case REBIND_UNSET:
		break;
	}
	return "";
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

static int rule_set_driver(struct rule *rule, struct arena *arena, const char *value,
			   const char **reterr_error)
{
	if (rule->driver.kind != DRIVER_UNSET)
		return rule_refuse(reterr_error, "Driver= is given twice in this section");

	if (streq(value, "none"))
		rule->driver.kind = DRIVER_NONE;
	else if (streq(value, "default"))
		rule->driver.kind = DRIVER_DEFAULT;
	else if (streq(value, "vfio"))
		rule->driver.kind = DRIVER_VFIO;
	else if (driver_name_is_valid(value)) {
		rule->driver.kind = DRIVER_NAMED;
		rule->driver.name = arena_strdup(arena, value);
		if (!rule->driver.name)
			return -ENOMEM;
	} else
		return rule_refuse(
			reterr_error,
			arena_printf(arena,
				     "Driver= takes the name of a driver, none, default or vfio, not %s",
				     quoted(arena, value)));
	return 0;
}

static int rule_set_group(struct rule *rule, struct arena *arena, const char *value,
			  const char **reterr_error)
{
	if (rule->group != GROUP_UNSET)
		return rule_refuse(reterr_error, "Group= is given twice in this section");

	if (streq(value, "leave"))
		rule->group = GROUP_LEAVE;
	else if (streq(value, "hold"))
		rule->group = GROUP_HOLD;
	else if (streq(value, "default") || !driver_name_is_valid(value))
		return rule_refuse(
			reterr_error,
			arena_printf(arena,
				     "Group= takes leave, hold, none, vfio or the name of a driver, not %s",
				     quoted(arena, value)));
	else {
		rule->group = GROUP_GIVE;
		if (streq(value, "none"))
			rule->group_driver.kind = DRIVER_NONE;
		else if (streq(value, "vfio"))
			rule->group_driver.kind = DRIVER_VFIO;
		else {
			rule->group_driver.kind = DRIVER_NAMED;
			rule->group_driver.name = arena_strdup(arena, value);
			if (!rule->group_driver.name)
				return -ENOMEM;
		}
	}
	return 0;
}

static int rule_set_rebind(struct rule *rule, struct arena *arena, const char *value,
			   const char **reterr_error)
{
	if (rule->rebind != REBIND_UNSET)
		return rule_refuse(reterr_error, "Rebind= is given twice in this section");

	for (enum rebind i = REBIND_NO; i <= REBIND_FORCE; i++)
		if (streq(value, rebind_to_string(i))) {
			rule->rebind = i;
			return 0;
		}
	return rule_refuse(reterr_error, arena_printf(arena, "Rebind= takes no, safe or force, not %s",
						      quoted(arena, value)));
}

static int rule_set_module(struct rule *rule, struct arena *arena, const char *value,
			   const char **reterr_error)
{
	size_t n = strlen(value);

	if (rule->module)
		return rule_refuse(reterr_error, "Module= is given twice in this section");

	/* It becomes a word of udev's `kmod load`, so nothing that udev or kmod would take for more. */
	if (n == 0 || n > DRIVER_NAME_MAX ||
	    value[strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+.")] ||
	    value[0] == '-' || value[0] == '.')
		return rule_refuse(reterr_error,
				   arena_printf(arena, "Module= takes the name of a module, not %s",
						quoted(arena, value)));
	rule->module = arena_strdup(arena, value);
	return rule->module ? 0 : -ENOMEM;
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

int rule_set(struct rule *rule, struct arena *arena, const char *key, const char *value,
	     const char **reterr_error)
{
	static const struct {
		const char *key;
		int (*set)(struct rule *rule, struct arena *arena, const char *value,
			   const char **reterr_error);
	} actions[] = {
		{ "Driver=", rule_set_driver },
		{ "Group=", rule_set_group },
		{ "Rebind=", rule_set_rebind },
		{ "Module=", rule_set_module },
	};
	enum fact fact = fact_of_key(key);
	const char *attr;
	int r;

	if (fact != FACT_COUNT)
		return rule_set_match(rule, arena, fact, NULL, value, reterr_error);
	for (size_t i = 0; i < ELEMENTSOF(actions); i++)
		if (strncmp(key, actions[i].key, strlen(key)) == 0 && actions[i].key[strlen(key)] == '=') {
			r = mistake_in_action_value(arena, actions[i].key, value, reterr_error);
			return r < 0 ? r : actions[i].set(rule, arena, value, reterr_error);
		}

	attr = startswith(key, "Attr.");
	if (attr) {
		if (!attr_name_is_valid(attr))
			return rule_refuse(reterr_error,
					   arena_printf(arena,
							"%s cannot be matched: no attribute to compare with",
							quoted(arena, key)));
		r = mistake_in_attr_name(arena, attr, reterr_error);
		return r < 0 ? r : rule_set_match(rule, arena, FACT_ATTR, attr, value, reterr_error);
	}

	return rule_refuse(reterr_error, arena_printf(arena, "unknown key %s; see driver-overrides.d(5)",
						      quoted(arena, key)));
}

uint64_t rule_id(const struct rule *rule)
{
	uint64_t id = fnv1a(FNV_BASIS, rule->file, strlen(rule->file) + 1);
	const char *end = rule->text + rule->text_size;

	/* Comments and blank lines say nothing, wherever they stand: what was decided holds on. */
	for (const char *line = rule->text; line < end;) {
		const char *newline = memchr(line, '\n', (size_t)(end - line)),
			   *next = newline ? newline + 1 : end;
		const char *stop = newline ? newline : end;

		while (stop > line && (is_blank(stop[-1]) || stop[-1] == '\r'))
			stop--;
		while (line < stop && is_blank(*line))
			line++;
		if (line < stop && *line != '#' && *line != ';') {
			id = fnv1a(id, line, (size_t)(stop - line));
			id = fnv1a(id, "\n", 1);
		}
		line = next;
	}
	return id ? id : 1;
}

int rule_finish(struct rule *rule, struct arena *arena, const char **reterr_error)
{
	int r;

	rule->line_at_hand = rule->line;
	if (rule->driver.kind == DRIVER_UNSET)
		return rule_refuse(
			reterr_error,
			arena_printf(arena, "[device %s] has no Driver=; Driver=none keeps all drivers away",
				     rule->label));
	if (!rule->conditions)
		return rule_refuse(reterr_error,
				   arena_printf(arena,
						"[device %s] has no match key (Name=, Path=, Id=, …) and "
						"would match every device; "
						"Bus=* says so on purpose",
						rule->label));
	r = mistake_in_names(rule, arena, &rule->line_at_hand, reterr_error);
	if (r < 0)
		return r;

	if (rule->group == GROUP_UNSET) {
		bool vfio = rule->driver.kind == DRIVER_VFIO ||
			    (rule->driver.kind == DRIVER_NAMED && driver_is_vfio(rule->driver.name));

		rule->group = vfio ? GROUP_HOLD : GROUP_LEAVE;
	}
	if (rule->rebind == REBIND_UNSET)
		rule->rebind = REBIND_SAFE;
	return 0;
}

void rule_source(const struct rule *rule, char *buf, size_t size)
{
	char line[16];

	buf[0] = '\0';
	if (rule)
		(void)path_join(buf, size, rule->file, ":", number_to_text(rule->line, line), NULL);
}
