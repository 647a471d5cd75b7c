/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What can only be a mistake in a policy file, although its form is right: quotation marks, commas, words in
 * another case, names without a domain, … Such a rule would match nothing, or write a driver that nobody has,
 * in silence. Each refusal says what was meant.
 *
 * The functions return 0: no mistake found; -EINVAL: *reterr_error says what was meant, from the arena;
 * -ENOMEM.
 */
#pragma once

#include "base/arena.h"
#include "base/macro.h"
#include "policy/rule.h"

#include <stddef.h>

/* One value of a match key, n bytes at s. The attribute's name is given with FACT_ATTR. */
_must_check_ int mistake_in_match_value(struct arena *arena, enum fact fact, const char *attr, const char *s,
					size_t n, const char **reterr_error);

/* The name behind "Attr.": of a link in the device's folder. */
_must_check_ int mistake_in_attr_name(struct arena *arena, const char *name, const char **reterr_error);

/* The value of an action key, "Driver=" or "Group=" or another. */
_must_check_ int mistake_in_action_value(struct arena *arena, const char *key, const char *value,
					 const char **reterr_error);

/*
 * A whole rule, since whether a name must be a PCI address depends on its other keys. With -EINVAL,
 * *reterr_line is the line of the value.
 */
_must_check_ int mistake_in_names(const struct rule *rule, struct arena *arena, unsigned *reterr_line,
				  const char **reterr_error);
