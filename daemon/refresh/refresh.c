/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Looks at devices, as the service sees them: which are asked for, what comes of them; see refresh.h. */
#include "base/child.h"
#include "base/list.h"
#include "base/log.h"
#include "base/macro.h"
#include "base/text.h"
#include "daemon/bus/errors.h"
#include "daemon/refresh/refresh-look.h"
#include "daemon/refresh/refresh-worker.h"
#include "daemon/task.h"
#include "state/device-state.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>
#include <time.h>

/* Devices that hang one after the other. If there are more, something else is wrong: what has been read by
 * then is kept, and no other device is read. */
#define HANGS_MAX 32U
/* Processes left behind by all; from then on no user's call starts one more. */
#define LEFT_BEHIND_MAX 64U
/* How often a child that is only slow is started again, with all of its time: the machine may be busy. */
#define SLOW_MAX 4U
/* Events come in bunches. */
#define SOON_USEC 5000U
/* A policy that is being changed file by file must not mean a look at all devices for each file. */
#define ALL_USEC 200000U

static void items_free(struct refresh_item *i)
{
	while (i) {
		struct refresh_item *next = i->next;

		free(i);
		i = next;
	}
}

static void refresh_free(struct refresh *look)
{
	(void)list_remove(look->service->refreshes->running, look);
	look->task = task_forget(look->task);
	items_free(look->items);
	free(look);
}

static struct refresh_item *item_new(const char *bus, const char *name, enum refresh_purpose purpose)
{
	size_t b = strlen(bus) + 1, n = strlen(name) + 1;
	struct refresh_item *i = calloc(1, sizeof(*i) + b + n);

	if (i) {
		memcpy(i->bus, bus, b);
		memcpy(i->bus + b, name, n);
		i->name = i->bus + b;
		i->purpose = purpose;
	}
	return i;
}

/* Runs in the look's own process. */
static int refresh_work(FILE *out, struct task_note *note, void *arg)
{
	const struct refresh *look = arg;
	struct refresh_worker worker;
	int r = refresh_worker_begin(&worker, look->service, out, note);

	if (r < 0)
		return r;
	worker.blind = look->blind;
	worker.at_once = look->hangs > 0;
	if (look->all)
		return refresh_worker_read_all(&worker);
	for (const struct refresh_item *i = look->items; i && r >= 0; i = i->next)
		r = refresh_worker_read_device(&worker, i->bus, i->name);
	return r;
}

/* NULL: no memory. */
static struct device_entry *device_mark_hanging(struct service *s, const char *bus, const char *name)
{
	struct device_entry *e = devices_find(&s->devices, bus, name);

	if (!e)
		e = devices_add(&s->devices, bus, name);
	if (e)
		e->hangs = e->awaited = true;
	return e;
}

/* Unless it still hangs, as far as is known: else each look would leave one more process behind. */
static void device_try_again(struct device_entry *e)
{
	if (e && !e->awaited)
		e->hangs = false;
}

void refresh_device_is_back(struct service *s, const char *bus, const char *name)
{
	struct device_entry *e = devices_find(&s->devices, bus, name);

	if (e)
		e->awaited = false;
}

void refresh_device_hangs(struct service *s, const char *bus, const char *name)
{
	struct device_entry *e = devices_find(&s->devices, bus, name);

	if (!e || e->hangs)
		return;
	log_line(LOG_WARNING, "%s %s: reading its files in sysfs timed out, it is stuck", bus, name);
	e->hangs = e->awaited = true;
	refresh_request(s, bus, name, REFRESH_ONLY);
}

int refresh_check_device(const struct service *s, const char *bus, const char *name, sd_bus_error *reterr)
{
	const struct device_entry *e = name ? devices_find(&s->devices, bus, name) : NULL;

	if (e && e->hangs)
		return sd_bus_error_setf(reterr, ERROR_STUCK,
					 "%s %s is stuck: an earlier process is blocked in the kernel", bus,
					 name);
	if (tasks_left_behind() >= LEFT_BEHIND_MAX)
		return sd_bus_error_setf(reterr, ERROR_STUCK, "%u processes are blocked in the kernel",
					 tasks_left_behind());
	return 0;
}

static int refresh_start_worker(struct refresh *look);

/* True: that device is marked and the look goes on without it. */
static bool go_on_without(struct refresh *look, const struct task_note *note)
{
	struct service *s = look->service;

	/* A child that does not read, or not this device any more, is only slow. */
	if (!note->name[0] || (streq(look->without.name, note->name) && streq(look->without.bus, note->bus)))
		return ++look->slow <= SLOW_MAX && refresh_start_worker(look) >= 0;
	log_line(LOG_WARNING, "%s %s: reading its files in sysfs timed out, going on without it", note->bus,
		 note->name);
	if (!device_mark_hanging(s, note->bus, note->name))
		return false;
	look->without = *note;
	if (++look->hangs > HANGS_MAX) {
		log_line(LOG_ERR,
			 "reading timed out for more than %u devices, not reading the others before one of "
			 "those comes back",
			 HANGS_MAX);
		look->blind = true;
	}
	return refresh_start_worker(look) >= 0;
}

static void on_refresh_done(void *userdata, struct child_result result, const char *out, size_t size,
			    const struct task_note *note)
{
	struct refresh *look = userdata;
	struct service *s = look->service;
	void (*done)(void *userdata) = look->done;
	void *done_userdata = look->userdata;

	look->task = NULL;
	if (result.how == CHILD_TIMED_OUT && look->hangs == HANGS_MAX)
		refresh_take_devices(look, out, size);
	if (result.how == CHILD_TIMED_OUT && go_on_without(look, note))
		return;
	if (result.how == CHILD_OK) {
		refresh_take_devices(look, out, size);
		if (look->all) {
			refresh_take_out_others(look);
			if (look->generation > s->decided_generation)
				s->decided_generation = look->generation;
		}
	} else
		log_line(LOG_ERR, "looking at devices failed: %s", child_result_text(result));
	refresh_free(look);
	refresh_tell_finished(s);
	if (done)
		done(done_userdata);
}

static int refresh_start_worker(struct refresh *look)
{
	uint64_t usec = look->service->read_usec;

	/* It waits for nothing else. Once a device has not answered, the others are given less time. */
	return task_fork(look->service->event, refresh_work, look,
			 look->hangs > 0 && !look->slow ? usec / 4 : usec, on_refresh_done, look,
			 &look->task);
}

/* Takes the items. */
static int refresh_start(struct service *s, bool all, enum refresh_purpose purpose,
			 struct refresh_item *items, void (*done)(void *userdata), void *userdata,
			 struct refresh **ret)
{
	struct refresh *look = calloc(1, sizeof(*look));
	int r;

	if (!look) {
		items_free(items);
		return -ENOMEM;
	}
	*look = (struct refresh){ .next = s->refreshes->running,
				  .service = s,
				  .seq = ++s->refreshes->seq,
				  .generation = s->generation,
				  .all = all,
				  .purpose = purpose,
				  .items = items,
				  .done = done,
				  .userdata = userdata };
	s->refreshes->running = look;
	/* Those that did not answer are asked again. */
	if (all && purpose == REFRESH_AND_RETRY)
		for (struct device_entry *e = NULL; (e = devices_next(&s->devices, e));)
			device_try_again(e);
	r = refresh_start_worker(look);
	if (r < 0) {
		refresh_free(look);
		return r;
	}
	if (ret)
		*ret = look;
	return 0;
}

static int on_soon(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct service *s = userdata;
	struct refreshes *queue = s->refreshes;
	int r = 0;

	(void)usec;
	(void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
	if (queue->wanted)
		r = refresh_start(s, false, REFRESH_ONLY, TAKE_PTR(queue->wanted), NULL, NULL, NULL);
	if (r < 0)
		log_errno(LOG_ERR, r, "cannot look at devices");
	return 0;
}

static int on_later(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct service *s = userdata;
	struct refreshes *queue = s->refreshes;
	enum refresh_purpose purpose = queue->wanted_purpose;
	int r;

	(void)usec;
	(void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
	queue->wanted_all = false;
	queue->wanted_purpose = REFRESH_ONLY;
	r = refresh_start(s, true, purpose, NULL, NULL, NULL, NULL);
	if (r < 0)
		log_errno(LOG_ERR, r, "cannot look at all devices");
	return 0;
}

static void timer_arm(sd_event_source *source, uint64_t usec)
{
	(void)sd_event_source_set_time_relative(source, usec);
	(void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

void refresh_request(struct service *s, const char *bus, const char *name, enum refresh_purpose purpose)
{
	struct refreshes *queue = s->refreshes;
	struct device_entry *e = devices_find(&s->devices, bus, name);
	struct refresh_item *i;

	if (purpose > REFRESH_ONLY)
		device_try_again(e);
	for (i = queue->wanted; i; i = i->next)
		if (streq(i->name, name) && streq(i->bus, bus)) {
			if (purpose > i->purpose)
				i->purpose = purpose;
			return;
		}
	i = item_new(bus, name, purpose);
	if (!i) {
		refresh_request_all(s, purpose);
		return;
	}
	if (!queue->wanted)
		timer_arm(queue->soon, SOON_USEC);
	i->next = queue->wanted;
	queue->wanted = i;
}

void refresh_request_all(struct service *s, enum refresh_purpose purpose)
{
	struct refreshes *queue = s->refreshes;

	if (purpose > queue->wanted_purpose)
		queue->wanted_purpose = purpose;
	if (!queue->wanted_all)
		timer_arm(queue->later, ALL_USEC);
	queue->wanted_all = true;
}

void refresh_request_unread(struct service *s)
{
	if (s->refreshes->unread)
		refresh_request_all(s, REFRESH_AND_RETRY);
	s->refreshes->unread = false;
}

int refresh_devices_now(struct service *s, const struct refresh_device *devices, size_t n,
			void (*done)(void *userdata), void *userdata, struct refresh **ret)
{
	struct refresh_item *items = NULL;

	/* The last one first, so that they are looked at in their order. */
	while (n-- > 0) {
		struct refresh_item *i = item_new(devices[n].bus, devices[n].name, REFRESH_ONLY);

		if (!i) {
			items_free(items);
			return -ENOMEM;
		}
		device_try_again(devices_find(&s->devices, i->bus, i->name));
		i->next = items;
		items = i;
	}
	return refresh_start(s, false, REFRESH_ONLY, items, done, userdata, ret);
}

int refresh_device_now(struct service *s, const char *bus, const char *name, void (*done)(void *userdata),
		       void *userdata, struct refresh **ret)
{
	const struct refresh_device device = { bus, name };

	return refresh_devices_now(s, &device, 1, done, userdata, ret);
}

int refresh_all_now(struct service *s, enum refresh_purpose purpose, void (*done)(void *userdata),
		    void *userdata, struct refresh **ret)
{
	return refresh_start(s, true, purpose, NULL, done, userdata, ret);
}

void refresh_look_later(struct device_entry *e, enum refresh_purpose purpose)
{
	if (!e->dropped || purpose > e->dropped_purpose)
		e->dropped_purpose = purpose;
	e->dropped = true;
}

void refresh_follow_up(struct service *s, const char *bus, const char *name)
{
	struct device_entry *e = devices_find(&s->devices, bus, name);

	if (e && e->moves == 0 && e->dropped)
		refresh_request(s, bus, name, e->dropped_purpose);
}

/* A look that was asked for and has not begun would show the move half-way: it follows the move. */
static void refresh_put_off(struct refreshes *queue, struct device_entry *e)
{
	struct refresh_item **at = &queue->wanted, *i;

	while (*at && !(streq((*at)->name, e->field[FIELD_NAME]) && streq((*at)->bus, e->field[FIELD_BUS])))
		at = &(*at)->next;
	i = *at;
	if (!i)
		return;
	*at = i->next;
	refresh_look_later(e, i->purpose);
	free(i);
}

void refresh_move_begins(struct service *s, const char *bus, const char *name)
{
	struct device_entry *e = devices_find(&s->devices, bus, name);

	if (!e)
		return;
	refresh_put_off(s->refreshes, e);
	e->moves++;
	e->half_way_seq = s->refreshes->seq;
}

void refresh_move_ended(struct service *s, const char *bus, const char *name)
{
	struct device_entry *e = devices_find(&s->devices, bus, name);

	/* It may have gone and come again meanwhile. */
	if (!e || e->moves == 0)
		return;
	e->moves--;
	refresh_follow_up(s, bus, name);
}

bool refreshes_awaited(const struct service *s)
{
	for (const struct refresh *look = s->refreshes->running; look; look = look->next)
		if (look->done)
			return true;
	return false;
}

struct refresh *refresh_forget(struct refresh *look)
{
	if (look)
		look->done = NULL;
	return NULL;
}

int refreshes_new(struct service *s)
{
	struct refreshes *queue = calloc(1, sizeof(*queue));
	int r;

	if (!queue)
		return -ENOMEM;
	s->refreshes = queue;
	r = sd_event_add_time_relative(s->event, &queue->soon, CLOCK_MONOTONIC, 0, 1000, on_soon, s);
	if (r >= 0)
		r = sd_event_add_time_relative(s->event, &queue->later, CLOCK_MONOTONIC, 0, 10000, on_later,
					       s);
	if (r < 0)
		return r;
	(void)sd_event_source_set_enabled(queue->soon, SD_EVENT_OFF);
	(void)sd_event_source_set_enabled(queue->later, SD_EVENT_OFF);
	return 0;
}

void refreshes_free(struct service *s)
{
	struct refreshes *queue = s->refreshes;

	if (!queue)
		return;
	while (queue->running)
		refresh_free(queue->running);
	items_free(queue->wanted);
	(void)sd_event_source_disable_unref(queue->soon);
	(void)sd_event_source_disable_unref(queue->later);
	free(TAKE_PTR(s->refreshes));
}
