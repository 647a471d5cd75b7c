/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which user a call comes from; see caller.h. */
#include "daemon/bus/caller.h"
#include "base/list.h"
#include "base/macro.h"
#include "base/text.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

/* Connections whose user is known; the one that has not called for longest is forgotten. */
#define CALLERS_KEPT_MAX 128U
/* Calls of one connection that come before the bus has said whose it is. */
#define CALLS_WAITING_MAX 32U

struct caller_call {
	struct caller_call *next;
	sd_bus_message *call;
	caller_handler_t handler;
};

/* One connection. */
struct caller {
	struct caller *next;
	struct service *service;
	char *name;
	uid_t uid;
	bool is_known;
	sd_bus_slot *slot;	     /* of the question */
	struct caller_call *waiting; /* in the order in which they came */
	unsigned n_waiting;
};

struct callers {
	struct caller *first; /* the one that called last */
	unsigned n;
};

bool caller_is_root(uid_t uid)
{
	return uid == 0 || uid == geteuid();
}

static void caller_free(struct caller *c)
{
	if (list_remove(c->service->callers->first, c))
		c->service->callers->n--;
	(void)sd_bus_slot_unref(c->slot);
	for (struct caller_call *x = c->waiting, *next; x; x = next) {
		next = x->next;
		(void)sd_bus_message_unref(x->call);
		free(x);
	}
	free(c->name);
	free(c);
}

/* Handles what has waited, or refuses it with the error. */
static void caller_handle_waiting(struct caller *c, const sd_bus_error *error)
{
	struct caller_call *x;

	while ((x = c->waiting)) {
		sd_bus_error failure = SD_BUS_ERROR_NULL;
		int r;

		c->waiting = x->next;
		c->n_waiting--;
		r = error ? sd_bus_error_copy(&failure, error)
			  : x->handler(c->service, x->call, c->uid, &failure);
		if (r < 0)
			(void)sd_bus_reply_method_errno(x->call, r, &failure);
		sd_bus_error_free(&failure);
		(void)sd_bus_message_unref(x->call);
		free(x);
	}
}

static int on_uid_reply(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	static const sd_bus_error refusal =
		SD_BUS_ERROR_MAKE_CONST(SD_BUS_ERROR_ACCESS_DENIED, "the bus does not say who calls");
	struct caller *c = userdata;
	uint32_t uid;

	(void)error;
	c->slot = sd_bus_slot_unref(c->slot);
	if (sd_bus_message_is_method_error(m, NULL) || sd_bus_message_read(m, "u", &uid) < 0) {
		caller_handle_waiting(c, &refusal);
		caller_free(c);
		return 1;
	}
	c->uid = uid;
	c->is_known = true;
	caller_handle_waiting(c, NULL);
	return 1;
}

static void callers_drop_oldest(struct callers *all)
{
	struct caller *oldest = NULL;

	for (struct caller *c = all->first; c; c = c->next)
		if (c->is_known)
			oldest = c;
	if (oldest)
		caller_free(oldest);
}

static int caller_new(struct service *s, const char *name, struct caller **ret)
{
	struct caller *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->service = s;
	c->name = strdup(name);
	r = c->name ? sd_bus_call_method_async(s->bus, &c->slot, "org.freedesktop.DBus",
					       "/org/freedesktop/DBus", "org.freedesktop.DBus",
					       "GetConnectionUnixUser", on_uid_reply, c, "s", name)
		    : -ENOMEM;
	if (r < 0) {
		caller_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

/* Puts it at the front of the list, where it is found fast. */
static int caller_get(struct service *s, const char *name, struct caller **ret)
{
	struct callers *all = s->callers;
	struct caller *c = all->first;
	int r = 0;

	while (c && !streq(c->name, name))
		c = c->next;
	if (c)
		(void)list_remove(all->first, c);
	else {
		r = caller_new(s, name, &c);
		if (r < 0)
			return r;
		if (++all->n > CALLERS_KEPT_MAX)
			callers_drop_oldest(all);
	}
	c->next = all->first;
	all->first = c;
	*ret = c;
	return 0;
}

int caller_dispatch(struct service *s, sd_bus_message *call, caller_handler_t handler, sd_bus_error *reterr)
{
	const char *name = sd_bus_message_get_sender(call);
	struct caller_call *x;
	struct caller *c;
	int r;

	if (!name)
		return sd_bus_error_set(reterr, SD_BUS_ERROR_ACCESS_DENIED, "the call has no sender");
	r = caller_get(s, name, &c);
	if (r < 0)
		return r;
	if (c->is_known)
		return handler(s, call, c->uid, reterr);
	if (c->n_waiting >= CALLS_WAITING_MAX)
		return sd_bus_error_set(reterr, SD_BUS_ERROR_LIMITS_EXCEEDED, "too many calls are under way");
	x = calloc(1, sizeof(*x));
	if (!x)
		return -ENOMEM;
	x->call = sd_bus_message_ref(call);
	x->handler = handler;
	list_append(c->waiting, x);
	c->n_waiting++;
	return 1;
}

int callers_new(struct service *s)
{
	s->callers = calloc(1, sizeof(*s->callers));
	return s->callers ? 0 : -ENOMEM;
}

void callers_free(struct service *s)
{
	while (s->callers && s->callers->first)
		caller_free(s->callers->first);
	free(TAKE_PTR(s->callers));
}
