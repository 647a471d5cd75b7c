/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A section's lines become a rule, one key after the other; see rule-keys.h. */
#include "policy/rule-keys.h"
#include "base/arena.h"
#include "base/text.h"
#include "policy/mistake.h"
#include "policy/vfio-driver.h"

#include <errno.h>
#include <stdbool.h>

int rule_set(struct rule *rule, struct arena *arena, const char *key, const char *value,
	     const char **reterr_error)
{
	int r = rule_set_match_key(rule, arena, key, value, reterr_error);

	if (r == -ENOENT)
		r = rule_set_action_key(rule, arena, key, value, reterr_error);
	if (r != -ENOENT)
		return r;
	return rule_refuse(reterr_error, arena_printf(arena, "unknown key %s; see driver-overrides.d(5)",
						      quoted(arena, key)));
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
