/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * IOMMU groups as the table of devices has them, and whether each is viable, that is, can be given to a
 * guest: every member that is bound has a driver that leaves DMA to the owner of the group.
 */
#pragma once

#include "daemon/refresh/refresh-observer.h"
#include "daemon/service.h"

#include <stdbool.h>
#include <stddef.h>

struct group {
	struct device_entry **members; /* n of them, by bus and name */
	size_t n;
};

/* Its number; kept in its members only, whose texts are replaced as a whole. */
static inline const char *group_id(const struct group *g)
{
	return g->members[0]->field[FIELD_GROUP];
}

int groups_new(struct service *s);
void groups_free(struct service *s);

/* Notes which groups a look has changed: at once, before anybody asks for one. */
extern const struct refresh_observer group_table_observer;

/* NULL: there is none of that number. Good until the next device comes or goes. */
const struct group *groups_find(struct service *s, const char *id);
size_t groups_count(struct service *s);
const struct group *groups_at(struct service *s, size_t i);

/* Whether a member has a VFIO driver, so that a process may own the group. */
bool group_has_vfio(const struct group *g);
bool group_is_blocked_by(const struct device_entry *e);
bool group_is_viable(const struct group *g);

/* Calls fn for each group that has changed since the last time; existed, exists: before and now; members:
 * which they are has changed, and not only their drivers. */
void groups_touched(struct service *s,
		    void (*fn)(struct service *s, const char *id, bool existed, bool exists, bool members));
