/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* IOMMU groups; see group-table.h. */
#include "daemon/table/group-table.h"
#include "base/macro.h"
#include "base/text.h"
#include "policy/vfio-driver.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct touched_group {
	struct touched_group *next;
	bool members;
	char id[];
};

struct groups {
	struct group *v;
	struct device_entry **members; /* of all */
	size_t n, n_members;
	bool stale;
	struct touched_group *touched;
	char **known; /* the numbers that the bus knows of, sorted */
	size_t n_known;
};

static int compare_members(const void *a, const void *b)
{
	const struct device_entry *const *x = a, *const *y = b;
	int r = strcmp((*x)->field[FIELD_GROUP], (*y)->field[FIELD_GROUP]);

	if (r == 0)
		r = strcmp((*x)->field[FIELD_BUS], (*y)->field[FIELD_BUS]);
	return r ? r : strcmp((*x)->field[FIELD_NAME], (*y)->field[FIELD_NAME]);
}

static void groups_clear(struct groups *g)
{
	free(TAKE_PTR(g->v));
	free(TAKE_PTR(g->members));
	g->n = g->n_members = 0;
}

/* Members of one group stand together. */
static bool begins_group(const struct groups *g, size_t i)
{
	return i == 0 || !streq(g->members[i - 1]->field[FIELD_GROUP], g->members[i]->field[FIELD_GROUP]);
}

/* From the table of devices, when a group is next asked for: devices come and go in bunches. */
static void groups_rebuild(struct service *s)
{
	struct groups *g = s->groups;
	size_t n = 0;

	if (!g->stale)
		return;
	groups_clear(g);
	g->members = calloc(s->devices.n + 1, sizeof(struct device_entry *));
	g->v = calloc(s->devices.n + 1, sizeof(*g->v));
	if (!g->members || !g->v)
		return;
	g->stale = false;
	for (struct device_entry *e = NULL; (e = devices_next(&s->devices, e));)
		if (e->field[FIELD_GROUP][0])
			g->members[n++] = e;
	g->n_members = n;
	qsort(g->members, n, sizeof(struct device_entry *), compare_members);
	for (size_t i = 0; i < n; i++) {
		if (begins_group(g, i))
			g->v[g->n++] = (struct group){ .members = g->members + i };
		g->v[g->n - 1].n++;
	}
}

static int compare_id(const void *key, const void *group)
{
	return strcmp(key, group_id(group));
}

const struct group *groups_find(struct service *s, const char *id)
{
	groups_rebuild(s);
	return s->groups->n == 0 ? NULL
				 : bsearch(id, s->groups->v, s->groups->n, sizeof(struct group), compare_id);
}

size_t groups_count(struct service *s)
{
	groups_rebuild(s);
	return s->groups->n;
}

const struct group *groups_at(struct service *s, size_t i)
{
	return &s->groups->v[i];
}

bool group_is_blocked_by(const struct device_entry *e)
{
	return e->field[FIELD_DRIVER][0] && !driver_leaves_dma(e->field[FIELD_DRIVER]) &&
	       !streq(e->field[FIELD_VFIO], "1");
}

bool group_has_vfio(const struct group *g)
{
	for (size_t i = 0; i < g->n; i++)
		if (streq(g->members[i]->field[FIELD_VFIO], "1"))
			return true;
	return false;
}

bool group_is_viable(const struct group *g)
{
	for (size_t i = 0; i < g->n; i++)
		if (group_is_blocked_by(g->members[i]))
			return false;
	return true;
}

/* Its members, or only the driver of one, have changed. */
static void groups_touch(struct service *s, const char *id, bool members)
{
	struct groups *g = s->groups;
	struct touched_group *t;
	size_t n = strlen(id) + 1;

	if (!*id)
		return;
	g->stale |= members;
	for (t = g->touched; t && !streq(t->id, id); t = t->next)
		;
	if (!t) {
		t = calloc(1, sizeof(*t) + n);
		if (!t)
			return;
		memcpy(t->id, id, n);
		t->next = g->touched;
		g->touched = t;
	}
	t->members |= members;
}

static int compare_known(const void *key, const void *known)
{
	return strcmp(key, *(char *const *)known);
}

static bool group_is_known(const struct groups *g, const char *id)
{
	return g->n_known > 0 && bsearch(id, g->known, g->n_known, sizeof(char *), compare_known);
}

static void forget_known(struct groups *g)
{
	for (size_t i = 0; i < g->n_known; i++)
		free(g->known[i]);
	free(TAKE_PTR(g->known));
	g->n_known = 0;
}

static void remember_known(struct service *s)
{
	struct groups *g = s->groups;

	forget_known(g);
	g->known = calloc(groups_count(s) + 1, sizeof(char *));
	for (size_t i = 0; g->known && i < g->n_members; i++) {
		if (!begins_group(g, i))
			continue;
		g->known[g->n_known] = strdup(g->members[i]->field[FIELD_GROUP]);
		if (!g->known[g->n_known])
			break;
		g->n_known++;
	}
}

void groups_touched(struct service *s,
		    void (*fn)(struct service *s, const char *id, bool existed, bool exists, bool members))
{
	struct touched_group *t = TAKE_PTR(s->groups->touched);
	bool members = false;

	while (t) {
		struct touched_group *next = t->next;

		members |= t->members;
		fn(s, t->id, group_is_known(s->groups, t->id), groups_find(s, t->id) != NULL, t->members);
		free(t);
		t = next;
	}
	if (members)
		remember_known(s);
}

static void groups_on_device_found(struct service *s, const struct refresh_finding *found)
{
	const char *group = found->entry->field[FIELD_GROUP];

	if (found->added)
		groups_touch(s, group, true);
	else if (found->changed & (UINT32_C(1) << FIELD_GROUP)) {
		groups_touch(s, found->old_group, true);
		groups_touch(s, group, true);
	} else if (found->changed & (UINT32_C(1) << FIELD_DRIVER))
		groups_touch(s, group, false);
}

static void groups_on_device_left(struct service *s, const char *bus, const char *group)
{
	(void)bus;
	groups_touch(s, group, true);
}

const struct refresh_observer group_table_observer = {
	.device_found = groups_on_device_found,
	.device_left = groups_on_device_left,
};

int groups_new(struct service *s)
{
	s->groups = calloc(1, sizeof(*s->groups));
	if (!s->groups)
		return -ENOMEM;
	s->groups->stale = true;
	return 0;
}

void groups_free(struct service *s)
{
	if (!s->groups)
		return;
	groups_clear(s->groups);
	forget_known(s->groups);
	for (struct touched_group *t = s->groups->touched, *next; t; t = next) {
		next = t->next;
		free(t);
	}
	free(TAKE_PTR(s->groups));
}
