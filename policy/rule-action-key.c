/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Action keys of a rule: which values they take, and what these mean; see rule-keys.h. */
#include "base/arena.h"
#include "base/macro.h"
#include "base/text.h"
#include "policy/mistake.h"
#include "policy/rule-keys.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

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

	if (rebind_from_string(value, &rule->rebind) >= 0)
		return 0;
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

/* A name or a number, which udev looks up; "" is fine. */
static bool is_account(const char *s)
{
	return *s != '-' &&
	       !s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")];
}

static bool is_mode(const char *s)
{
	const size_t n = strlen(s);

	return s[strspn(s, "01234567")] == '\0' && (n == 0 || n == 3 || (n == 4 && *s == '0'));
}

static int rule_set_access(struct rule *rule, struct arena *arena, const char *value,
			   const char **reterr_error)
{
	char *user = arena_strdup(arena, value), *group, *mode;

	if (rule->access.user)
		return rule_refuse(reterr_error, "Access= is given twice in this section");
	if (!user)
		return -ENOMEM;
	group = strchr(user, ':');
	mode = group ? strchr(group + 1, ':') : NULL;
	if (mode) {
		*group++ = '\0';
		*mode++ = '\0';
	}
	if (!mode || !is_account(user) || !is_account(group) || !is_mode(mode) ||
	    (!*user && !*group && !*mode))
		return rule_refuse(reterr_error,
				   arena_printf(arena,
						"Access= takes USER:GROUP:MODE, as qemu:kvm:0660, of which "
						"parts may be empty, not %s",
						quoted(arena, value)));
	rule->access = (struct rule_access){ user, group, mode };
	return 0;
}

int rule_set_action_key(struct rule *rule, struct arena *arena, const char *key, const char *value,
			const char **reterr_error)
{
	static const struct {
		const char *key;
		int (*set)(struct rule *rule, struct arena *arena, const char *value,
			   const char **reterr_error);
	} actions[] = {
		{ "Driver=", rule_set_driver }, { "Group=", rule_set_group },
		{ "Rebind=", rule_set_rebind }, { "Module=", rule_set_module },
		{ "Access=", rule_set_access },
	};

	for (size_t i = 0; i < ELEMENTSOF(actions); i++)
		if (strncmp(key, actions[i].key, strlen(key)) == 0 && actions[i].key[strlen(key)] == '=') {
			int r = mistake_in_action_value(arena, actions[i].key, value, reterr_error);

			return r < 0 ? r : actions[i].set(rule, arena, value, reterr_error);
		}
	return -ENOENT;
}
