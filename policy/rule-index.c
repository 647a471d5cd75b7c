/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which rules can match a device; see rule-index.h.
 *
 * A rule is indexed by one of its conditions, if that is of a kind below and each of its values is literal or
 * a glob with a literal head ("0000:03:" of 0000:03:00.*): unless the device has one of these values or heads
 * the rule cannot match, whatever its other conditions say. Hashes of them lead to rules; two with one hash
 * do no harm, for every candidate is compared in full.
 */
#include "policy/rule-index.h"
#include "base/arena.h"
#include "base/hash.h"
#include "policy/vfio-driver.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* In the order of what asking costs. */
enum kind {
	KIND_NAME,
	KIND_ANCESTOR,
	KIND_PATH,
	KIND_ID,
	KIND_CLASS,
	KIND_OTHER, /* not indexed: always a candidate */
	KIND_COUNT,
};

#define KEYS_MAX 32

struct index_entry {
	uint32_t key;  /* 0 in the lists of kinds */
	uint32_t rule; /* its position in the policy */
};

struct policy_index {
	struct {
		const struct index_entry *v;
		size_t n;
		uint32_t first; /* the position of the first */
		bool heads;	/* some lead by a head */
	} kinds[KIND_COUNT];	/* all rules of a kind, in order */
	const uint32_t *begin;	/* of each bucket in `entries`; it ends where the next begins */
	const struct index_entry *entries;
	uint32_t mask; /* the bits of a key that tell its bucket */
};

/* Keys of a value or of a pattern; too many are none. */
struct keys {
	uint32_t v[KEYS_MAX];
	size_t n;
	bool overflow;
};

static const struct {
	enum fact fact;
	char separator; /* what a head ends with; NUL: there are no heads */
} kinds[] = {
	[KIND_NAME] = { FACT_NAME, ':' },    [KIND_ANCESTOR] = { FACT_ANCESTOR, ':' },
	[KIND_PATH] = { FACT_PATH, '/' },    [KIND_ID] = { FACT_ID, ':' },
	[KIND_CLASS] = { FACT_CLASS, '\0' },
};

static void keys_add(struct keys *keys, enum kind kind, uint32_t hash)
{
	if (keys->n == KEYS_MAX)
		keys->overflow = true;
	else /* the same text means something else as a value of another kind */
		keys->v[keys->n++] = hash + kind * 0x9e3779b1U;
}

/* How many characters of a text its head has; 0: no head. */
static size_t head_length(const char *s, size_t n, char separator)
{
	while (n > 0 && (!separator || s[n - 1] != separator))
		n--;
	return n;
}

/*
 * The path of a virtual function, "pci0000:00/1c.0/00.0/vf3", has that of its physical function as its head.
 * Only the folder of both ("pci0000:00/1c.0/") is known of a device without looking for the physical
 * function, so that is what leads from such a head to rules.
 */
static void keys_add_virtual(struct keys *keys, const char *path, size_t folder)
{
	if (folder > 0)
		keys_add(keys, KIND_PATH, ~value_hash(path, folder));
}

static bool path_is_virtual_function(const char *path, size_t n)
{
	size_t head = head_length(path, n, '/');

	return head > 0 && n - head > 2 && strncasecmp(path + head, "vf", 2) == 0;
}

static void keys_add_pattern(struct keys *keys, enum kind kind, const struct pattern *p)
{
	const char separator = kinds[kind].separator;
	const size_t head = head_length(p->text, p->plain, separator);
	const bool literal = p->plain == p->length;

	if (kind == KIND_PATH && (!literal || path_is_virtual_function(p->text, p->length)))
		keys_add_virtual(keys, p->text, head_length(p->text, head ? head - 1 : 0, separator));
	if (literal)
		keys_add(keys, kind, p->hash);
	else
		keys_add(keys, kind, value_hash(p->text, head));
}

static bool condition_is_indexable(const struct condition *c, enum kind kind, bool heads)
{
	for (const struct pattern *p = c->any; p; p = p->next)
		if (p->plain != p->length &&
		    !(heads && head_length(p->text, p->plain, kinds[kind].separator) > 0))
			return false;
	return true;
}

/* Literal values tell more than heads. */
static enum kind rule_index_kind(const struct rule *rule, const struct condition **ret)
{
	for (int heads = 0; heads <= 1; heads++)
		for (const struct condition *c = rule->conditions; c; c = c->next)
			for (enum kind kind = 0; kind < KIND_OTHER; kind++)
				if (kinds[kind].fact == c->fact && condition_is_indexable(c, kind, heads)) {
					*ret = c;
					return kind;
				}
	return KIND_OTHER;
}

/* All that a pattern may name a value by: the whole, its heads, and the parts that rules may stop after. */
static void keys_add_value(struct keys *keys, enum kind kind, bool heads, const char *s, size_t n)
{
	uint32_t hash = FNV32_BASIS;

	for (size_t i = 0; i < n; i++) {
		hash = value_hash_add(hash, s[i]);
		if (i + 1 == n || (heads && s[i] == kinds[kind].separator) ||
		    (kind == KIND_ID && i + 1 == 9) || (kind == KIND_CLASS && i % 2 == 1))
			keys_add(keys, kind, hash);
	}
}

/* 0; or negative: not known, so that any rule of that kind may match. */
static int device_index_keys(struct device *device, enum kind kind, bool heads, struct keys *keys)
{
	struct values values;
	char place[4096];

	if (kind == KIND_PATH && device->ops->place &&
	    device->ops->place(device, place, sizeof(place)) >= 0) {
		size_t n = strlen(place);

		keys_add_value(keys, kind, heads, place, n);
		keys_add_virtual(keys, place, head_length(place, n, '/'));
		return keys->overflow ? -E2BIG : 0;
	}
	if (device_fact(device, kinds[kind].fact, NULL, &values) < 0)
		return -EAGAIN;
	for (size_t i = 0; i < values.n; i++)
		keys_add_value(keys, kind, heads, values.v[i].text, values.v[i].length);
	return keys->overflow ? -E2BIG : 0;
}

/* Rules by kind, each list in order. */
static int index_list_kinds(struct policy *policy, struct policy_index *index)
{
	struct index_entry *at[KIND_COUNT], *v = arena_alloc(&policy->arena, policy->n_rules * sizeof(*v));
	const struct condition *c;

	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < policy->n_rules; i++) {
		enum kind kind = rule_index_kind(policy->rules[i], &c);

		index->kinds[kind].n++;
		if (kind != KIND_OTHER && !condition_is_indexable(c, kind, false))
			index->kinds[kind].heads = true;
	}
	for (enum kind kind = 0; kind < KIND_COUNT; kind++) {
		index->kinds[kind].v = at[kind] = v;
		v += index->kinds[kind].n;
	}
	for (size_t i = 0; i < policy->n_rules; i++)
		(at[rule_index_kind(policy->rules[i], &c)]++)->rule = (uint32_t)i;
	for (enum kind kind = 0; kind < KIND_COUNT; kind++)
		if (index->kinds[kind].n > 0)
			index->kinds[kind].first = index->kinds[kind].v[0].rule;
	return 0;
}

/* Puts a rule in front of its buckets; without entries it only counts them in `begin`. */
static void index_add_rule(const struct policy *policy, size_t i, uint32_t *begin, uint32_t mask,
			   struct index_entry *entries)
{
	const struct condition *c;
	enum kind kind = rule_index_kind(policy->rules[i], &c);

	for (const struct pattern *p = kind == KIND_OTHER ? NULL : c->any; p; p = p->next) {
		struct keys keys = {};

		keys_add_pattern(&keys, kind, p);
		for (size_t k = 0; k < keys.n; k++) {
			uint32_t *b = &begin[keys.v[k] & mask];

			if (entries)
				entries[--*b] = (struct index_entry){ keys.v[k], (uint32_t)i };
			else
				++*b;
		}
	}
}

static int index_fill_buckets(struct policy *policy, struct policy_index *index)
{
	struct index_entry *entries;
	size_t buckets = 16, n = 0;
	uint32_t *begin;

	while (buckets < policy->n_rules)
		buckets *= 2;
	begin = arena_alloc(&policy->arena, (buckets + 1) * sizeof(*begin));
	if (!begin)
		return -ENOMEM;
	index->mask = (uint32_t)buckets - 1;
	for (size_t i = 0; i < policy->n_rules; i++)
		index_add_rule(policy, i, begin, index->mask, NULL);
	/* Now each says where its bucket ends, and is moved to the front as that is filled. */
	for (size_t i = 0; i <= buckets; i++)
		begin[i] = (uint32_t)(n += begin[i]);
	entries = arena_alloc(&policy->arena, n * sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	for (size_t i = policy->n_rules; i-- > 0;)
		index_add_rule(policy, i, begin, index->mask, entries);
	index->begin = begin;
	index->entries = entries;
	return 0;
}

int policy_build_index(struct policy *policy)
{
	struct policy_index *index = arena_alloc(&policy->arena, sizeof(*index));
	uint64_t *ids = arena_alloc(&policy->arena, policy->n_rules * sizeof(*ids));

	if (!index || !ids || index_list_kinds(policy, index) < 0 || index_fill_buckets(policy, index) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < policy->n_rules; i++)
		ids[i] = rule_id(policy->rules[i]);
	for (size_t i = 0; i < policy->n_rules; i++)
		if (policy->rules[i]->driver.kind == DRIVER_VFIO ||
		    policy->rules[i]->group_driver.kind == DRIVER_VFIO)
			vfio_drivers_load(policy->vfio);
	policy->index = index;
	policy->ids = ids;
	return 0;
}

static void candidate_list_advance(struct candidate_list *list, uint32_t next)
{
	while (list->at < list->end && (list->at->rule < next || list->at->key != list->key))
		list->at++;
	list->rule = list->at < list->end ? list->at->rule : UINT32_MAX;
}

void candidates_start(struct candidates *c, const struct policy *policy, struct device *device)
{
	const struct policy_index *index = policy->index;

	c->policy = policy;
	c->device = device;
	c->next = 0;
	c->n_lists = 0;
	for (enum kind kind = 0; kind < KIND_COUNT; kind++)
		if (index->kinds[kind].n > 0)
			c->lists[c->n_lists++] = (struct candidate_list){
				.rule = index->kinds[kind].first,
				.at = index->kinds[kind].v,
				.end = index->kinds[kind].v + index->kinds[kind].n,
				.unasked = kind == KIND_OTHER ? -1 : (int)kind,
			};
}

/* In place of all rules of a kind come those that the device's keys lead to. */
static void candidates_ask_device(struct candidates *c, struct candidate_list *list)
{
	const struct policy_index *index = c->policy->index;
	const enum kind kind = (enum kind)list->unasked;
	struct keys keys;

	keys.n = 0;
	keys.overflow = false;
	list->unasked = -1;
	if (device_index_keys(c->device, kind, index->kinds[kind].heads, &keys) < 0 ||
	    c->n_lists + keys.n > CANDIDATE_LISTS)
		return;
	list->rule = UINT32_MAX;
	list->at = list->end;
	for (size_t i = 0; i < keys.n; i++) {
		const uint32_t *begin = index->begin + (keys.v[i] & index->mask);
		struct candidate_list *found = &c->lists[c->n_lists];

		*found = (struct candidate_list){ .key = keys.v[i],
						  .at = index->entries + begin[0],
						  .end = index->entries + begin[1],
						  .unasked = -1 };
		candidate_list_advance(found, c->next);
		c->n_lists += found->rule != UINT32_MAX;
	}
}

const struct rule *candidates_next(struct candidates *c)
{
	for (;;) {
		struct candidate_list *first = &c->lists[0];

		for (size_t i = 0; i < c->n_lists; i++) {
			if (c->lists[i].rule < c->next)
				candidate_list_advance(&c->lists[i], c->next);
			if (c->lists[i].rule < first->rule)
				first = &c->lists[i];
		}
		if (c->n_lists == 0 || first->rule == UINT32_MAX)
			return NULL;
		if (first->unasked < 0) {
			c->next = first->rule + 1;
			return c->policy->rules[first->rule];
		}
		candidates_ask_device(c, first);
	}
}
