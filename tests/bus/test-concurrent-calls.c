/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Changes at once and changes cut short: one order, no lost update, whole files, and nobody waits for others.
 */
#include "base/macro.h"
#include "base/text.h"
#include "tests/bus/harness.h"

#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define CARD_FILE "10-set-pci-" CARD ".conf"

static struct harness *begin(void)
{
	struct harness *h = harness_new();

	three_devices(h);
	service_start(h);
	return h;
}

START_TEST(a_slow_device_holds_up_no_other)
{
	struct harness *h = begin();
	sd_bus *other = connect_as(h, 0);

	faults(h, "pci/" CARD " wait\n");
	send_call(other, "SetOverride", "sssa{sv}", "pci", CARD, "vfio-pci", 0);
	while (calls(h, "pci/" CARD) < 2)
		(void)usleep(10000);
	ck_assert_str_eq(set(h, "platform", "foo.0", "none"), "enforced");
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "e1000e"); /* still at it */
	faults(h, "");
	/* The same device has to wait for its turn, and then gets it. */
	ck_assert_str_eq(set(h, "pci", CARD, "none"), "enforced");
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "");
	(void)sd_bus_flush_close_unref(other);
	harness_free(h);
}
END_TEST

struct client {
	sd_bus *bus;
	unsigned done, failed;
	char error[128]; /* its name */
};

static int on_reply(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct client *c = userdata;

	(void)error;
	c->done++;
	if (sd_bus_message_is_method_error(m, NULL)) {
		c->failed++;
		text_copy(c->error, sizeof(c->error), sd_bus_message_get_error(m)->name);
	}
	return 0;
}

static void ask_for_none(struct harness *h, struct client *c, unsigned i)
{
	ck_assert_int_ge(sd_bus_call_method_async(c->bus, NULL, "org.driveroverrides1",
						  "/org/driveroverrides1", "org.driveroverrides1.Manager",
						  "SetOverride", on_reply, c, "sssa{sv}", "platform",
						  mock_printf(h->m, "dev.%u", i % 20), "none", 0),
			 0);
	ck_assert_int_ge(sd_bus_flush(c->bus), 0);
}

START_TEST(a_hundred_clients_at_once_lose_no_update)
{
	static struct client clients[100];
	struct harness *h = harness_new();
	unsigned left = ELEMENTSOF(clients);

	for (unsigned i = 0; i < 20; i++)
		(void)mock_platform_add(h->m, mock_printf(h->m, "dev.%u", i), NULL);
	service_start(h);
	for (unsigned i = 0; i < ELEMENTSOF(clients); i++) {
		clients[i].bus = connect_as(h, 0);
		ask_for_none(h, &clients[i], i);
	}
	while (left > 0) {
		left = 0;
		for (unsigned i = 0; i < ELEMENTSOF(clients); i++) {
			while (sd_bus_process(clients[i].bus, NULL) > 0)
				;
			left += clients[i].done == 0;
			/* Each is answered in time, if only that it was not its turn yet. */
			if (clients[i].done > 0 &&
			    streq(clients[i].error, "org.driveroverrides1.Error.Stuck")) {
				clients[i] = (struct client){ .bus = clients[i].bus };
				ask_for_none(h, &clients[i], i);
				left++;
			}
		}
		(void)usleep(1000);
	}
	for (unsigned i = 0; i < ELEMENTSOF(clients); i++) {
		ck_assert_str_eq(clients[i].error, "");
		(void)sd_bus_flush_close_unref(clients[i].bus);
	}
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 20);
	for (unsigned i = 0; i < 20; i++)
		ck_assert_str_eq(property(h, "platform", mock_printf(h->m, "dev.%u", i), "State"),
				 "enforced");
	harness_free(h);
}
END_TEST

/* Anybody may ask what would come of a change, as often as they like. */
START_TEST(questions_hold_up_no_change)
{
	struct harness *h = begin();
	struct client c[3] = {};

	faults(h, "pci/" CARD " slow\n");
	for (unsigned i = 0; i < 96; i++) {
		struct client *x = &c[i / 32];

		if (!x->bus)
			x->bus = connect_as(h, 0);
		ck_assert_int_ge(sd_bus_call_method_async(
					 x->bus, NULL, "org.driveroverrides1", "/org/driveroverrides1",
					 "org.driveroverrides1.Manager", "SetOverride", on_reply, x,
					 "sssa{sv}", "pci", CARD, "none", 1, "dry-run", "b", 1),
				 0);
		ck_assert_int_ge(sd_bus_flush(x->bus), 0);
	}
	while (calls(h, "pci/" CARD) < 4)
		(void)usleep(1000);
	ck_assert_str_eq(set(h, "platform", "foo.0", "none"), "enforced");
	ck_assert_str_eq(set(h, "pci", DISK, "vfio-pci"), "enforced");
	/* And not more of them than there is room for beside the changes. */
	while (c[2].failed == 0) {
		int r = sd_bus_process(c[2].bus, NULL);

		ck_assert_int_ge(r, 0);
		if (r == 0)
			ck_assert_int_ge(sd_bus_wait(c[2].bus, PATIENCE_USEC), 0);
	}
	ck_assert_str_eq(c[2].error, SD_BUS_ERROR_LIMITS_EXCEEDED);
	faults(h, "");
	for (unsigned i = 0; i < ELEMENTSOF(c); i++)
		(void)sd_bus_flush_close_unref(c[i].bus);
	harness_free(h);
}
END_TEST

static int ask_about_all(struct client *c)
{
	return sd_bus_call_method_async(c->bus, NULL, "org.driveroverrides1", "/org/driveroverrides1",
					"org.driveroverrides1.Manager", "ApplyAll", on_reply, c, "a{sv}", 1,
					"dry-run", "b", 1);
}

/* Each is a question for every device that is decided. */
START_TEST(questions_about_all_devices_hold_up_nobody)
{
	struct harness *h = harness_new();
	struct client c[3] = {};
	uint64_t before;

	for (unsigned i = 0; i < 300; i++)
		mock_attr(h->m, mock_platform_add(h->m, mock_printf(h->m, "dev.%u", i), NULL),
			  "driver_override", "foreign\n");
	(void)mock_policy(h->m, MOCK_ETC, "50-a.conf", "[device all]\nName=dev.*\nDriver=none\n");
	service_start(h);
	for (unsigned i = 0; i < 64; i++) {
		struct client *x = &c[i / 32];

		if (!x->bus)
			x->bus = connect_as(h, 0);
		ck_assert_int_ge(ask_about_all(x), 0);
		ck_assert_int_ge(sd_bus_flush(x->bus), 0);
	}
	while (calls(h, "dry-run") < 8)
		(void)usleep(1000);
	before = clock_usec();
	for (unsigned i = 0; i < 10; i++)
		ck_assert_str_eq(manager_property(h, "Rules", "u"), "1");
	ck_assert_uint_lt(clock_usec() - before, 2000000);
	/* Nobody waits for them any more: those that have not begun do not. */
	for (unsigned i = 0; i < 2; i++)
		(void)sd_bus_flush_close_unref(c[i].bus);
	c[2].bus = connect_as(h, 0);
	ck_assert_int_ge(sd_bus_call_method_async(c[2].bus, NULL, "org.driveroverrides1",
						  "/org/driveroverrides1", "org.driveroverrides1.Manager",
						  "SetOverride", on_reply, &c[2], "sssa{sv}", "platform",
						  "dev.1", "none", 1, "dry-run", "b", 1),
			 0);
	for (before = clock_usec(); c[2].done == 0;) {
		ck_assert_int_ge(sd_bus_process(c[2].bus, NULL), 0);
		(void)usleep(1000);
	}
	ck_assert_uint_lt(clock_usec() - before, 5000000);
	(void)sd_bus_flush_close_unref(c[2].bus);
	harness_free(h);
}
END_TEST

/* What takes the service longest, and far longer than the bus. */
static int ask_for_all(sd_bus *bus, sd_bus_message_handler_t then)
{
	return sd_bus_call_method_async(bus, NULL, "org.driveroverrides1", "/org/driveroverrides1",
					"org.freedesktop.DBus.ObjectManager", "GetManagedObjects", then, bus,
					NULL);
}

static int on_all(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	(void)error;
	return sd_bus_message_is_method_error(m, NULL) ? -EIO : ask_for_all(userdata, on_all);
}

/* Asks in a process of its own, until it is killed or we end. */
static pid_t keep_asking(struct harness *h)
{
	pid_t pid = fork();
	sd_bus *bus;
	int r = 0;

	ck_assert_int_ge(pid, 0);
	if (pid > 0)
		return pid;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	bus = connect_as(h, 0);
	for (unsigned i = 0; r >= 0 && i < 24; i++)
		r = ask_for_all(bus, on_all);
	while (r >= 0) {
		r = sd_bus_process(bus, NULL);
		if (r == 0)
			r = sd_bus_wait(bus, UINT64_MAX);
	}
	_exit(1);
}

/* The service always has another call to answer: what its own processes have done is noticed all the same. */
START_TEST(calls_without_a_pause_hold_up_no_change)
{
	struct harness *h = harness_new();
	pid_t askers[3];

	three_devices(h);
	for (unsigned i = 0; i < 200; i++)
		(void)mock_platform_add(h->m, mock_printf(h->m, "dev.%u", i), NULL);
	service_start(h);
	for (unsigned i = 0; i < ELEMENTSOF(askers); i++)
		askers[i] = keep_asking(h);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_str_eq(set(h, "pci", CARD, i ? "none" : "vfio-pci"), "enforced");
		ck_assert_str_eq(property(h, "pci", CARD, "Driver"), i ? "" : "vfio-pci");
	}
	for (unsigned i = 0; i < ELEMENTSOF(askers); i++) {
		int status;

		ck_assert_int_eq(waitpid(askers[i], &status, WNOHANG), 0); /* at it to the end */
		ck_assert_int_ge(kill(askers[i], SIGKILL), 0);
		ck_assert_int_eq(waitpid(askers[i], &status, 0), askers[i]);
	}
	harness_free(h);
}
END_TEST

/* Two callers, two drivers, one device: whoever is last is what policy and device say. */
START_TEST(two_callers_have_one_order)
{
	struct harness *h = begin();
	sd_bus *other = connect_as(h, 0);

	for (unsigned i = 0; i < 20; i++) {
		struct client c = {};
		const char *driver, *text;

		ck_assert_int_ge(sd_bus_call_method_async(other, NULL, "org.driveroverrides1",
							  "/org/driveroverrides1",
							  "org.driveroverrides1.Manager", "SetOverride",
							  on_reply, &c, "sssa{sv}", "pci", CARD, "none", 0),
				 0);
		ck_assert_int_ge(sd_bus_flush(other), 0);
		ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "enforced");
		while (c.done == 0) {
			ck_assert_int_ge(sd_bus_process(other, NULL), 0);
			(void)usleep(1000);
		}
		ck_assert_uint_eq(c.failed, 0);
		driver = property(h, "pci", CARD, "Driver");
		text = policy_text(h, MOCK_ETC, CARD_FILE);
		ck_assert_ptr_nonnull(strstr(text, *driver ? "\nDriver=vfio-pci\n" : "\nDriver=none\n"));
	}
	(void)sd_bus_flush_close_unref(other);
	harness_free(h);
}
END_TEST

/* By different names of it, so that the files are different ones. */
START_TEST(one_device_has_one_order_however_it_is_named)
{
	struct harness *h = begin();
	sd_bus *other = connect_as(h, 0);

	for (unsigned i = 0; i < 20; i++) {
		struct client c = {};

		ck_assert_int_ge(
			sd_bus_call_method_async(other, NULL, "org.driveroverrides1", "/org/driveroverrides1",
						 "org.driveroverrides1.Manager", "SetOverride", on_reply, &c,
						 "sssa{sv}", "pci", CARD, "none", 1, "by", "s", "path"),
			0);
		ck_assert_int_ge(sd_bus_flush(other), 0);
		ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "enforced");
		while (c.done == 0) {
			ck_assert_int_ge(sd_bus_process(other, NULL), 0);
			(void)usleep(1000);
		}
		ck_assert_str_eq(c.error, "");
		ck_assert_uint_eq(policy_files(h, MOCK_ETC), 1);
		ck_assert_str_eq(clear(h, "pci", CARD), "unmanaged");
	}
	(void)sd_bus_flush_close_unref(other);
	harness_free(h);
}
END_TEST

/* A writer that was killed while it slept in the file system still has its lock, which another keeps here. */
START_TEST(nobody_writes_before_an_earlier_writer_has_gone)
{
	struct harness *h = begin();
	const char *staging = mock_printf(h->m, "%s/staging", h->m->state);
	uint64_t before;
	int lock;

	ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "enforced");
	lock = open(staging, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(lock, 0);
	ck_assert_int_eq(flock(lock, LOCK_EX | LOCK_NB), 0);
	before = clock_usec();
	ck_assert_str_eq(set(h, "pci", CARD, "none"), "!Stuck");
	ck_assert_ptr_nonnull(strstr(h->error.message, "an earlier change"));
	ck_assert_uint_lt(clock_usec() - before, 20000000);
	ck_assert_ptr_nonnull(strstr(policy_text(h, MOCK_ETC, CARD_FILE), "\nDriver=vfio-pci\n"));
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "vfio-pci");
	(void)close(lock);
	ck_assert_str_eq(set(h, "pci", CARD, "none"), "enforced");
	harness_free(h);
}
END_TEST

/* The device takes all of its time; then it is written back and looked at, which does not come back either.
 */
START_TEST(a_call_is_answered_in_time_whatever_hangs)
{
	struct harness *h = begin();
	const char *card = "/devices/pci0000:00/" CARD;
	uint64_t before = clock_usec();
	sd_bus *other = connect_as(h, 0);
	struct client c = { .bus = other };

	faults(h, "pci/" CARD " wait\n");
	ck_assert_int_ge(sd_bus_call_method_async(other, NULL, "org.driveroverrides1",
						  "/org/driveroverrides1", "org.driveroverrides1.Manager",
						  "SetOverride", on_reply, &c, "sssa{sv}", "pci", CARD,
						  "vfio-pci", 0),
			 0);
	ck_assert_int_ge(sd_bus_flush(other), 0);
	while (calls(h, "pci/" CARD) < 2)
		(void)usleep(1000);
	mock_attr_hangs(h->m, card, "driver_override");
	while (c.done == 0) {
		ck_assert_int_ge(sd_bus_process(other, NULL), 0);
		(void)usleep(1000);
	}
	ck_assert_str_eq(c.error, "org.driveroverrides1.Error.Stuck");
	ck_assert_uint_lt(clock_usec() - before, 20000000);
	ck_assert_uint_eq(policy_files(h, MOCK_ETC), 0);
	faults(h, "");
	(void)sd_bus_flush_close_unref(other);
	harness_free(h);
}
END_TEST

/* How often: 1,000 times on request, see CONTRIBUTING.md. */
static unsigned often(void)
{
	return getenv("DRIVER_OVERRIDES_LAB_FULL") ? 1000 : 40;
}

START_TEST(killed_at_any_moment_it_leaves_whole_files_and_the_last_word)
{
	struct harness *h = begin();
	unsigned seed = 4711;

	for (unsigned i = 0; i < often(); i++) {
		const char *wanted = i % 3 == 2 ? NULL
				     : i % 2	? "vfio-pci"
						: "none",
			   *before, *after, *answer;
		sd_bus_message *m = NULL;
		struct client c = {};
		sd_bus *other = connect_as(h, 0);

		before = policy_text(h, MOCK_ETC, CARD_FILE);
		ck_assert_int_ge(sd_bus_message_new_method_call(other, &m, "org.driveroverrides1",
								"/org/driveroverrides1",
								"org.driveroverrides1.Manager",
								wanted ? "SetOverride" : "ClearOverride"),
				 0);
		ck_assert_int_ge(wanted ? sd_bus_message_append(m, "sssa{sv}", "pci", CARD, wanted, 0)
					: sd_bus_message_append(m, "ssa{sv}", "pci", CARD, 0),
				 0);
		ck_assert_int_ge(sd_bus_call_async(other, NULL, m, on_reply, &c, 0), 0);
		ck_assert_int_ge(sd_bus_flush(other), 0);
		(void)usleep((useconds_t)(rand_r(&seed) % 60000));
		service_kill(h);
		while (c.done == 0) {
			ck_assert_int_ge(sd_bus_process(other, NULL), 0);
			(void)usleep(1000);
		}
		(void)sd_bus_message_unref(m);
		(void)sd_bus_flush_close_unref(other);

		/* Its writer dies with it, but may have been in the middle of a rename, and a busy host lets
		 * it wait. */
		(void)usleep(300000);
		service_start(h);
		/* Whoever was told so can rely on it; else it is the one or the other, and whole. */
		after = policy_text(h, MOCK_ETC, CARD_FILE);
		answer = c.failed ? "no answer" : "acknowledged";
		if (!c.failed || !(before ? after && streq(before, after) : !after))
			ck_assert_msg(
				wanted ? after && strstr(after, mock_printf(h->m, "\nDriver=%s\n", wanted))
				       : !after,
				"%s, wanted %s, is now: %s", answer, wanted ? wanted : "nothing",
				after ? after : "nothing");
		ck_assert_uint_eq(policy_files(h, MOCK_ETC), after ? 1 : 0);
		/* What was not done is done now. */
		wait_property(h, "pci", CARD, "State", after ? "enforced" : "unmanaged");
	}
	harness_free(h);
}
END_TEST

SUITE_MAIN("bus-order", 570, a_slow_device_holds_up_no_other, a_hundred_clients_at_once_lose_no_update,
	   questions_hold_up_no_change, questions_about_all_devices_hold_up_nobody,
	   calls_without_a_pause_hold_up_no_change, two_callers_have_one_order,
	   one_device_has_one_order_however_it_is_named, nobody_writes_before_an_earlier_writer_has_gone,
	   a_call_is_answered_in_time_whatever_hangs,
	   killed_at_any_moment_it_leaves_whole_files_and_the_last_word)
