/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether a rule matches a device. */
#pragma once

#include "policy/rule.h"

enum match {
	MATCH_NO,
	MATCH_YES,
	MATCH_UNKNOWN, /* depends on a fact that is not known yet */
};

/*
 * Compares all conditions, cheapest fact first, and stops at the first that does not hold. With
 * MATCH_UNKNOWN *reterr_missing, where given, says what is not known; else it is left alone.
 */
enum match rule_match(const struct rule *rule, struct device *device, struct missing *reterr_missing);
