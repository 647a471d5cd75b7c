/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The surveys, as the service sees them: which are wanted, what comes of them; see refresh.h. */
#include "daemon/refresh/refresh.h"
#include "base/macro.h"
#include "base/text.h"
#include "daemon/bus/bus-signals.h"
#include "daemon/watch/watch-override.h"
#include "daemon/watch/watch-vfio.h"
#include "daemon/reconcile/reconcile.h"
#include "daemon/reconcile/recovery.h"
#include "daemon/refresh/refresh-worker.h"
#include "daemon/task.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

/* For one device that does not answer; there is nothing else that a survey waits for. Where one has not, the
 * others are given less. */
#define SURVEY_USEC (4U * 1000000U)
#define NEXT_USEC (1U * 1000000U)
/* Devices that hang one after the other; more than that, and something else is wrong: what has been read by
 * then is kept, and no other is read. */
#define TRIES 32U
/* Events come in bunches. */
#define SOON_USEC 5000U
/* A policy that is being changed, file by file, shall not mean a survey of all devices for each. */
#define ALL_USEC 200000U

struct item {
	struct item *next;
	enum refresh_purpose trigger;
	const char *name;
	char bus[]; /* and behind its NUL the name */
};

struct refresh {
	struct refresh *next;
	struct service *service;
	uint64_t seq;
	bool all;
	bool again;		      /* with all: of some, what was written since is not known */
	enum refresh_purpose trigger; /* with all */
	struct item *items;
	unsigned tries;
	bool blind;		  /* there were too many tries: nothing is read any more */
	struct task_note without; /* the device that it was last begun anew without */
	struct task *task;
	void (*done)(void *userdata);
	void *userdata;
};

struct refreshes {
	uint64_t seq;
	struct refresh *running;
	struct item *wanted;
	bool unread; /* there are devices that were not looked at, since others hung */
	bool wanted_all;
	enum refresh_purpose wanted_trigger;
	sd_event_source *soon, *later;
};

static void free_items(struct item *i)
{
	while (i) {
		struct item *next = i->next;

		free(i);
		i = next;
	}
}

static void free_survey(struct refresh *v)
{
	struct refresh **at = &v->service->surveys->running;

	while (*at && *at != v)
		at = &(*at)->next;
	if (*at)
		*at = v->next;
	v->task = task_forget(v->task);
	free_items(v->items);
	free(v);
}

static struct item *new_item(const char *bus, const char *name, enum refresh_purpose trigger)
{
	size_t b = strlen(bus) + 1, n = strlen(name) + 1;
	struct item *i = calloc(1, sizeof(*i) + b + n);

	if (i) {
		memcpy(i->bus, bus, b);
		memcpy(i->bus + b, name, n);
		i->name = i->bus + b;
		i->trigger = trigger;
	}
	return i;
}

static int work(FILE *out, struct task_note *note, void *arg)
{
	const struct refresh *v = arg;
	struct refresh_worker s;
	int r = refresh_worker_begin(&s, v->service, out, note);

	if (r < 0)
		return r;
	s.blind = v->blind;
	s.at_once = v->tries > 0;
	if (v->all)
		return refresh_worker_read_all(&s);
	for (const struct item *i = v->items; i && r >= 0; i = i->next)
		r = refresh_worker_read_device(&s, i->bus, i->name);
	return r;
}

static enum refresh_purpose trigger_of(const struct refresh *v, const struct device_entry *e)
{
	for (const struct item *i = v->items; i; i = i->next)
		if (streq(i->name, e->field[FIELD_NAME]) && streq(i->bus, e->field[FIELD_BUS]))
			return i->trigger;
	return v->trigger;
}

/* One device's texts. */
static void take(struct refresh *v, const char *text, size_t size, const char *const *field)
{
	struct service *s = v->service;
	struct device_entry *e = devices_find(&s->devices, field[FIELD_BUS], field[FIELD_NAME]);
	bool gone = field[FIELD_SYSFS_PATH][0] == '\0';
	uint32_t changed;

	/* Read before too many hung. */
	if (v->blind && e && e->seq == v->seq)
		return;
	if (gone) {
		if (e && e->seq < v->seq)
			signal_device_removed(s, e);
		return;
	}
	if (e && e->seq > v->seq) {
		/* Somebody has looked later than we did, but not for what we were asked to look for. */
		reconcile_consider(s, e, trigger_of(v, e));
		return;
	}
	/* Or known by name only, since the first look at it did not come back. */
	if (!e || e->seq == 0) {
		if (!e)
			e = devices_add(&s->devices, field[FIELD_BUS], field[FIELD_NAME]);
		if (!e)
			return;
		e->seq = v->seq;
		if (device_update(e, text, size, field, &changed) < 0)
			return;
		signal_device_added(s, e);
		/* It may have gone while the others were looked at. */
		if (v->all && s->announced)
			refresh_request(s, e->field[FIELD_BUS], e->field[FIELD_NAME], REFRESH_ONLY);
	} else {
		char group[32];

		text_copy(group, sizeof(group), e->field[FIELD_GROUP]);
		e->seq = v->seq;
		if (device_update(e, text, size, field, &changed) < 0)
			return;
		/* What was tried was for another device, or another decision: that one may come again. */
		if (changed & (UINT32_C(1) << FIELD_INODE | UINT32_C(1) << FIELD_RULE_ID |
			       UINT32_C(1) << FIELD_DECISION))
			e->tried_rule = 0;
		if (changed & (UINT32_C(1) << FIELD_INODE))
			watch_override_remove(s, e);
		signal_device_changed(s, e, changed, group);
		/* A group that was not known before decides about all its members, and they have no event. */
		if (changed & (UINT32_C(1) << FIELD_GROUP) && e->field[FIELD_GROUP][0])
			refresh_request_all(s, REFRESH_AND_RECONCILE);
	}
	if (v->blind && !e->hangs)
		s->surveys->unread = true; /* a process for each, to wait for it, would be too many */
	else if ((changed & (UINT32_C(1) << FIELD_STATE) || e->hangs) &&
		 streq(e->field[FIELD_STATE], "stuck"))
		recovery_await(s, e->field[FIELD_BUS], e->field[FIELD_NAME]);
	watch_vfio_consider(s, e);
	if (watch_override_add(s, e)) {
		if (v->all)
			v->again = true;
		else
			refresh_request(s, e->field[FIELD_BUS], e->field[FIELD_NAME], REFRESH_ONLY);
	}
	reconcile_consider(s, e, trigger_of(v, e));
}

static void take_all(struct refresh *v, const char *out, size_t size)
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
		take(v, out, (size_t)(at - out), field);
		out = at;
	}
}

static void remove_others(struct refresh *v)
{
	struct service *s = v->service;
	struct device_entry **all = devices_sorted(&s->devices);

	for (struct device_entry **e = all; e && *e; e++)
		if ((*e)->seq < v->seq)
			signal_device_removed(s, *e);
	free(all);
}

static int start(struct refresh *v);

/* True: that device is marked and the survey goes on without it. */
static bool go_on_without(struct refresh *v, const struct task_note *note)
{
	struct service *s = v->service;
	struct device_entry *e;

	if (!note->name[0])
		return false;
	log_service(LOG_WARNING, "%s %s: reading its files in sysfs does not come back", note->bus,
		    note->name);
	e = devices_find(&s->devices, note->bus, note->name);
	if (!e)
		e = devices_add(&s->devices, note->bus, note->name);
	/* Another survey may have marked it meanwhile, too late for this one. */
	if (!e || (streq(v->without.name, note->name) && streq(v->without.bus, note->bus)))
		return false;
	v->without = *note;
	e->hangs = true;
	if (++v->tries > TRIES) {
		log_service(
			LOG_ERR,
			"too many devices do not come back; the others are looked at when one of them does");
		v->blind = true;
	}
	return start(v) >= 0;
}

static void finished(void *userdata, int result, const char *out, size_t size, const struct task_note *note)
{
	struct refresh *v = userdata;
	struct service *s = v->service;
	void (*done)(void *userdata) = v->done;
	void *done_userdata = v->userdata;

	v->task = NULL;
	if (result == -ETIMEDOUT && v->tries == TRIES)
		take_all(v, out, size);
	if (result == -ETIMEDOUT && go_on_without(v, note))
		return;
	if (result == 0) {
		take_all(v, out, size);
		if (v->all)
			remove_others(v);
		if (v->again)
			refresh_request_all(s, REFRESH_ONLY);
	} else
		log_service(LOG_ERR, "looking at devices failed: %s",
			    result > 0 ? strerror(result) : strerror(-result));
	free_survey(v);
	signal_groups_changed(s);
	service_tell_status(s);
	if (done)
		done(done_userdata);
}

static int start(struct refresh *v)
{
	return task_fork(v->service->event, work, v, v->tries > 0 ? NEXT_USEC : SURVEY_USEC, finished, v,
			 &v->task);
}

/* Takes the items. */
static int begin(struct service *s, bool all, enum refresh_purpose trigger, struct item *items,
		 void (*done)(void *userdata), void *userdata, struct refresh **ret)
{
	struct refresh *v = calloc(1, sizeof(*v));
	int r;

	if (!v) {
		free_items(items);
		return -ENOMEM;
	}
	v->service = s;
	v->seq = ++s->surveys->seq;
	v->all = all;
	v->trigger = trigger;
	v->items = items;
	v->done = done;
	v->userdata = userdata;
	v->next = s->surveys->running;
	s->surveys->running = v;
	/* It shall be seen whether they answer now. */
	if (all && trigger == REFRESH_AND_RETRY)
		for (struct device_entry *e = NULL; (e = devices_next(&s->devices, e));)
			e->hangs = false;
	r = start(v);
	if (r < 0) {
		free_survey(v);
		return r;
	}
	if (ret)
		*ret = v;
	return 0;
}

static int on_soon(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct service *s = userdata;
	struct refreshes *u = s->surveys;
	int r = 0;

	(void)usec;
	(void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
	if (u->wanted)
		r = begin(s, false, REFRESH_ONLY, TAKE_PTR(u->wanted), NULL, NULL, NULL);
	if (r < 0)
		log_service(LOG_ERR, "cannot look at devices: %s", strerror(-r));
	return 0;
}

static int on_later(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct service *s = userdata;
	struct refreshes *u = s->surveys;
	enum refresh_purpose trigger = u->wanted_trigger;
	int r;

	(void)usec;
	(void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
	u->wanted_all = false;
	u->wanted_trigger = REFRESH_ONLY;
	r = begin(s, true, trigger, NULL, NULL, NULL, NULL);
	if (r < 0)
		log_service(LOG_ERR, "cannot look at all devices: %s", strerror(-r));
	return 0;
}

static void arm(sd_event_source *source, uint64_t usec)
{
	(void)sd_event_source_set_time_relative(source, usec);
	(void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

void refresh_request(struct service *s, const char *bus, const char *name, enum refresh_purpose trigger)
{
	struct refreshes *u = s->surveys;
	struct device_entry *e = devices_find(&s->devices, bus, name);
	struct item *i;

	if (e && trigger > REFRESH_ONLY)
		e->hangs = false;
	for (i = u->wanted; i; i = i->next)
		if (streq(i->name, name) && streq(i->bus, bus)) {
			if (trigger > i->trigger)
				i->trigger = trigger;
			return;
		}
	i = new_item(bus, name, trigger);
	if (!i) {
		refresh_request_all(s, trigger);
		return;
	}
	if (!u->wanted)
		arm(u->soon, SOON_USEC);
	i->next = u->wanted;
	u->wanted = i;
}

void refresh_request_all(struct service *s, enum refresh_purpose trigger)
{
	struct refreshes *u = s->surveys;

	if (trigger > u->wanted_trigger)
		u->wanted_trigger = trigger;
	if (!u->wanted_all)
		arm(u->later, ALL_USEC);
	u->wanted_all = true;
}

int refresh_device_now(struct service *s, const char *bus, const char *name, void (*done)(void *userdata),
		       void *userdata, struct refresh **ret)
{
	struct item *i = new_item(bus, name, REFRESH_ONLY);
	struct device_entry *e = devices_find(&s->devices, bus, name);

	if (e)
		e->hangs = false;
	return i ? begin(s, false, REFRESH_ONLY, i, done, userdata, ret) : -ENOMEM;
}

int refresh_all_now(struct service *s, enum refresh_purpose trigger, void (*done)(void *userdata),
		    void *userdata, struct refresh **ret)
{
	return begin(s, true, trigger, NULL, done, userdata, ret);
}

void refresh_request_unread(struct service *s)
{
	if (s->surveys->unread)
		refresh_request_all(s, REFRESH_AND_RETRY);
	s->surveys->unread = false;
}

bool refreshes_awaited(const struct service *s)
{
	for (const struct refresh *v = s->surveys->running; v; v = v->next)
		if (v->done)
			return true;
	return false;
}

struct refresh *refresh_forget(struct refresh *survey)
{
	if (survey)
		survey->done = NULL;
	return NULL;
}

int refreshes_new(struct service *s)
{
	struct refreshes *u = calloc(1, sizeof(*u));
	int r;

	if (!u)
		return -ENOMEM;
	s->surveys = u;
	r = sd_event_add_time_relative(s->event, &u->soon, CLOCK_MONOTONIC, 0, 1000, on_soon, s);
	if (r >= 0)
		r = sd_event_add_time_relative(s->event, &u->later, CLOCK_MONOTONIC, 0, 10000, on_later, s);
	if (r < 0)
		return r;
	(void)sd_event_source_set_enabled(u->soon, SD_EVENT_OFF);
	(void)sd_event_source_set_enabled(u->later, SD_EVENT_OFF);
	return 0;
}

void refreshes_free(struct service *s)
{
	struct refreshes *u = s->surveys;

	if (!u)
		return;
	while (u->running)
		free_survey(u->running);
	free_items(u->wanted);
	(void)sd_event_source_disable_unref(u->soon);
	(void)sd_event_source_disable_unref(u->later);
	free(TAKE_PTR(s->surveys));
}
