/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a client of the service does: calls, properties, signals; see harness.h. */
#include "base/macro.h"
#include "base/text.h"
#include "tests/bus/harness.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

static sd_bus_message *method_new(sd_bus *bus, const char *path, const char *interface, const char *member)
{
	sd_bus_message *m = NULL;

	ck_assert_int_ge(
		sd_bus_message_new_method_call(bus, &m, "org.driveroverrides1", path, interface, member), 0);
	return m;
}

/* Takes the message. */
static sd_bus_message *reply_to(struct harness *h, sd_bus *bus, sd_bus_message *m)
{
	sd_bus_message *reply = NULL;

	sd_bus_error_free(&h->error);
	if (sd_bus_call(bus, m, PATIENCE_USEC, &h->error, &reply) < 0)
		reply = NULL;
	(void)sd_bus_message_unref(m);
	return reply;
}

static sd_bus_message *call_va(struct harness *h, sd_bus *bus, const char *path, const char *interface,
			       const char *member, const char *types, va_list ap)
{
	sd_bus_message *m = method_new(bus, path, interface, member);

	if (types)
		ck_assert_int_ge(sd_bus_message_appendv(m, types, ap), 0);
	return reply_to(h, bus, m);
}

sd_bus_message *call_on(struct harness *h, sd_bus *bus, const char *path, const char *interface,
			const char *member, const char *types, ...)
{
	sd_bus_message *reply;
	va_list ap;

	va_start(ap, types);
	reply = call_va(h, bus, path, interface, member, types, ap);
	va_end(ap);
	return reply;
}

sd_bus_message *call(struct harness *h, const char *member, const char *types, ...)
{
	sd_bus_message *reply;
	va_list ap;

	va_start(ap, types);
	reply = call_va(h, h->bus, ROOT_PATH, MANAGER, member, types, ap);
	va_end(ap);
	return reply;
}

void send_call(sd_bus *bus, const char *member, const char *types, ...)
{
	sd_bus_message *m = method_new(bus, ROOT_PATH, MANAGER, member);
	uint64_t serial; /* without it sd_bus_send() says that no reply is wanted */
	va_list ap;

	va_start(ap, types);
	ck_assert_int_ge(sd_bus_message_appendv(m, types, ap), 0);
	va_end(ap);
	ck_assert_int_ge(sd_bus_send(bus, m, &serial), 0);
	ck_assert_int_ge(sd_bus_flush(bus), 0);
	(void)sd_bus_message_unref(m);
}

const char *outcome(struct harness *h, sd_bus_message *reply)
{
	const char *text = NULL;

	if (!reply) {
		const char *dot = strrchr(h->error.name, '.');

		return mock_printf(h->m, "!%s", dot ? dot + 1 : h->error.name);
	}
	if (sd_bus_message_read(reply, "s", &text) < 0)
		text = "(no string)";
	text = mock_printf(h->m, "%s", text);
	(void)sd_bus_message_unref(reply);
	return text;
}

static const char *act(struct harness *h, const char *member, const char *bus, const char *name,
		       const char *driver, va_list ap)
{
	sd_bus_message *m = method_new(h->bus, ROOT_PATH, MANAGER, member);
	const char *key;

	ck_assert_int_ge(sd_bus_message_append(m, "ss", bus, name), 0);
	if (driver)
		ck_assert_int_ge(sd_bus_message_append(m, "s", driver), 0);
	ck_assert_int_ge(sd_bus_message_open_container(m, 'a', "{sv}"), 0);
	while ((key = va_arg(ap, const char *))) {
		const char *type = va_arg(ap, const char *);

		if (*type == 's')
			ck_assert_int_ge(sd_bus_message_append(m, "{sv}", key, "s", va_arg(ap, const char *)),
					 0);
		else
			ck_assert_int_ge(sd_bus_message_append(m, "{sv}", key, type, va_arg(ap, int)), 0);
	}
	ck_assert_int_ge(sd_bus_message_close_container(m), 0);
	return outcome(h, reply_to(h, h->bus, m));
}

const char *set_with(struct harness *h, const char *bus, const char *name, const char *driver, ...)
{
	const char *text;
	va_list ap;

	va_start(ap, driver);
	text = act(h, "SetOverride", bus, name, driver, ap);
	va_end(ap);
	return text;
}

const char *clear_with(struct harness *h, const char *bus, const char *name, ...)
{
	const char *text;
	va_list ap;

	va_start(ap, name);
	text = act(h, "ClearOverride", bus, name, NULL, ap);
	va_end(ap);
	return text;
}

const char *apply_with(struct harness *h, const char *bus, const char *name, ...)
{
	const char *text;
	va_list ap;

	va_start(ap, name);
	text = act(h, "Apply", bus, name, NULL, ap);
	va_end(ap);
	return text;
}

const char *set(struct harness *h, const char *bus, const char *name, const char *driver)
{
	return set_with(h, bus, name, driver, NULL);
}

const char *clear(struct harness *h, const char *bus, const char *name)
{
	return clear_with(h, bus, name, NULL);
}

const char *property(struct harness *h, const char *bus, const char *name, const char *which)
{
	sd_bus_message *reply = NULL;
	char *path = NULL;
	const char *text;

	ck_assert_int_ge(sd_bus_path_encode_many(&path, "/org/driveroverrides1/device/%/%", bus, name), 0);
	sd_bus_error_free(&h->error);
	if (sd_bus_get_property(h->bus, "org.driveroverrides1", path, "org.driveroverrides1.Device", which,
				&h->error, &reply, streq(which, "Group") ? "o" : "s") < 0) {
		free(path);
		return outcome(h, NULL);
	}
	free(path);
	ck_assert_int_ge(sd_bus_message_read_basic(reply, streq(which, "Group") ? 'o' : 's', &text), 0);
	text = mock_printf(h->m, "%s", text);
	(void)sd_bus_message_unref(reply);
	return text;
}

const char *manager_property(struct harness *h, const char *which, const char *type)
{
	sd_bus_message *reply = NULL;
	const char *text = "";
	uint64_t t = 0;
	uint32_t u = 0;

	sd_bus_error_free(&h->error);
	if (sd_bus_get_property(h->bus, "org.driveroverrides1", "/org/driveroverrides1",
				"org.driveroverrides1.Manager", which, &h->error, &reply, type) < 0)
		return outcome(h, NULL);
	if (*type == 's') {
		ck_assert_int_ge(sd_bus_message_read(reply, "s", &text), 0);
		text = mock_printf(h->m, "%s", text);
	} else if (*type == 't') {
		ck_assert_int_ge(sd_bus_message_read(reply, "t", &t), 0);
		text = mock_printf(h->m, "%ju", (uintmax_t)t);
	} else if (*type == 'u') {
		ck_assert_int_ge(sd_bus_message_read(reply, "u", &u), 0);
		text = mock_printf(h->m, "%u", u);
	}
	(void)sd_bus_message_unref(reply);
	return text;
}

void wait_property(struct harness *h, const char *bus, const char *name, const char *which, const char *what)
{
	for (uint64_t end = clock_usec() + PATIENCE_USEC; !streq(property(h, bus, name, which), what);
	     (void)usleep(10000))
		ck_assert_msg(clock_usec() < end, "%s of %s %s stays %s, not %s", which, bus, name,
			      property(h, bus, name, which), what);
}

static int on_signal(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct signals *s = userdata;
	const char *first = NULL, *contents = NULL;
	char type;

	(void)error;
	if (sd_bus_message_peek_type(m, &type, &contents) > 0 && (type == 's' || type == 'o'))
		(void)sd_bus_message_read_basic(m, type, &first);
	if (strstr(sd_bus_message_get_path(m), "/" SENTINEL) || (first && strstr(first, "/" SENTINEL)))
		return 0;
	s->n++;
	s->last = mock_printf(s->h->m, "%s", first ? first : "");
	s->log = mock_printf(s->h->m, "%s%s %s; ", s->log, sd_bus_message_get_path(m), s->last);
	return 0;
}

void listen_for(struct harness *h, struct signals *s, const char *interface, const char *member)
{
	*s = (struct signals){ .h = h, .last = "", .log = "" };
	ck_assert_int_ge(sd_bus_match_signal(h->bus, NULL, "org.driveroverrides1", NULL, interface, member,
					     on_signal, s),
			 0);
}

void wait_signals(struct signals *s, unsigned n)
{
	for (uint64_t end = clock_usec() + PATIENCE_USEC; s->n < n;) {
		int r = sd_bus_process(s->h->bus, NULL);

		ck_assert_int_ge(r, 0);
		ck_assert_msg(clock_usec() < end, "%u signals instead of %u: %s", s->n, n, s->log);
		if (r == 0)
			(void)sd_bus_wait(s->h->bus, 100000);
	}
}

/* What is there, without waiting. */
static void signals_take(struct harness *h)
{
	while (sd_bus_process(h->bus, NULL) > 0)
		;
}

#define PLATFORM_SENTINEL "/devices/platform/" SENTINEL

/* Processes of the service that are at work. */
static unsigned service_children(const struct harness *h)
{
	_cleanup_(closedirp) DIR *proc = opendir("/proc");
	const struct dirent *e;
	unsigned n = 0;

	while (proc && (e = readdir(proc))) {
		_cleanup_(fclosep) FILE *f = NULL;
		char path[64], state;
		int parent;

		if (e->d_name[0] < '0' || e->d_name[0] > '9')
			continue;
		(void)snprintf(path, sizeof(path), "/proc/%.16s/stat", e->d_name);
		f = fopen(path, "re");
		if (f && fscanf(f, "%*d (%*[^)]) %c %d", &state, &parent) == 2)
			n += parent == h->service;
	}
	return n;
}

static int on_sentinel_told(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct harness *h = userdata;
	const char *path = sd_bus_message_get_path(m);

	(void)error;
	if (sd_bus_message_is_signal(m, "org.freedesktop.DBus.ObjectManager", "InterfacesAdded"))
		ck_assert_int_gt(sd_bus_message_read(m, "o", &path), 0);
	h->sentinel_told += strstr(path, "/" SENTINEL) != NULL;
	return 0;
}

static void sentinel_add(struct harness *h)
{
	(void)mock_platform_add(h->m, SENTINEL, NULL);
	ck_assert_int_ge(sd_bus_match_signal(h->bus, NULL, "org.driveroverrides1", NULL, NULL, NULL,
					     on_sentinel_told, h),
			 0);
}

/* All devices are looked at after what was asked for before, and this one with them; then it is told. */
static void sentinel_change(struct harness *h)
{
	const char *text = mock_printf(h->m, "x%u", ++h->settled);
	unsigned told = h->sentinel_told;

	mock_attr(h->m, PLATFORM_SENTINEL, "driver_override", mock_printf(h->m, "%s\n", text));
	tell(h, "move", "platform", SENTINEL);
	wait_property(h, "platform", SENTINEL, "Override", text);
	for (uint64_t end = clock_usec() + PATIENCE_USEC; h->sentinel_told == told;) {
		ck_assert_msg(clock_usec() < end, "a change is not signalled");
		if (sd_bus_process(h->bus, NULL) == 0)
			(void)sd_bus_wait(h->bus, 100000);
	}
}

void settle(struct harness *h)
{
	if (access(mock_path(h->m, PLATFORM_SENTINEL, "driver_override"), F_OK) < 0)
		sentinel_add(h);
	/* Twice: what came of work that had ended by the first time is told before the second. */
	for (unsigned quiet = 0; quiet < 2;) {
		uint64_t end = clock_usec() + PATIENCE_USEC;

		sentinel_change(h);
		quiet = service_children(h) > h->left_behind ? 0 : quiet + 1;
		/* What comes of their work is looked at as well. */
		while (service_children(h) > h->left_behind) {
			ck_assert_msg(clock_usec() < end, "the service stays at work");
			(void)usleep(1000);
		}
	}
	signals_take(h);
}
