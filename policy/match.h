/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether a rule matches a device. */
#pragma once

#include "policy/rule.h"

#include <stdbool.h>

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

/*
 * Whether a rule names the very place that the device is in (Name=, Path= or Firmware= without a pattern),
 * and means another device there: *ret is the first of its conditions that this one does not meet. What is
 * not known counts as met.
 */
bool rule_means_another_device(const struct rule *rule, struct device *device, const struct condition **ret);

/* Whether rule_means_another_device() can be so for any device: it names a place, and what is to be there. */
bool rule_names_place_and_device(const struct rule *rule);
