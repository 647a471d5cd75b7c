/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The other members of a device's IOMMU group about which the policy decides as well. */
#pragma once

#include "../policy/decide.h"

/*
 * Applies what was decided about them, in decision->members, as apply_decision() does: nothing is unbound. 0
 * or -ENOMEM.
 */
int apply_companions(const struct decision *decision);
