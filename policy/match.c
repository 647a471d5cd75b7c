/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether a rule matches a device. This runs for every rule at every device event: a plain text is
 * settled by its hash, a glob by what stands before its first special character, and only then fnmatch()
 * is asked.
 */
#include "policy/match.h"

#include <fnmatch.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

static bool pattern_matches(const struct pattern *p, enum fact fact, const char *s, size_t length,
			    uint32_t hash)
{
	int flags = FNM_NOESCAPE;

	if (p->plain == p->length)
		return p->hash == hash && p->length == length &&
		       (p->fold ? strncasecmp(p->text, s, length) : memcmp(p->text, s, length)) == 0;

	if (p->plain > length ||
	    (p->fold ? strncasecmp(p->text, s, p->plain) : memcmp(p->text, s, p->plain)) != 0)
		return false;
	if (fact == FACT_PATH || fact == FACT_FIRMWARE)
		flags |= FNM_PATHNAME;
	if (p->fold)
		flags |= FNM_CASEFOLD;
	return fnmatch(p->text, s, flags) == 0;
}

/* `vendor:device` also matches an id with a subsystem behind it. */
static bool pattern_matches_id(const struct pattern *p, const struct value *v)
{
	char two[10];
	unsigned colons = 0;

	for (const char *s = p->text; *s; s++)
		colons += *s == ':';
	if (colons == 3 || v->length < 9)
		return pattern_matches(p, FACT_ID, v->text, v->length, v->hash);
	memcpy(two, v->text, 9);
	two[9] = '\0';
	return pattern_matches(p, FACT_ID, two, 9, value_hash(two, 9));
}

/* Two or four digits are a prefix; a glob may stand for two, four or all six. */
static bool pattern_matches_class(const struct pattern *p, const struct value *v)
{
	if (p->plain == p->length)
		return p->length <= v->length && strncasecmp(p->text, v->text, p->length) == 0;
	for (size_t n = 2; n <= 6 && n <= v->length; n += 2) {
		char digits[7];

		memcpy(digits, v->text, n);
		digits[n] = '\0';
		if (pattern_matches(p, FACT_CLASS, digits, n, 0))
			return true;
	}
	return false;
}

static bool condition_is_met(const struct condition *c, const struct values *values)
{
	for (size_t i = 0; i < values->n; i++) {
		const struct value *v = &values->v[i];

		for (const struct pattern *p = c->any; p; p = p->next) {
			if (c->fact == FACT_ID ? pattern_matches_id(p, v)
			    : c->fact == FACT_CLASS
				    ? pattern_matches_class(p, v)
				    : pattern_matches(p, c->fact, v->text, v->length, v->hash))
				return true;
		}
	}
	return false;
}

enum match rule_match(const struct rule *rule, struct device *device, struct missing *reterr_missing)
{
	struct missing missing = { .fact = FACT_COUNT };

	for (const struct condition *c = rule->conditions; c; c = c->next) {
		struct values values;

		int r = device_fact(device, c->fact, c->attr, &values);

		if (r < 0) {
			if (missing.fact == FACT_COUNT)
				missing = (struct missing){ .fact = c->fact, .attr = c->attr, .error = r };
		} else if (!condition_is_met(c, &values))
			return MATCH_NO; /* whatever the missing one turns out to be */
	}
	if (missing.fact == FACT_COUNT)
		return MATCH_YES;
	if (reterr_missing)
		*reterr_missing = missing;
	return MATCH_UNKNOWN;
}

static bool fact_is_place(enum fact fact)
{
	return fact == FACT_NAME || fact == FACT_PATH || fact == FACT_FIRMWARE;
}

/* Whether a value without a pattern is what meets it: a pattern means many places. */
static bool condition_names_place(const struct condition *c, const struct values *values)
{
	for (size_t i = 0; fact_is_place(c->fact) && i < values->n; i++)
		for (const struct pattern *p = c->any; p; p = p->next)
			if (p->plain == p->length && pattern_matches(p, c->fact, values->v[i].text,
								     values->v[i].length, values->v[i].hash))
				return true;
	return false;
}

bool rule_means_another_device(const struct rule *rule, struct device *device, const struct condition **ret)
{
	const struct condition *unmet = NULL;
	bool named = false;

	for (const struct condition *c = rule->conditions; c; c = c->next) {
		struct values values;

		if (device_fact(device, c->fact, c->attr, &values) < 0)
			continue;
		if (!condition_is_met(c, &values)) {
			/* Another bus, or another place. */
			if (c->fact == FACT_BUS || fact_is_place(c->fact))
				return false;
			if (!unmet)
				unmet = c;
		} else if (condition_names_place(c, &values)) {
			named = true;
		}
	}
	if (!named || !unmet)
		return false;
	*ret = unmet;
	return true;
}

bool rule_names_place_and_device(const struct rule *rule)
{
	bool place = false, device = false;

	for (const struct condition *c = rule->conditions; c; c = c->next) {
		device |= c->fact != FACT_BUS && !fact_is_place(c->fact);
		for (const struct pattern *p = c->any; p && fact_is_place(c->fact); p = p->next)
			place |= p->plain == p->length;
	}
	return place && device;
}
