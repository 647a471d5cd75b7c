/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A policy becomes keys; see hold-filter.h. */
#include "guard/hold-filter.h"
#include "base/text.h"
#include "guard/bpf/hold-abi.h"
#include "guard/buses.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Keys as they are found: unsorted, some of them twice. */
struct filter_keys {
	uint64_t *v;
	size_t n, allocated;
};

static int filter_keys_add(struct filter_keys *keys, uint64_t key)
{
	int r = array_reserve(keys->v, keys->allocated, keys->n);

	if (r >= 0)
		keys->v[keys->n++] = key;
	return r;
}

/* The first n characters of s are hexadecimal digits: their value. False: they are not. */
static bool hex_value(const char *s, size_t n, unsigned *ret)
{
	char digits[9], *end;

	if (n == 0 || n >= sizeof(digits) || strspn(s, "0123456789abcdefABCDEF") < n)
		return false;
	memcpy(digits, s, n);
	digits[n] = '\0';
	*ret = (unsigned)strtoul(digits, &end, 16);
	return true;
}

/* The flag of the key that a name has to have; 0: none can be told. */
static unsigned name_key(const struct pattern *p, uint64_t *ret)
{
	char name[sizeof(((struct hold_key *)NULL)->name)] = {};
	const bool is_literal = p->plain == p->length;

	if (!is_literal && p->plain < HOLD_HEAD)
		return 0;
	/* Names are cut off in the programs, too. */
	memcpy(name, p->text, p->plain < sizeof(name) ? p->plain : sizeof(name) - 1);
	*ret = is_literal ? hold_filter_name(name) : hold_filter_head(name);
	return is_literal ? HOLD_NAMES : HOLD_HEADS;
}

/* "10de:1b80", perhaps with more behind, or "10de:*". */
static unsigned id_key(const struct pattern *p, uint64_t *ret)
{
	unsigned vendor, device;

	if (p->plain < 5 || p->text[4] != ':' || !hex_value(p->text, 4, &vendor))
		return 0;
	if (p->plain >= 9 && hex_value(p->text + 5, 4, &device)) {
		*ret = HOLD_FILTER_ID(vendor, device);
		return HOLD_IDS;
	}
	*ret = HOLD_FILTER_VENDOR(vendor);
	return HOLD_VENDORS;
}

/* A class is named by its first two, four or all six digits. */
static unsigned class_key(const struct pattern *p, uint64_t *ret)
{
	const size_t digits = p->plain < 6 ? p->plain / 2 * 2 : 6;
	unsigned class;

	if (!hex_value(p->text, digits, &class))
		return 0;
	*ret = HOLD_FILTER_CLASS(digits, class);
	return HOLD_CLASSES;
}

static unsigned pattern_key(enum fact fact, const struct pattern *p, uint64_t *ret)
{
	switch (fact) {
	case FACT_NAME:
		return name_key(p, ret);
	case FACT_ID:
		return id_key(p, ret);
	case FACT_CLASS:
		return class_key(p, ret);
	case FACT_BUS:
	case FACT_ANCESTOR:
	case FACT_PATH:
	case FACT_MODALIAS:
	case FACT_PHYSFN:
	case FACT_FIRMWARE:
	case FACT_COMPATIBLE:
	case FACT_ATTR:
	case FACT_COUNT:
		break;
	}
	return 0;
}

/* One of these keys has every device that meets the condition. Their flags; 0: not known for each value. */
static unsigned condition_flags(const struct condition *c)
{
	unsigned flags = 0;

	for (const struct pattern *p = c->any; p; p = p->next) {
		uint64_t key;
		const unsigned flag = pattern_key(c->fact, p, &key);

		if (!flag)
			return 0;
		flags |= flag;
	}
	return flags;
}

/* The condition that fewest devices meet, as far as that can be told from its kind. NULL: none has keys. */
static const struct condition *rule_condition_with_keys(const struct rule *rule, unsigned *ret_flags)
{
	static const unsigned wide = HOLD_HEADS | HOLD_VENDORS | HOLD_CLASSES;
	const struct condition *best = NULL;

	for (const struct condition *c = rule->conditions; c; c = c->next) {
		const unsigned flags = condition_flags(c);

		if (flags && (!best || ((*ret_flags & wide) && !(flags & wide)))) {
			best = c;
			*ret_flags = flags;
		}
	}
	return best;
}

static int filter_add_rule(struct hold_filter *filter, struct filter_keys *keys, const struct rule *rule)
{
	unsigned flags = HOLD_EVERY;
	const struct condition *c = rule_condition_with_keys(rule, &flags);

	for (size_t i = 0; i < filter->n_buses; i++) {
		struct hold_filter_bus *bus = &filter->buses[i];

		if (!rule_may_match_bus(rule, bus->name))
			continue;
		bus->flags |= (uint8_t)flags;
		if (!c && !bus->open)
			bus->open = rule;
	}
	for (const struct pattern *p = c ? c->any : NULL; p; p = p->next) {
		uint64_t key;

		if (pattern_key(c->fact, p, &key) && filter_keys_add(keys, key) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int compare_keys(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Into the arena, in order. */
static int filter_take_keys(struct hold_filter *filter, const struct filter_keys *keys, struct arena *arena)
{
	filter->keys = arena_alloc(arena, (keys->n + 1) * sizeof(*filter->keys));
	if (!filter->keys)
		return -ENOMEM;
	if (keys->n > 0)
		qsort(keys->v, keys->n, sizeof(*keys->v), compare_keys);
	for (size_t i = 0; i < keys->n; i++)
		if (i == 0 || keys->v[i] != keys->v[i - 1])
			filter->keys[filter->n_keys++] = keys->v[i];
	return 0;
}

/* There is no room for the keys: the kernel waits for every device. */
static void filter_give_up(struct hold_filter *filter)
{
	for (size_t i = 0; i < filter->n_buses; i++)
		filter->buses[i].flags |= HOLD_EVERY;
	filter->n_keys = 0;
}

int hold_filter_compile(const struct policy *policy, const struct strings *buses, struct arena *arena,
			struct hold_filter *ret)
{
	struct filter_keys keys = {};
	int r = 0;

	*ret = (struct hold_filter){ .buses = arena_alloc(arena, (buses->n + 1) * sizeof(*ret->buses)) };
	if (!ret->buses)
		return -ENOMEM;
	for (size_t i = 0; i < buses->n; i++)
		ret->buses[ret->n_buses++] =
			(struct hold_filter_bus){ .name = buses->v[i],
						  .flags = policy->has_groups ? HOLD_GROUPS : 0 };
	for (size_t i = 0; i < policy->n_rules && r >= 0; i++)
		r = filter_add_rule(ret, &keys, policy->rules[i]);
	if (r >= 0)
		r = filter_take_keys(ret, &keys, arena);
	free(keys.v);
	if (r >= 0 && ret->n_keys > HOLD_FILTER_KEYS_MAX)
		filter_give_up(ret);
	return r;
}

void hold_filter_text(const struct hold_filter *filter, char *buf, size_t size)
{
	char source[PATH_MAX];
	size_t n = 0;

	(void)snprintf(buf, size, "on");
	for (size_t i = 0; i < filter->n_buses && n < size; i++) {
		const struct hold_filter_bus *bus = &filter->buses[i];

		if (!(bus->flags & HOLD_EVERY))
			continue;
		if (bus->open)
			rule_source(bus->open, source, sizeof(source));
		else
			(void)snprintf(source, sizeof(source), "more than %d values", HOLD_FILTER_KEYS_MAX);
		n += (size_t)snprintf(buf + n, size - n, "%s%s (%s)", n == 0 ? "off on " : ", ", bus->name,
				      source);
	}
}
