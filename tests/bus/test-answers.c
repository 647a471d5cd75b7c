/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The answers that are as long as the list of devices: what is in them, and whose comes first. */
#include "base/macro.h"
#include "base/text.h"
#include "tests/bus/harness.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-bus.h>

#define OBJECT_MANAGER "org.freedesktop.DBus.ObjectManager"
/* More than one slice; see bus-answers.c. */
#define MANY 600U

static const char *many_name(struct harness *h, unsigned i)
{
	return mock_printf(h->m, "many.%u", i);
}

static struct harness *begin(unsigned n)
{
	struct harness *h = harness_new();

	three_devices(h);
	for (unsigned i = 0; i < n; i++)
		(void)mock_platform_add(h->m, many_name(h, i), "platform:many");
	service_start(h);
	return h;
}

/* The properties of an a{sv}, as text; the types are those that ours have. */
static const char *properties_text(struct harness *h, sd_bus_message *m)
{
	const char *text = "", *name, *contents, *s;
	uint64_t number;
	int flag;

	ck_assert_int_gt(sd_bus_message_enter_container(m, 'a', "{sv}"), 0);
	while (sd_bus_message_enter_container(m, 'e', "sv") > 0) {
		ck_assert_int_gt(sd_bus_message_read(m, "s", &name), 0);
		ck_assert_int_gt(sd_bus_message_peek_type(m, NULL, &contents), 0);
		ck_assert_int_gt(sd_bus_message_enter_container(m, 'v', contents), 0);
		text = mock_printf(h->m, "%s%s %s", text, name, contents);
		if (streq(contents, "b")) {
			ck_assert_int_gt(sd_bus_message_read(m, "b", &flag), 0);
			text = mock_printf(h->m, "%s %d", text, flag);
		} else if (streq(contents, "t")) {
			ck_assert_int_gt(sd_bus_message_read(m, "t", &number), 0);
			text = mock_printf(h->m, "%s %ju", text, (uintmax_t)number);
		} else if (streq(contents, "ao")) {
			ck_assert_int_gt(sd_bus_message_enter_container(m, 'a', "o"), 0);
			while (sd_bus_message_read(m, "o", &s) > 0)
				text = mock_printf(h->m, "%s %s", text, s);
			ck_assert_int_ge(sd_bus_message_exit_container(m), 0);
		} else {
			ck_assert_int_gt(sd_bus_message_read_basic(m, contents[0], &s), 0);
			text = mock_printf(h->m, "%s %s", text, s);
		}
		text = mock_printf(h->m, "%s\n", text);
		ck_assert_int_ge(sd_bus_message_exit_container(m), 0);
		ck_assert_int_ge(sd_bus_message_exit_container(m), 0);
	}
	ck_assert_int_ge(sd_bus_message_exit_container(m), 0);
	return text;
}

static const char *get_all(struct harness *h, const char *path, const char *interface)
{
	sd_bus_message *reply =
		call_on(h, h->bus, path, "org.freedesktop.DBus.Properties", "GetAll", "s", interface);
	const char *text;

	ck_assert_msg(reply != NULL, "%s: %s", path, h->error.message);
	text = properties_text(h, reply);
	(void)sd_bus_message_unref(reply);
	return text;
}

/* One object of GetManagedObjects; the number of its interfaces that have properties. */
static unsigned check_object(struct harness *h, sd_bus_message *m)
{
	const char *path, *interface;
	unsigned n = 0, n_empty = 0;

	ck_assert_int_gt(sd_bus_message_read(m, "o", &path), 0);
	ck_assert_int_gt(sd_bus_message_enter_container(m, 'a', "{sa{sv}}"), 0);
	while (sd_bus_message_enter_container(m, 'e', "sa{sv}") > 0) {
		const char *text;

		ck_assert_int_gt(sd_bus_message_read(m, "s", &interface), 0);
		text = properties_text(h, m);
		if (startswith(interface, "org.freedesktop.DBus.")) {
			n_empty++;
			ck_assert_str_eq(text, "");
		} else {
			n++;
			ck_assert_str_eq(text, get_all(h, path, interface));
		}
		ck_assert_int_ge(sd_bus_message_exit_container(m), 0);
	}
	ck_assert_int_ge(sd_bus_message_exit_container(m), 0);
	ck_assert_uint_eq(n_empty, 3);
	return n;
}

START_TEST(managed_objects_have_the_properties_that_each_object_has)
{
	struct harness *h = begin(3);
	sd_bus_message *reply;
	unsigned n = 0;

	ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "enforced");
	reply = call_on(h, h->bus, ROOT_PATH, OBJECT_MANAGER, "GetManagedObjects", NULL);
	ck_assert_ptr_nonnull(reply);
	ck_assert_int_gt(sd_bus_message_enter_container(reply, 'a', "{oa{sa{sv}}}"), 0);
	while (sd_bus_message_enter_container(reply, 'e', "oa{sa{sv}}") > 0) {
		n += check_object(h, reply);
		ck_assert_int_ge(sd_bus_message_exit_container(reply), 0);
	}
	ck_assert_uint_eq(n, 6 + 2); /* devices and groups */
	(void)sd_bus_message_unref(reply);
	/* Other objects manage none. */
	ck_assert_ptr_null(call_on(h, h->bus, "/org", OBJECT_MANAGER, "GetManagedObjects", NULL));
	ck_assert_ptr_null(call_on(h, h->bus, ROOT_PATH, OBJECT_MANAGER, "GetManagedObjects", "s", "x"));
	harness_free(h);
}
END_TEST

#define CONNECTIONS 10U
#define CALLS 20U

struct order {
	uint64_t cookies[CALLS]; /* of the replies: the service counts what it sends */
	unsigned n, refused;
};

static int on_long_answer(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct order *o = userdata;

	(void)error;
	o->refused += sd_bus_message_is_method_error(m, NULL);
	ck_assert_int_ge(sd_bus_message_get_cookie(m, &o->cookies[o->n]), 0);
	o->n++;
	return 0;
}

static void long_answers_ask(sd_bus *bus, struct order *order, unsigned n)
{
	for (unsigned k = 0; k < n; k++)
		ck_assert_int_ge(sd_bus_call_method_async(bus, NULL, "org.driveroverrides1", ROOT_PATH,
							  OBJECT_MANAGER, "GetManagedObjects", on_long_answer,
							  order, NULL),
				 0);
	ck_assert_int_ge(sd_bus_flush(bus), 0);
}

static uint64_t list_cookie(struct harness *h, sd_bus *bus)
{
	sd_bus_message *reply = call_on(h, bus, ROOT_PATH, MANAGER, "ListDevices", NULL);
	uint64_t cookie;

	ck_assert_ptr_nonnull(reply);
	ck_assert_int_ge(sd_bus_message_get_cookie(reply, &cookie), 0);
	(void)sd_bus_message_unref(reply);
	return cookie;
}

static unsigned answers_before(const struct order *order, uint64_t cookie)
{
	unsigned n = 0;

	for (unsigned k = 0; k < order->n; k++)
		n += order->cookies[k] < cookie;
	return n;
}

/* With as many calls as one user can have from many connections, another's answer does not come last. */
START_TEST(long_answers_of_one_user_keep_no_other_waiting)
{
	struct harness *h = begin(3 * MANY);
	sd_bus *bus[CONNECTIONS], *other = connect_as(h, 1);
	struct order order = {};
	uint64_t cookie[2];

	for (unsigned i = 0; i < CONNECTIONS; i++) {
		bus[i] = connect_as(h, SOMEBODY);
		long_answers_ask(bus[i], &order, CALLS / CONNECTIONS);
	}
	/* All of them have come to the service, which has not answered them all. */
	(void)manager_property(h, "Version", "s");
	for (unsigned i = 0; i < 2; i++)
		cookie[i] = list_cookie(h, i ? other : h->bus);
	/* They are all answered in the end. */
	WAIT_UNTIL(({
		for (unsigned k = 0; k < CONNECTIONS; k++)
			(void)sd_bus_process(bus[k], NULL);
		order.n == CALLS;
	}));
	for (unsigned i = 0; i < 2; i++)
		ck_assert_uint_lt(answers_before(&order, cookie[i]), CALLS / 2);
	ck_assert_uint_eq(order.refused, 0);
	for (unsigned i = 0; i < CONNECTIONS; i++)
		(void)sd_bus_flush_close_unref(bus[i]);
	(void)sd_bus_flush_close_unref(other);
	harness_free(h);
}
END_TEST

/* When the user has had so many that the next one waits for its time, nobody else waits for that. */
START_TEST(who_has_to_wait_for_a_long_answer_keeps_no_other_waiting)
{
	struct harness *h = begin(3 * MANY);
	sd_bus *bus = connect_as(h, SOMEBODY);
	struct order order = {};
	uint64_t first, last;

	long_answers_ask(bus, &order, 15);
	/* After three at once there is one each 0.7 s. */
	WAIT_UNTIL(sd_bus_process(bus, NULL) >= 0 && order.n >= 4);
	first = last = list_cookie(h, h->bus);
	for (unsigned i = 0; i < 10; i++) {
		(void)usleep(20000); /* the service has found meanwhile that none may be begun */
		last = list_cookie(h, h->bus);
	}
	WAIT_UNTIL(sd_bus_process(bus, NULL) >= 0 && order.n == 15);
	ck_assert_uint_lt(answers_before(&order, last) - answers_before(&order, first), 7);
	(void)sd_bus_flush_close_unref(bus);
	harness_free(h);
}
END_TEST

/* What a client knows of one device by signals, and by answers. */
struct known {
	const char *path;
	bool by_signals;
	unsigned answers;
};

static int on_added_or_removed(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct known *k = userdata;
	const char *path;

	(void)error;
	ck_assert_int_gt(sd_bus_message_read(m, "o", &path), 0);
	if (streq(path, k->path))
		k->by_signals = sd_bus_message_is_signal(m, NULL, "InterfacesAdded");
	return 0;
}

static int on_objects(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct known *k = userdata;
	bool found = false;
	const char *path;

	(void)error;
	ck_assert(!sd_bus_message_is_method_error(m, NULL));
	ck_assert_int_gt(sd_bus_message_enter_container(m, 'a', "{oa{sa{sv}}}"), 0);
	while (sd_bus_message_enter_container(m, 'e', "oa{sa{sv}}") > 0) {
		ck_assert_int_gt(sd_bus_message_read(m, "o", &path), 0);
		found |= streq(path, k->path);
		ck_assert_int_gt(sd_bus_message_skip(m, "a{sa{sv}}"), 0);
		ck_assert_int_ge(sd_bus_message_exit_container(m), 0);
	}
	ck_assert_int_eq(found, k->by_signals);
	k->answers++;
	return 0;
}

/* It is made bit by bit, but of one moment: a client that has heard that a device has gone is not told of it.
 */
START_TEST(a_long_answer_agrees_with_the_signals_before_it)
{
	struct harness *h = begin(MANY);
	struct known known = { .path = "/org/driveroverrides1/device/platform/many_2e7", .by_signals = true };
	bool there = true;

	ck_assert_int_ge(sd_bus_match_signal(h->bus, NULL, "org.driveroverrides1", NULL, OBJECT_MANAGER, NULL,
					     on_added_or_removed, &known),
			 0);
	for (unsigned i = 0; i < 15; i++) {
		ck_assert_int_ge(sd_bus_call_method_async(h->bus, NULL, "org.driveroverrides1", ROOT_PATH,
							  OBJECT_MANAGER, "GetManagedObjects", on_objects,
							  &known, NULL),
				 0);
		ck_assert_int_ge(sd_bus_flush(h->bus), 0);
		if (there)
			mock_remove(h->m, "/devices/platform/many.7");
		else
			(void)mock_platform_add(h->m, "many.7", "platform:many");
		there = !there;
		tell(h, there ? "add" : "remove", "platform", "many.7");
		WAIT_UNTIL(sd_bus_process(h->bus, NULL) >= 0 && known.answers > i &&
			   known.by_signals == there);
	}
	harness_free(h);
}
END_TEST

SUITE_MAIN("bus-answers", 300, managed_objects_have_the_properties_that_each_object_has,
	   long_answers_of_one_user_keep_no_other_waiting,
	   who_has_to_wait_for_a_long_answer_keeps_no_other_waiting,
	   a_long_answer_agrees_with_the_signals_before_it)
