/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a look has found goes into the table of devices and to the observers; see refresh-observer.h. */
#include "daemon/refresh/refresh-look.h"
#include "base/macro.h"
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static enum refresh_purpose purpose_of(const struct refresh *look, const struct device_entry *e)
{
	for (const struct refresh_item *i = look->items; i; i = i->next)
		if (streq(i->name, e->field[FIELD_NAME]) && streq(i->bus, e->field[FIELD_BUS]))
			return i->purpose;
	return look->purpose;
}

static void observers_found(struct service *s, const struct refresh_finding *found)
{
	for (const struct refresh_observer *const *o = s->observers; *o; o++)
		if ((*o)->device_found)
			(*o)->device_found(s, found);
}

static void observers_overtaken(struct service *s, struct device_entry *e, enum refresh_purpose purpose)
{
	for (const struct refresh_observer *const *o = s->observers; *o; o++)
		if ((*o)->device_overtaken)
			(*o)->device_overtaken(s, e, purpose);
}

static void device_take_out(struct service *s, struct device_entry *e)
{
	char bus[64], group[32];

	for (const struct refresh_observer *const *o = s->observers; *o; o++)
		if ((*o)->device_leaving)
			(*o)->device_leaving(s, e);
	text_copy(group, sizeof(group), e->field[FIELD_GROUP]);
	text_copy(bus, sizeof(bus), e->field[FIELD_BUS]);
	devices_remove(&s->devices, e);
	for (const struct refresh_observer *const *o = s->observers; *o; o++)
		if ((*o)->device_left)
			(*o)->device_left(s, bus, group);
}

/* The enforcer began to move the device after this look had begun. */
static void drop_half_way(struct refresh *look, struct device_entry *e)
{
	enum refresh_purpose purpose = purpose_of(look, e);

	e->seq = look->seq > e->seq ? look->seq
				    : e->seq; /* it is there, though what it is like is not known */
	if (e->moves == 0)
		refresh_request(look->service, e->field[FIELD_BUS], e->field[FIELD_NAME], purpose);
	else
		refresh_look_later(e, purpose);
}

/* While the enforcer moves the device, a look tells what is decided about it; what sysfs shows of it between
 * two steps of a move is kept back. */
static void keep_until_move_ends(const struct device_entry *e, const char **field)
{
	static const enum field shown_by_sysfs[] = { FIELD_DRIVER,  FIELD_OVERRIDE,    FIELD_STATE,
						     FIELD_REASON,  FIELD_FIRST_PROBE, FIELD_VFIO,
						     FIELD_WAIT_FOR };

	for (size_t i = 0; i < ELEMENTSOF(shown_by_sysfs); i++)
		field[shown_by_sysfs[i]] = e->field[shown_by_sysfs[i]];
}

/* What follows from the purpose of a look whose result was dropped is due now. */
static enum refresh_purpose purpose_with_dropped(const struct refresh *look, struct device_entry *e)
{
	enum refresh_purpose purpose = purpose_of(look, e);

	if (e->dropped && e->dropped_purpose > purpose)
		purpose = e->dropped_purpose;
	e->dropped = false;
	return purpose;
}

/* One device's texts. */
static void take_device(struct refresh *look, const char **field)
{
	struct service *s = look->service;
	struct device_entry *e = devices_find(&s->devices, field[FIELD_BUS], field[FIELD_NAME]);
	struct refresh_finding found = { .of_all = look->all };
	char old_group[32];

	/* Read before too many hung. */
	if (look->blind && e && e->seq == look->seq)
		return;
	if (field[FIELD_SYSFS_PATH][0] == '\0') {
		if (e && e->seq < look->seq)
			device_take_out(s, e);
		return;
	}
	if (e && e->seq > 0 && look->seq <= e->half_way_seq) {
		drop_half_way(look, e);
		return;
	}
	if (e && e->seq > look->seq) {
		observers_overtaken(s, e, purpose_of(look, e));
		return;
	}
	/* Only its name is known if the first look at it did not come back. */
	found.added = !e || e->seq == 0;
	if (!e)
		e = devices_add(&s->devices, field[FIELD_BUS], field[FIELD_NAME]);
	if (!e)
		return;
	text_copy(old_group, sizeof(old_group), e->field[FIELD_GROUP]);
	e->seq = look->seq;
	if (e->moves > 0 && !found.added && streq(e->field[FIELD_INODE], field[FIELD_INODE]))
		keep_until_move_ends(e, field);
	if (device_update(e, field, &found.changed) < 0)
		return;
	found.entry = e;
	found.old_group = old_group;
	found.purpose = purpose_with_dropped(look, e);
	if (e->moves > 0)
		refresh_look_later(e, found.purpose);
	found.unread = look->blind && !e->hangs;
	s->refreshes->unread |= found.unread;
	/* A new one may have gone while the others were looked at. */
	if (found.added && look->all && s->announced)
		refresh_request(s, e->field[FIELD_BUS], e->field[FIELD_NAME], REFRESH_ONLY);
	/* A group that was not known before decides about all its members, and they have no event. */
	if (!found.added && found.changed & (UINT32_C(1) << FIELD_GROUP) && e->field[FIELD_GROUP][0])
		refresh_request_all(s, REFRESH_AND_RECONCILE);
	observers_found(s, &found);
}

void refresh_take_devices(struct refresh *look, const char *out, size_t size)
{
	const char *end = out + size;

	while (out < end) {
		const char *field[FIELD_COUNT], *at = out;

		for (size_t i = 0; i < FIELD_COUNT; i++) {
			const char *nul = memchr(at, '\0', (size_t)(end - at));

			if (!nul)
				return; /* cut off; task.c puts a NUL behind what there is, but not into it */
			field[i] = at;
			at = nul + 1;
		}
		take_device(look, field);
		out = at;
	}
}

void refresh_take_out_others(const struct refresh *look)
{
	struct device_entry **all = devices_sorted(&look->service->devices);

	for (struct device_entry **e = all; e && *e; e++)
		if ((*e)->seq < look->seq)
			device_take_out(look->service, *e);
	free(all);
}

void refresh_tell_finished(struct service *s)
{
	for (const struct refresh_observer *const *o = s->observers; *o; o++)
		if ((*o)->refresh_finished)
			(*o)->refresh_finished(s);
}
