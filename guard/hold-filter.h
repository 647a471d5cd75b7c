/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which devices a policy can match, as far as the kernel can tell without asking: it waits for these only.
 *
 * A rule that has a Name=, Id= or Class= whose values are literal, or begin with enough that is, can match
 * only devices with one of these values. On a bus where some rule has none of them, the kernel waits for
 * every device. What is said of a group stands in bpf/filter.bpf.h.
 */
#pragma once

#include "base/arena.h"
#include "base/array.h"
#include "base/macro.h"
#include "policy/policy.h"

#include <stddef.h>
#include <stdint.h>

struct hold_filter_bus {
	const char *name;
	uint8_t flags;		 /* enum hold_bus_flags */
	const struct rule *open; /* with HOLD_EVERY: the rule because of which it is so */
};

struct hold_filter {
	struct hold_filter_bus *buses;
	size_t n_buses;
	uint64_t *keys; /* HOLD_FILTER_KEY()s, in order, none twice */
	size_t n_keys;
};

/* For these buses, in the arena; rules are borrowed from the policy. 0 or -ENOMEM. */
_must_check_ int hold_filter_compile(const struct policy *policy, const struct strings *buses,
				     struct arena *arena, struct hold_filter *ret);

/* "on", or on which buses it is off, and because of which rules: "off on pci (FILE:LINE)". */
void hold_filter_text(const struct hold_filter *filter, char *buf, size_t size);
