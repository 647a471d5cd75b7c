/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The keys of a rule. Match keys (rule-match-key.c) say which devices are meant, action keys
 * (rule-action-key.c) what is done with them.
 */
#pragma once

#include "base/arena.h"
#include "base/macro.h"
#include "policy/rule.h"

#include <errno.h>

/*
 * Takes in one `key=value` line of a rule. Memory comes from the arena.
 * 0: taken; -EINVAL: *reterr_error says what is wrong with it, from the arena; -ENOMEM.
 */
_must_check_ int rule_set(struct rule *rule, struct arena *arena, const char *key, const char *value,
			  const char **reterr_error);

/*
 * A rule whose section has ended: what is still missing, or contradicts itself, is an error (as rule_set(),
 * of the line rule->line_at_hand); defaults are filled in.
 */
_must_check_ int rule_finish(struct rule *rule, struct arena *arena, const char **reterr_error);

/* For rule_set() alone, each for the keys of one kind. As rule_set(), and -ENOENT: there is no such key. */
_must_check_ int rule_set_match_key(struct rule *rule, struct arena *arena, const char *key,
				    const char *value, const char **reterr_error);
_must_check_ int rule_set_action_key(struct rule *rule, struct arena *arena, const char *key,
				     const char *value, const char **reterr_error);

/* What refuses a key or a value returns this. `text` is from the arena; NULL: there was no memory for it. */
_must_check_ static inline int rule_refuse(const char **reterr_error, const char *text)
{
	*reterr_error = text;
	return text ? -EINVAL : -ENOMEM;
}
