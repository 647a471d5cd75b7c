/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Answers as long as the list of devices; see bus-answers.h.
 *
 * An answer is made anew for each call: libsystemd cannot send bytes that were made before, and copying a
 * message (sd_bus_message_copy()) takes twice as long as making it from the table. An answer is of one
 * moment, and agrees with the signals that come before it: if a device changes between two slices, it begins
 * again, and what is not told yet by signals is told before the answer is sent.
 */
#include "daemon/bus/bus-answers.h"
#include "base/list.h"
#include "base/macro.h"
#include "base/text.h"
#include "daemon/bus/bus-signals.h"
#include "daemon/bus/bus.h"
#include "daemon/bus/caller.h"
#include "daemon/bus/device-signals.h"
#include "daemon/bus/limits.h"
#include "daemon/table/group-table.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>
#include <time.h>

/* Devices or groups of one slice, which takes a few milliseconds. */
#define SLICE_ITEMS 256U
/* An answer that had to begin anew so often is made in one go. */
#define RESTARTS_MAX 4U
/* While calls come without a pause, they are handled first, but a slice is made at least so often. */
#define SLICE_USEC_MAX 20000U
/* When it is looked again whether the bus has taken the answer before. */
#define BUS_BUSY_USEC 1000U

enum answer_kind {
	ANSWER_DEVICES,
	ANSWER_OBJECTS,
};

struct answer {
	struct answer *next;
	sd_bus_message *call;
	uid_t uid;
	enum answer_kind kind;
	/* Once it is begun: */
	sd_bus_message *reply;
	struct device_entry **devices; /* as sorted; good while nothing changes */
	size_t n_devices, n_groups, at;
	uint64_t changes; /* of the table, when it was begun */
	unsigned begun;	  /* how often */
};

struct answers {
	struct answer *first; /* in the order in which they were asked for */
	uid_t last_uid;	      /* whose answer was begun last */
	bool none_is_allowed; /* all that wait are of users who have had too much lately */
	/* One fires when no call is waiting to be handled, the other when it is time in any case. */
	sd_event_source *when_idle, *in_any_case;
};

static void answer_drop_reply(struct answer *a)
{
	a->reply = sd_bus_message_unref(a->reply);
	free(TAKE_PTR(a->devices));
}

static void answer_free(struct service *s, struct answer *a)
{
	(void)list_remove(s->answers->first, a);
	limit_give_back(s, a->uid, LIMIT_ANSWERS);
	answer_drop_reply(a);
	(void)sd_bus_message_unref(a->call);
	free(a);
}

static int answer_begin(struct service *s, struct answer *a)
{
	int r;

	answer_drop_reply(a);
	a->begun++;
	a->at = 0;
	a->changes = s->devices.changes;
	a->n_devices = s->devices.n;
	a->n_groups = a->kind == ANSWER_OBJECTS ? groups_count(s) : 0;
	a->devices = devices_sorted(&s->devices);
	r = a->devices ? sd_bus_message_new_method_return(a->call, &a->reply) : -ENOMEM;
	if (r < 0)
		return r;
	return sd_bus_message_open_container(a->reply, 'a',
					     a->kind == ANSWER_DEVICES ? "(sssssso)" : "{oa{sa{sv}}}");
}

static int answer_append_line(sd_bus_message *reply, const struct device_entry *e)
{
	_cleanup_(freep) char *path = device_object_path(e);
	const char *const *f = e->field;

	if (!path)
		return -ENOMEM;
	return sd_bus_message_append(reply, "(sssssso)", f[FIELD_BUS], f[FIELD_NAME], f[FIELD_DRIVER],
				     f[FIELD_OVERRIDE], f[FIELD_DECISION], f[FIELD_STATE], path);
}

/* One object: its path, the interfaces that sd-bus gives to all, and its own, whose properties append()
 * writes. */
static int answer_append_object(sd_bus_message *reply, const char *path, const char *interface,
				int (*append)(sd_bus_message *m, const void *object), const void *object)
{
	int r = path ? sd_bus_message_open_container(reply, 'e', "oa{sa{sv}}") : -ENOMEM;

	if (r >= 0)
		r = sd_bus_message_append(reply, "o", path);
	if (r >= 0)
		r = sd_bus_message_open_container(reply, 'a', "{sa{sv}}");
	if (r >= 0)
		r = sd_bus_message_append(reply, "{sa{sv}}{sa{sv}}{sa{sv}}", "org.freedesktop.DBus.Peer", 0,
					  "org.freedesktop.DBus.Introspectable", 0,
					  "org.freedesktop.DBus.Properties", 0);
	if (r >= 0)
		r = sd_bus_message_open_container(reply, 'e', "sa{sv}");
	if (r >= 0)
		r = sd_bus_message_append(reply, "s", interface);
	if (r >= 0)
		r = sd_bus_message_open_container(reply, 'a', "{sv}");
	if (r >= 0)
		r = append(reply, object);
	for (unsigned i = 0; r >= 0 && i < 4; i++)
		r = sd_bus_message_close_container(reply);
	return r;
}

static int answer_append_item(struct service *s, struct answer *a)
{
	_cleanup_(freep) char *path = NULL;
	const struct device_entry *e;
	const struct group *g;

	if (a->at >= a->n_devices) {
		g = groups_at(s, a->at - a->n_devices);
		path = group_object_path(group_id(g));
		return answer_append_object(a->reply, path, GROUP_INTERFACE, group_append_properties, g);
	}
	e = a->devices[a->at];
	if (a->kind == ANSWER_DEVICES)
		return answer_append_line(a->reply, e);
	path = device_object_path(e);
	return answer_append_object(a->reply, path, DEVICE_INTERFACE, device_append_properties, e);
}

/* One slice. 1: there is more to do; 0: the answer has been sent; negative errno. */
static int answer_continue(struct service *s, struct answer *a)
{
	size_t n = 0, end;
	int r = 0;

	if (!a->reply || a->changes != s->devices.changes)
		r = answer_begin(s, a);
	end = a->n_devices + a->n_groups;
	for (; r >= 0 && a->at < end && (n < SLICE_ITEMS || a->begun > RESTARTS_MAX); n++, a->at++)
		r = answer_append_item(s, a);
	if (r < 0 || a->at < end)
		return r < 0 ? r : 1;
	/* The signal of what the answer says has to come before it. */
	while (device_signals_tell_some(s))
		if (a->begun <= RESTARTS_MAX)
			return 1;
	r = sd_bus_message_close_container(a->reply);
	return r < 0 ? r : sd_bus_send(s->bus, a->reply, NULL) < 0 ? -EIO : 0;
}

/* The same, to its end. True: the answer is over. */
static bool answer_continue_and_end(struct service *s, struct answer *a)
{
	int r = answer_continue(s, a);

	if (r > 0)
		return false;
	if (r < 0)
		(void)sd_bus_reply_method_errno(a->call, r, NULL);
	answer_free(s, a);
	return true;
}

/*
 * How much an answer costs, in lines of ListDevices. An object is ten times as long as a line. It costs four
 * times that, since what keeps others waiting is the bus: dbus-daemon takes in a message of five megabytes in
 * a quarter of a second, and any other answer of ours waits behind it.
 */
static size_t answer_cost(const struct service *s, const struct answer *a)
{
	return s->devices.n * (a->kind == ANSWER_OBJECTS ? 40 : 1);
}

static bool answer_is_allowed(struct service *s, const struct answer *a, uint64_t *wait)
{
	uint64_t usec = limit_take_lines(s, a->uid, answer_cost(s, a));

	if (usec > 0 && usec < *wait)
		*wait = usec;
	return usec == 0;
}

/*
 * Root's, the one that is begun, one of another user than the last, any: whose user has not had too much
 * lately. NULL: that is so for none; *ret_wait: how long.
 */
static struct answer *answers_pick(struct service *s, uint64_t *ret_wait)
{
	struct answers *all = s->answers;

	*ret_wait = UINT64_MAX;
	for (struct answer *a = all->first; a; a = a->next)
		if (caller_is_root(a->uid))
			return a;
	for (struct answer *a = all->first; a; a = a->next)
		if (a->begun > 0)
			return a;
	for (unsigned any = 0; any <= 1; any++)
		for (struct answer *a = all->first; a; a = a->next)
			if ((a->uid == all->last_uid) == any && answer_is_allowed(s, a, ret_wait))
				return a;
	return NULL;
}

static void answers_arm(struct service *s, uint64_t idle_usec, uint64_t usec)
{
	struct answers *all = s->answers;

	(void)sd_event_source_set_time_relative(all->when_idle, idle_usec);
	(void)sd_event_source_set_enabled(all->when_idle, SD_EVENT_ONESHOT);
	(void)sd_event_source_set_time_relative(all->in_any_case, usec);
	(void)sd_event_source_set_enabled(all->in_any_case, SD_EVENT_ONESHOT);
}

static bool answers_root_waits(const struct answers *all)
{
	for (const struct answer *a = all->first; a; a = a->next)
		if (caller_is_root(a->uid))
			return true;
	return false;
}

static void answers_work(struct service *s)
{
	struct answers *all = s->answers;
	uint64_t queued = 0, wait;
	struct answer *a;

	(void)sd_bus_get_n_queued_write(s->bus, &queued);
	if (queued > 0 && !answers_root_waits(all)) {
		answers_arm(s, BUS_BUSY_USEC, SLICE_USEC_MAX);
		return;
	}
	a = answers_pick(s, &wait);
	all->none_is_allowed = !a;
	if (!a) {
		answers_arm(s, wait, wait);
		return;
	}
	all->last_uid = a->uid;
	(void)answer_continue_and_end(s, a);
	/* Root's, which any number of others' calls would put off by the whole time for each slice, is made
	 * before these. */
	if (all->first)
		answers_arm(s, 0, answers_root_waits(all) ? 0 : SLICE_USEC_MAX);
}

static int on_answers_due(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct service *s = userdata;

	(void)source;
	(void)usec;
	(void)sd_event_source_set_enabled(s->answers->when_idle, SD_EVENT_OFF);
	(void)sd_event_source_set_enabled(s->answers->in_any_case, SD_EVENT_OFF);
	if (s->answers->first)
		answers_work(s);
	return 0;
}

static int answer_start(struct service *s, sd_bus_message *call, uid_t uid, enum answer_kind kind,
			sd_bus_error *reterr)
{
	struct answers *all = s->answers;
	bool at_once = !all->first || all->none_is_allowed;
	struct answer *a;

	if (!sd_bus_message_get_expect_reply(call))
		return 1;
	if (!limit_take(s, uid, LIMIT_ANSWERS))
		return sd_bus_error_set(reterr, SD_BUS_ERROR_LIMITS_EXCEEDED, "too many calls are under way");
	a = calloc(1, sizeof(*a));
	if (!a) {
		limit_give_back(s, uid, LIMIT_ANSWERS);
		return -ENOMEM;
	}
	*a = (struct answer){ .call = sd_bus_message_ref(call), .uid = uid, .kind = kind };
	list_append(all->first, a);
	if (at_once)
		answers_work(s);
	return 1;
}

int answer_list_devices(struct service *s, sd_bus_message *call, uid_t uid, sd_bus_error *reterr)
{
	return answer_start(s, call, uid, ANSWER_DEVICES, reterr);
}

static int answer_managed_objects(struct service *s, sd_bus_message *call, uid_t uid, sd_bus_error *reterr)
{
	return answer_start(s, call, uid, ANSWER_OBJECTS, reterr);
}

int answers_filter(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	if (!sd_bus_message_is_method_call(m, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects") ||
	    !streq(sd_bus_message_get_path(m), BUS_PATH) || sd_bus_message_get_signature(m, true)[0])
		return 0;
	return caller_dispatch(userdata, m, answer_managed_objects, error);
}

bool answers_are_waited_for(const struct service *s)
{
	return s->answers->first != NULL;
}

static int answers_add_timer(struct service *s, sd_event_source **ret, int64_t priority)
{
	int r = sd_event_add_time_relative(s->event, ret, CLOCK_MONOTONIC, 0, 1, on_answers_due, s);

	if (r >= 0)
		r = sd_event_source_set_priority(*ret, priority);
	return r < 0 ? r : sd_event_source_set_enabled(*ret, SD_EVENT_OFF);
}

int answers_new(struct service *s)
{
	int r;

	s->answers = calloc(1, sizeof(*s->answers));
	if (!s->answers)
		return -ENOMEM;
	r = answers_add_timer(s, &s->answers->when_idle, PRIORITY_OTHERS + 1);
	return r < 0 ? r : answers_add_timer(s, &s->answers->in_any_case, PRIORITY_OTHERS - 1);
}

void answers_free(struct service *s)
{
	struct answers *all = s->answers;

	if (!all)
		return;
	while (all->first)
		answer_free(s, all->first);
	(void)sd_event_source_disable_unref(all->when_idle);
	(void)sd_event_source_disable_unref(all->in_any_case);
	free(TAKE_PTR(s->answers));
}
