/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The devices that the service knows; see device-table.h. */
#include "daemon/table/device-table.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/text.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static size_t bucket_of(const struct devices *devices, const char *bus, const char *name)
{
	uint64_t h = fnv1a(FNV_BASIS, bus, strlen(bus) + 1);

	return fnv1a(h, name, strlen(name)) & (devices->n_buckets - 1);
}

struct device_entry *devices_find(const struct devices *devices, const char *bus, const char *name)
{
	struct device_entry *e = NULL;

	if (devices->n_buckets > 0)
		e = devices->buckets[bucket_of(devices, bus, name)];
	while (e && !(streq(e->field[FIELD_NAME], name) && streq(e->field[FIELD_BUS], bus)))
		e = e->next;
	return e;
}

static void link_entry(struct devices *devices, struct device_entry *e)
{
	size_t at = bucket_of(devices, e->field[FIELD_BUS], e->field[FIELD_NAME]);

	e->next = devices->buckets[at];
	devices->buckets[at] = e;
}

static int devices_grow(struct devices *devices)
{
	struct devices bigger = { .n_buckets = devices->n_buckets ? 4 * devices->n_buckets : 64 };

	if (devices->n < devices->n_buckets)
		return 0;
	bigger.buckets = calloc(bigger.n_buckets, sizeof(*bigger.buckets));
	if (!bigger.buckets)
		return -ENOMEM;
	for (size_t i = 0; i < devices->n_buckets; i++)
		for (struct device_entry *e = devices->buckets[i], *next; e; e = next) {
			next = e->next;
			link_entry(&bigger, e);
		}
	free(devices->buckets);
	devices->buckets = bigger.buckets;
	devices->n_buckets = bigger.n_buckets;
	return 0;
}

/* Where the bus is in the list, or belongs. */
static struct devices_bus **bus_place(struct devices *devices, const char *name)
{
	struct devices_bus **at = &devices->buses;

	while (*at && strcmp((*at)->name, name) < 0)
		at = &(*at)->next;
	return at;
}

static int bus_count_one_more(struct devices *devices, const char *name)
{
	struct devices_bus **at = bus_place(devices, name), *b = *at;
	size_t n = strlen(name) + 1;

	if (!b || !streq(b->name, name)) {
		b = calloc(1, sizeof(*b) + n);
		if (!b)
			return -ENOMEM;
		memcpy(b->name, name, n);
		b->next = *at;
		*at = b;
	}
	b->n++;
	return 0;
}

static void bus_count_one_less(struct devices *devices, const char *name)
{
	struct devices_bus **at = bus_place(devices, name), *b = *at;

	if (!b || !streq(b->name, name) || --b->n > 0)
		return;
	*at = b->next;
	free(b);
}

struct device_entry *devices_add(struct devices *devices, const char *bus, const char *name)
{
	size_t b = strlen(bus) + 1, n = strlen(name) + 1;
	struct device_entry *e;

	if (devices_grow(devices) < 0)
		return NULL;
	e = calloc(1, sizeof(*e));
	if (e)
		e->text = calloc(1, b + n + 1);
	if (!e || !e->text || bus_count_one_more(devices, bus) < 0) {
		if (e)
			free(e->text);
		free(e);
		return NULL;
	}
	memcpy(e->text, bus, b);
	memcpy(e->text + b, name, n);
	for (size_t i = 0; i < FIELD_COUNT; i++)
		e->field[i] = e->text + b + n; /* "" */
	e->field[FIELD_BUS] = e->text;
	e->field[FIELD_NAME] = e->text + b;
	e->table = devices;
	link_entry(devices, e);
	devices->n++;
	devices->changes++;
	return e;
}

void devices_remove(struct devices *devices, struct device_entry *entry)
{
	size_t bucket = bucket_of(devices, entry->field[FIELD_BUS], entry->field[FIELD_NAME]);

	if (list_remove(devices->buckets[bucket], entry)) {
		devices->n--;
		devices->changes++;
		bus_count_one_less(devices, entry->field[FIELD_BUS]);
	}
	free(entry->text);
	free(entry);
}

void devices_done(struct devices *devices)
{
	for (size_t i = 0; i < devices->n_buckets; i++)
		for (struct device_entry *e = devices->buckets[i], *next; e; e = next) {
			next = e->next;
			free(e->text);
			free(e);
		}
	for (struct devices_bus *b = devices->buses, *next; b; b = next) {
		next = b->next;
		free(b);
	}
	free(devices->buckets);
	*devices = (struct devices){};
}

int device_update(struct device_entry *entry, const char *const *field, uint32_t *ret_changed)
{
	size_t size = 0;
	char *copy, *at;

	for (size_t i = 0; i < FIELD_COUNT; i++)
		size += strlen(field[i]) + 1;
	at = copy = malloc(size);
	if (!copy)
		return -ENOMEM;
	*ret_changed = 0;
	for (size_t i = 0; i < FIELD_COUNT; i++) {
		size_t n = strlen(field[i]) + 1;

		if (!streq(entry->field[i], field[i]))
			*ret_changed |= UINT32_C(1) << i;
		entry->field[i] = memcpy(at, field[i], n);
		at += n;
	}
	free(entry->text);
	entry->text = copy;
	entry->table->changes += *ret_changed != 0;
	return 0;
}

struct device_entry *devices_next(const struct devices *devices, const struct device_entry *entry)
{
	size_t at = 0;

	if (entry && entry->next)
		return entry->next;
	if (entry)
		at = bucket_of(devices, entry->field[FIELD_BUS], entry->field[FIELD_NAME]) + 1;
	for (; at < devices->n_buckets; at++)
		if (devices->buckets[at])
			return devices->buckets[at];
	return NULL;
}

static int compare_entries(const void *a, const void *b)
{
	const struct device_entry *const *x = a, *const *y = b;
	int r = strcmp((*x)->field[FIELD_BUS], (*y)->field[FIELD_BUS]);

	return r ? r : strcmp((*x)->field[FIELD_NAME], (*y)->field[FIELD_NAME]);
}

struct device_entry **devices_sorted(const struct devices *devices)
{
	struct device_entry **v = calloc(devices->n + 1, sizeof(struct device_entry *)), *e = NULL;
	size_t n = 0;

	if (!v)
		return NULL;
	while ((e = devices_next(devices, e)))
		v[n++] = e;
	qsort(v, n, sizeof(struct device_entry *), compare_entries);
	return v;
}
