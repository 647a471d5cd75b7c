/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keys and values of a rule: what is allowed, what it means; see rule.h. */
#include "rule.h"

#include <ctype.h>

static const char glob_special[] = "*?[";

static bool is_hex(char c)
{
	return isxdigit((unsigned char)c) != 0;
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

static int refuse(const char **ret_error, const char *text)
{
	*ret_error = text;
	return text ? -EINVAL : -ENOMEM;
}

bool driver_name_is_valid(const char *name)
{
	size_t n = strlen(name);

	if (n == 0 || n > DRIVER_NAME_MAX || streq(name, ".") || streq(name, ".."))
		return false;
	for (size_t i = 0; i < n; i++)
		if (name[i] < ' ' || name[i] > '~' || name[i] == '/')
			return false;
	return true;
}

void vfio_driver_of_bus(const char *bus, char buf[static DRIVER_NAME_MAX + 1])
{
	/* The s390 buses have theirs under other names; all others follow the pattern. */
	if (streq(bus, "ap"))
		bus = "vfio_ap";
	else if (streq(bus, "css"))
		bus = "vfio_ccw";
	else {
		(void)snprintf(buf, DRIVER_NAME_MAX + 1, "vfio-%s", bus);
		return;
	}
	(void)snprintf(buf, DRIVER_NAME_MAX + 1, "%s", bus);
}

bool driver_is_vfio(const char *driver)
{
	/* vfio-pci, vfio_ap, and the variant drivers: mlx5-vfio-pci, nvgrace-gpu-vfio-pci, … */
	return startswith(driver, "vfio-") || startswith(driver, "vfio_") || strstr(driver, "-vfio-") ||
		strstr(driver, "_vfio_");
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
		size_t n = strcspn(s, ":");
		bool glob = strcspn(s, glob_special) < n;

		if (n == 0 || (!glob && n != 4))
			return false;
		for (size_t i = 0; i < n; i++)
			if (!is_hex(s[i]) && !(glob && strchr("*?[]!^-", s[i])))
				return false;
		parts++;
		if (!s[n])
			break;
		s += n + 1;
	}
	return parts == 2 || parts == 4;
}

static bool class_is_valid(const char *s)
{
	size_t n = strlen(s);
	bool glob = s[strcspn(s, glob_special)] != '\0';

	if (!glob && n != 2 && n != 4 && n != 6)
		return false;
	for (; *s; s++)
		if (!is_hex(*s) && !(glob && strchr("*?[]!^-", *s)))
			return false;
	return true;
}

/* A PCI address or a glob for some: hexadecimal, hence compared without case. */
static bool looks_like_pci_address(const char *s)
{
	if (!strchr(s, ':'))
		return false;
	return s[strspn(s, "0123456789abcdefABCDEF:.*?[]!^-")] == '\0';
}

/* Rules hold their conditions in the order of enum fact, which is the order of what a fact costs. */
static struct condition *get_condition(struct rule *rule, struct arena *arena, enum fact fact, const char *attr)
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

static int add_pattern(struct condition *c, struct arena *arena, const char *s, size_t n)
{
	struct pattern *p = arena_alloc(arena, sizeof(*p)), **end;
	char *text = arena_strndup(arena, s, n);

	if (!p || !text)
		return -ENOMEM;
	p->text = text;
	p->length = (uint16_t)n;
	p->plain = (uint16_t)strcspn(text, glob_special);
	p->hash = value_hash(text, n);

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

	for (end = &c->any; *end; end = &(*end)->next)
		;
	*end = p;
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

static int set_match(struct rule *rule, struct arena *arena, enum fact fact, const char *attr,
	const char *value, const char **ret_error)
{
	static const char space[] = " \t";
	struct condition *c;
	size_t n;
	int r;

	value += strspn(value, space);
	if (!*value)
		return refuse(ret_error,
			arena_printf(arena, "%s%s needs a value", fact_key(fact), attr ? attr : ""));

	c = get_condition(rule, arena, fact, attr);
	if (!c)
		return -ENOMEM;

	for (; *value; value += strspn(value, space)) {
		char *one;

		n = strcspn(value, space);
		one = arena_strndup(arena, value, n);
		if (!one)
			return -ENOMEM;
		if (fact == FACT_ID && !id_is_valid(one))
			return refuse(ret_error,
				arena_printf(arena,
					"Id= takes vendor:device or vendor:device:subvendor:subdevice, four hex "
					"digits each as lspci -nn prints them, not %s",
					quoted(arena, one)));
		if (fact == FACT_CLASS && !class_is_valid(one))
			return refuse(ret_error,
				arena_printf(arena, "Class= takes two, four or six hex digits, not %s",
					quoted(arena, one)));
		r = add_pattern(c, arena, one, n);
		if (r < 0)
			return r;
		value += n;
	}
	return 0;
}

static int set_driver(struct rule *rule, struct arena *arena, const char *value, const char **ret_error)
{
	if (rule->driver.kind != DRIVER_UNSET)
		return refuse(ret_error, "Driver= is given twice in this section");

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
		return refuse(ret_error,
			arena_printf(arena,
				"Driver= takes the name of a driver, none, default or vfio, not %s",
				quoted(arena, value)));
	return 0;
}

static int set_group(struct rule *rule, struct arena *arena, const char *value, const char **ret_error)
{
	if (rule->group != GROUP_UNSET)
		return refuse(ret_error, "Group= is given twice in this section");

	if (streq(value, "leave"))
		rule->group = GROUP_LEAVE;
	else if (streq(value, "hold"))
		rule->group = GROUP_HOLD;
	else if (streq(value, "default") || !driver_name_is_valid(value))
		return refuse(ret_error,
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

static int set_rebind(struct rule *rule, struct arena *arena, const char *value, const char **ret_error)
{
	if (rule->rebind != REBIND_UNSET)
		return refuse(ret_error, "Rebind= is given twice in this section");

	for (enum rebind i = REBIND_NO; i <= REBIND_FORCE; i++)
		if (streq(value, rebind_to_string(i))) {
			rule->rebind = i;
			return 0;
		}
	return refuse(ret_error,
		arena_printf(arena, "Rebind= takes no, safe or force, not %s", quoted(arena, value)));
}

static int set_module(struct rule *rule, struct arena *arena, const char *value, const char **ret_error)
{
	size_t n = strlen(value);

	if (rule->module)
		return refuse(ret_error, "Module= is given twice in this section");

	/* It becomes a word of udev's `kmod load`, so nothing that udev or kmod would take for more. */
	if (n == 0 || n > DRIVER_NAME_MAX ||
		value[strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+.")] ||
		value[0] == '-' || value[0] == '.')
		return refuse(ret_error,
			arena_printf(arena, "Module= takes the name of a module, not %s", quoted(arena, value)));
	rule->module = arena_strdup(arena, value);
	return rule->module ? 0 : -ENOMEM;
}

int rule_set(struct rule *rule, struct arena *arena, const char *key, const char *value,
	const char **ret_error)
{
	static const struct {
		const char *key;
		int (*set)(struct rule *rule, struct arena *arena, const char *value, const char **ret_error);
	} actions[] = {
		{ "Driver", set_driver },
		{ "Group", set_group },
		{ "Rebind", set_rebind },
		{ "Module", set_module },
	};
	const char *attr = startswith(key, "Attr.");

	rule->id = fnv1a(rule->id, key, strlen(key) + 1);
	rule->id = fnv1a(rule->id, value, strlen(value) + 1);

	for (size_t i = 0; i < ELEMENTSOF(actions); i++)
		if (streq(key, actions[i].key))
			return actions[i].set(rule, arena, value, ret_error);

	for (enum fact f = FACT_BUS; f < FACT_ATTR; f++) {
		const char *name = fact_key(f);
		size_t n = strlen(name) - 1; /* without the "=" */

		if (strncmp(key, name, n) == 0 && key[n] == '\0')
			return set_match(rule, arena, f, NULL, value, ret_error);
	}

	if (attr) {
		if (!attr_name_is_valid(attr))
			return refuse(ret_error,
				arena_printf(arena, "%s cannot be matched: no attribute to compare with",
					quoted(arena, key)));
		return set_match(rule, arena, FACT_ATTR, attr, value, ret_error);
	}

	return refuse(ret_error,
		arena_printf(arena, "unknown key %s; see driver-overrides.d(5)", quoted(arena, key)));
}

int rule_finish(struct rule *rule, struct arena *arena, const char **ret_error)
{
	if (rule->driver.kind == DRIVER_UNSET)
		return refuse(ret_error,
			arena_printf(arena, "[device %s] has no Driver=; Driver=none keeps all drivers away",
				rule->label));
	if (!rule->conditions)
		return refuse(ret_error,
			arena_printf(arena,
				"[device %s] has no match key (Name=, Path=, Id=, …) and would match every device; "
				"Bus=* says so on purpose",
				rule->label));

	if (rule->group == GROUP_UNSET) {
		bool vfio = rule->driver.kind == DRIVER_VFIO ||
			(rule->driver.kind == DRIVER_NAMED && driver_is_vfio(rule->driver.name));

		rule->group = vfio ? GROUP_HOLD : GROUP_LEAVE;
	}
	if (rule->rebind == REBIND_UNSET)
		rule->rebind = REBIND_SAFE;
	return 0;
}
