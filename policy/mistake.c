/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Values that can only be mistakes; see mistake.h. */
#include "policy/mistake.h"
#include "base/arena.h"
#include "base/macro.h"
#include "base/text.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

static int mistake_refuse(const char **reterr_error, const char *text)
{
	*reterr_error = text;
	return text ? -EINVAL : -ENOMEM;
}

static bool is_quotation_mark(char c)
{
	return c == '"' || c == '\'';
}

static int mistake_in_quotation(struct arena *arena, const char *key, const char *s, size_t n,
				const char **reterr_error)
{
	if (n == 0 || !(is_quotation_mark(s[0]) || is_quotation_mark(s[n - 1])))
		return 0;
	return mistake_refuse(reterr_error,
			      arena_printf(arena, "%s takes values without quotation marks, not %s", key,
					   quoted(arena, arena_strndup(arena, s, n))));
}

/* Names and device-tree strings may contain a comma, so only one at the edge of such a value is a mistake. */
static bool has_separating_comma(enum fact fact, const char *s, size_t n)
{
	if (s[0] == ',' || s[n - 1] == ',')
		return true;
	return (fact == FACT_BUS || fact == FACT_ID || fact == FACT_CLASS || fact == FACT_PATH) &&
	       memchr(s, ',', n);
}

/* How many bytes at s are a PCI address; 0: none begins here. */
static size_t pci_address_length(const char *s)
{
	static const char hex[] = "0123456789abcdefABCDEF";
	size_t n = strspn(s, hex);

	if (n < 4 || n > 8 || s[n] != ':' || strspn(s + n + 1, hex) != 2 || s[n + 3] != ':' ||
	    strspn(s + n + 4, hex) != 2 || s[n + 6] != '.' || s[n + 7] < '0' || s[n + 7] > '7')
		return 0;
	return n + 8;
}

/* "pci0000:00/1c.0" of "/sys/devices/pci0000:00/0000:00:1c.0": what was meant, if a host bridge begins it. */
static const char *path_suggestion(struct arena *arena, const char *s)
{
	const char *from = strstr(s, "pci");
	char *text, *to;

	if (!from || (from > s && from[-1] != '/'))
		return NULL;
	text = to = arena_alloc(arena, strlen(from) + 1);
	if (!text)
		return NULL;
	for (;;) {
		size_t n = strcspn(from, "/"), address = pci_address_length(from);

		if (n > 0 && address == n)
			to = mempcpy(to, from + n - 4, 4); /* "1c.0" */
		else
			to = mempcpy(to, from, n);
		from += n;
		from += strspn(from, "/");
		if (!*from)
			break;
		*to++ = '/';
	}
	*to = '\0';
	return text;
}

static int mistake_in_path(struct arena *arena, const char *text, const char **reterr_error)
{
	bool wrong = text[0] == '/' || startswith(text, "sys/") || startswith(text, "devices/") ||
		     startswith(text, "bus/pci/");
	const char *meant;

	for (const char *s = text; !wrong && *s; s += strcspn(s, "/"), s += strspn(s, "/"))
		wrong = pci_address_length(s) > 0;
	if (!wrong)
		return 0;
	meant = path_suggestion(arena, text);
	return mistake_refuse(
		reterr_error,
		arena_printf(
			arena,
			"Path= takes the topological path, as overridectl explain prints it, without bus "
			"numbers: %s, not %s",
			meant ? meant : "for example pci0000:00/1c.0/00.0", quoted(arena, text)));
}

int mistake_in_match_value(struct arena *arena, enum fact fact, const char *attr, const char *s, size_t n,
			   const char **reterr_error)
{
	/* A few comparisons for each of a thousand rules' values; texts are made for a mistake only. */
	const char *text;

	if (is_quotation_mark(s[0]) || is_quotation_mark(s[n - 1])) {
		const char *key = arena_printf(arena, "%s%s", fact_key(fact), attr ? attr : "");

		return key ? mistake_in_quotation(arena, key, s, n, reterr_error) : -ENOMEM;
	}
	if (has_separating_comma(fact, s, n))
		return mistake_refuse(
			reterr_error,
			arena_printf(
				arena, "%s%s takes several values with blanks between them, not commas: %s",
				fact_key(fact), attr ? attr : "", quoted(arena, arena_strndup(arena, s, n))));
	if (fact == FACT_BUS && n == 3 && strncasecmp(s, "pci", 3) == 0 && strncmp(s, "pci", 3) != 0)
		return mistake_refuse(reterr_error, arena_printf(arena, "Bus= is case-sensitive: pci, not %s",
								 quoted(arena, arena_strndup(arena, s, n))));
	if (fact != FACT_PATH)
		return 0;
	text = arena_strndup(arena, s, n);
	return text ? mistake_in_path(arena, text, reterr_error) : -ENOMEM;
}

int mistake_in_attr_name(struct arena *arena, const char *name, const char **reterr_error)
{
	static const struct {
		const char *name;
		const char *meant; /* NULL: nothing compares with it */
	} links[] = {
		{ "driver", NULL },
		{ "subsystem", "Bus=" },
		{ "physfn", "PhysFn=" },
		{ "firmware_node", "Firmware=" },
		{ "of_node", "Firmware= or Compatible=" },
		{ "iommu_group", NULL },
		{ "iommu", NULL },
		{ "virtfn*", NULL },
		{ "supplier:*", NULL },
		{ "consumer:*", NULL },
	};

	for (size_t i = 0; i < ELEMENTSOF(links); i++)
		if (fnmatch(links[i].name, name, FNM_NOESCAPE) == 0)
			return mistake_refuse(
				reterr_error,
				arena_printf(arena,
					     "Attr.%s is a link of the device and no attribute, so it would "
					     "match nothing%s%s%s",
					     name, links[i].meant ? "; " : "",
					     links[i].meant ? links[i].meant : "",
					     links[i].meant ? " compares with what it leads to" : ""));
	return 0;
}

/* A word that is no driver and does not stand in this key. */
static int mistake_in_word(struct arena *arena, const char *key, const char *value, const char **reterr_error)
{
	static const char *const words[] = { "none",  "default", "vfio",  "hold",
					     "leave", "safe",	 "force", "vfio-pci" };
	static const char *const switches[] = { "yes", "no", "true", "false", "on", "off" };
	bool is_driver = streq(key, "Driver=");

	for (size_t i = 0; i < ELEMENTSOF(words); i++) {
		const char *word = words[i];

		if (strcasecmp(value, word) != 0)
			continue;
		if (streq(word, "safe") || streq(word, "force"))
			return mistake_refuse(reterr_error,
					      arena_printf(arena, "%s is a word of Rebind=, not of %s",
							   quoted(arena, word), key));
		if (is_driver && (streq(word, "hold") || streq(word, "leave")))
			return mistake_refuse(reterr_error,
					      arena_printf(arena, "%s is a word of Group=, not of Driver=",
							   quoted(arena, word)));
		if (!streq(value, word))
			return mistake_refuse(reterr_error,
					      arena_printf(arena, "%s is case-sensitive: %s, not %s", key,
							   word, quoted(arena, value)));
	}
	for (size_t i = 0; i < ELEMENTSOF(switches); i++)
		if (strcasecmp(value, switches[i]) == 0)
			return mistake_refuse(
				reterr_error,
				arena_printf(
					arena,
					is_driver ? "Driver= takes the name of a driver, none, default or "
						    "vfio, not %s; none keeps all drivers away"
						  : "Group= takes leave, hold, none, vfio or the name of a "
						    "driver, not %s; leave lets the group alone",
					quoted(arena, value)));
	return 0;
}

/* "vfio-pci, nouveau", "none,default": a driver's name may have a comma inside, but no such word has. */
static int mistake_in_list(struct arena *arena, const char *key, const char *value, const char **reterr_error)
{
	static const char *const words[] = { "none", "default", "vfio", "hold", "leave", "vfio-pci" };
	const char *comma = strchr(value, ',');
	bool wrong = comma && (comma[1] == '\0' || comma[1] == ' ' || comma[1] == '\t' || comma == value);

	for (const char *s = value; comma && !wrong && *s; s += *s == ',') {
		size_t n = strcspn(s, ",");

		for (size_t i = 0; i < ELEMENTSOF(words); i++)
			wrong = wrong || (n == strlen(words[i]) && strncasecmp(s, words[i], n) == 0);
		s += n;
	}
	if (!wrong)
		return 0;
	return mistake_refuse(reterr_error, arena_printf(arena, "%s takes one value, not a list: %s", key,
							 quoted(arena, value)));
}

int mistake_in_action_value(struct arena *arena, const char *key, const char *value,
			    const char **reterr_error)
{
	int r = mistake_in_quotation(arena, key, value, strlen(value), reterr_error);

	if (r == 0)
		r = mistake_in_list(arena, key, value, reterr_error);
	if (r == 0 && (streq(key, "Driver=") || streq(key, "Group=")))
		r = mistake_in_word(arena, key, value, reterr_error);
	return r;
}

/* Whether one of the characters that may stand in that place of a name fits the part of a glob that is n
 * long. */
static bool glob_part_fits(const char *part, size_t n, char place)
{
	const char *may = place == 'x' ? "0123456789abcdef" : place == 'o' ? "01234567" : NULL;
	const char one[] = { place, '\0' };
	char pattern[256], c[2] = "";

	if (n >= sizeof(pattern))
		return true;
	memcpy(pattern, part, n);
	pattern[n] = '\0';
	for (const char *s = may ? may : one; *s; s++) {
		c[0] = *s;
		if (fnmatch(pattern, c, FNM_NOESCAPE | FNM_CASEFOLD) == 0)
			return true;
	}
	return false;
}

/* How long the part of a glob is that stands for one character. */
static size_t glob_part_length(const char *s)
{
	const char *end;

	if (*s != '[')
		return 1;
	end = s + 1;
	if (*end == '!' || *end == '^')
		end++;
	if (*end == ']')
		end++;
	for (; *end && *end != ']'; end++)
		if (end[0] == '[' && (end[1] == ':' || end[1] == '.' || end[1] == '=')) {
			const char close[] = { end[1], ']', '\0' }, *after = strstr(end + 2, close);

			if (after)
				end = after + 1;
		}
	return *end ? (size_t)(end + 1 - s) : 1;
}

/*
 * Whether a glob can match a name of that shape: x for a hexadecimal digit, o for an octal one. Each place of
 * the shape is independent of the others, so that only the last * needs to be tried again.
 */
static bool glob_fits_shape(const char *glob, const char *shape)
{
	const char *star = NULL, *again = NULL;

	while (*shape) {
		size_t n = glob_part_length(glob);

		if (*glob == '*') {
			star = ++glob;
			again = shape;
		} else if (*glob && glob_part_fits(glob, n, *shape)) {
			glob += n;
			shape++;
		} else if (star) {
			glob = star;
			shape = ++again;
		} else
			return false;
	}
	return glob[strspn(glob, "*")] == '\0';
}

static bool can_be_pci_address(const char *text)
{
	/* A domain has four digits or, behind a host bridge such as VMD, more. */
	static const char *const shapes[] = { "xxxx:xx:xx.o", "xxxxx:xx:xx.o", "xxxxxx:xx:xx.o",
					      "xxxxxxx:xx:xx.o", "xxxxxxxx:xx:xx.o" };

	if (pci_address_length(text) == strlen(text))
		return true;
	for (size_t i = 0; i < ELEMENTSOF(shapes); i++)
		if (glob_fits_shape(text, shapes[i]))
			return true;
	return false;
}

/* A name that is no PCI address but was meant as one: 01:00.0, 0000:01:00, 1:0.0, 0000:01:00.0,0000:02:00.0.
 */
static bool resembles_pci_address(const char *text)
{
	static const char *const shapes[] = { "xx:xx.o", "x:x.o", "x:xx.o", "xx:x.o", "xxxx:xx:xx" };
	size_t n = pci_address_length(text);

	if (n > 0 && text[n] == ',')
		return true;
	if (strpbrk(text, "*?["))
		return false;
	for (size_t i = 0; i < ELEMENTSOF(shapes); i++)
		if (glob_fits_shape(text, shapes[i]))
			return true;
	return false;
}

enum rule_bus {
	RULE_BUS_UNSAID,
	RULE_BUS_PCI,
	RULE_BUS_OTHER, /* another, or one of several */
};

static enum rule_bus rule_find_bus(const struct rule *rule)
{
	for (const struct condition *c = rule->conditions; c; c = c->next)
		switch (c->fact) {
		case FACT_BUS:
			return c->any && !c->any->next && streq(c->any->text, "pci") ? RULE_BUS_PCI
										     : RULE_BUS_OTHER;
		case FACT_ID:
		case FACT_CLASS:
		case FACT_PATH:
		case FACT_PHYSFN:
			return RULE_BUS_PCI; /* no device of another bus has it */
		case FACT_NAME:
		case FACT_ANCESTOR:
		case FACT_MODALIAS:
		case FACT_FIRMWARE:
		case FACT_COMPATIBLE:
		case FACT_ATTR:
		case FACT_COUNT:
			break;
		}
	return RULE_BUS_UNSAID;
}

static const char *name_error(struct arena *arena, enum fact fact, const char *text)
{
	if (glob_fits_shape(text, "xx:xx.o") && !strpbrk(text, "*?["))
		return arena_printf(arena, "%s takes a name of sysfs, with the domain: 0000:%s, not %s",
				    fact_key(fact), text, quoted(arena, text));
	if (strchr(text, ','))
		return arena_printf(arena, "%s takes several values with blanks between them, not commas: %s",
				    fact_key(fact), quoted(arena, text));
	return arena_printf(arena,
			    "%s takes a name of sysfs, on pci domain:bus:device.function such as "
			    "0000:01:00.0, not %s",
			    fact_key(fact), quoted(arena, text));
}

int mistake_in_names(const struct rule *rule, struct arena *arena, unsigned *reterr_line,
		     const char **reterr_error)
{
	enum rule_bus bus = rule_find_bus(rule);

	if (bus == RULE_BUS_OTHER)
		return 0;
	for (const struct condition *c = rule->conditions; c; c = c->next) {
		/* The ancestors of a PCI device are of any kind: host bridges, platform devices, … */
		bool is_address = bus == RULE_BUS_PCI && (c->fact == FACT_NAME || c->fact == FACT_PHYSFN);

		if (c->fact != FACT_NAME && c->fact != FACT_ANCESTOR && c->fact != FACT_PHYSFN)
			continue;
		for (const struct pattern *p = c->any; p; p = p->next)
			if (is_address ? !can_be_pci_address(p->text) : resembles_pci_address(p->text)) {
				*reterr_line = p->line;
				return mistake_refuse(reterr_error, name_error(arena, c->fact, p->text));
			}
	}
	return 0;
}
