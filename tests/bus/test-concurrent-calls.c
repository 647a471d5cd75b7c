/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Calls at the same time, and calls that are cut short: each device and each file has one order of changes,
 * no update is lost, files are whole, and a slow call delays no other.
 */
#include "base/macro.h"
#include "base/text.h"
#include "tests/bus/harness.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
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
	WAIT_UNTIL(calls(h, "pci/" CARD) >= 2);
	ck_assert_str_eq(set(h, "platform", "foo.0", "none"), "enforced");
	ck_assert_str_eq(property(h, "pci", CARD, "Driver"), "e1000e"); /* still being worked on */
	faults(h, "");
	/* A call for the same device waits for the first one, and is then carried out. */
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

/* Calls a method of the manager, and counts its reply in c. types and what follows: as
 * sd_bus_message_append(). */
static void client_send(struct client *c, const char *member, const char *types, ...)
{
	sd_bus_message *m = NULL;
	va_list ap;

	ck_assert_int_ge(sd_bus_message_new_method_call(c->bus, &m, "org.driveroverrides1", ROOT_PATH,
							MANAGER, member),
			 0);
	va_start(ap, types);
	ck_assert_int_ge(sd_bus_message_appendv(m, types, ap), 0);
	va_end(ap);
	ck_assert_int_ge(sd_bus_call_async(c->bus, NULL, m, on_reply, c, 0), 0);
	ck_assert_int_ge(sd_bus_flush(c->bus), 0);
	(void)sd_bus_message_unref(m);
}

/* Until so many calls of the client have been answered. */
static void client_wait(struct client *c, unsigned n)
{
	while (c->done < n) {
		int r = sd_bus_process(c->bus, NULL);

		ck_assert_int_ge(r, 0);
		if (r == 0)
			ck_assert_int_ge(sd_bus_wait(c->bus, PATIENCE_USEC), 0);
	}
}

/* 32 calls, so that no connection takes all places. */
START_TEST(calls_of_one_connection_leave_room_for_another)
{
	struct harness *h = begin();
	struct client c = { .bus = connect_as(h, 0) };

	faults(h, "pci/" CARD " wait\n");
	for (unsigned i = 0; i < 33; i++)
		client_send(&c, "SetOverride", "sssa{sv}", "pci", CARD, "vfio-pci", 0);
	client_wait(&c, 1);
	ck_assert_str_eq(c.error, SD_BUS_ERROR_LIMITS_EXCEEDED);
	ck_assert_str_eq(set(h, "platform", "foo.0", "none"), "enforced");
	ck_assert_uint_eq(c.done, 1);
	faults(h, "");
	(void)sd_bus_flush_close_unref(c.bus);
	harness_free(h);
}
END_TEST

static void client_ask_for_none(struct harness *h, struct client *c, unsigned i)
{
	client_send(c, "SetOverride", "sssa{sv}", "platform", mock_printf(h->m, "dev.%u", i % 20), "none", 0);
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
		client_ask_for_none(h, &clients[i], i);
	}
	while (left > 0) {
		left = 0;
		for (unsigned i = 0; i < ELEMENTSOF(clients); i++) {
			while (sd_bus_process(clients[i].bus, NULL) > 0)
				;
			left += clients[i].done == 0;
			/* A call that waited for too many others is answered, too, and may be made again. */
			if (clients[i].done > 0 &&
			    streq(clients[i].error, "org.driveroverrides1.Error.Stuck")) {
				clients[i] = (struct client){ .bus = clients[i].bus };
				client_ask_for_none(h, &clients[i], i);
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

/* Any user may ask for dry runs, as many as it likes. */
START_TEST(dry_runs_hold_up_no_change)
{
	struct harness *h = begin();
	struct client c[3] = {};

	faults(h, "pci/" CARD " slow\n");
	for (unsigned i = 0; i < 96; i++) {
		struct client *x = &c[i / 32];

		if (!x->bus)
			x->bus = connect_as(h, 0);
		client_send(x, "SetOverride", "sssa{sv}", "pci", CARD, "none", 1, "dry-run", "b", 1);
	}
	WAIT_UNTIL(calls(h, "pci/" CARD) >= 4);
	ck_assert_str_eq(set(h, "platform", "foo.0", "none"), "enforced");
	ck_assert_str_eq(set(h, "pci", DISK, "vfio-pci"), "enforced");
	/* Dry runs beyond the limit are refused. */
	client_wait(&c[2], 1);
	ck_assert_str_eq(c[2].error, SD_BUS_ERROR_LIMITS_EXCEEDED);
	faults(h, "");
	for (unsigned i = 0; i < ELEMENTSOF(c); i++)
		(void)sd_bus_flush_close_unref(c[i].bus);
	harness_free(h);
}
END_TEST

/* Each call is a dry run for every device with a decision. */
START_TEST(dry_runs_of_all_devices_hold_up_nobody)
{
	struct harness *h = harness_new();
	struct client c[3] = {};
	unsigned before;

	for (unsigned i = 0; i < 300; i++)
		mock_attr(h->m, mock_platform_add(h->m, mock_printf(h->m, "dev.%u", i), NULL),
			  "driver_override", "foreign\n");
	(void)mock_policy(h->m, MOCK_ETC, "50-a.conf", "[device all]\nName=dev.*\nDriver=none\n");
	service_start(h);
	for (unsigned i = 0; i < ELEMENTSOF(c); i++)
		c[i].bus = connect_as(h, 0);
	for (unsigned i = 0; i < 64; i++)
		client_send(&c[i / 32], "ApplyAll", "a{sv}", 1, "dry-run", "b", 1);
	WAIT_UNTIL(calls(h, "dry-run") >= 8);
	/* Measured in dry runs that begin meanwhile, of which there are 19,200, and not in time. */
	before = calls(h, "dry-run");
	for (unsigned i = 0; i < 10; i++)
		ck_assert_str_eq(manager_property(h, "Rules", "u"), "1");
	ck_assert_uint_lt(calls(h, "dry-run") - before, 9600);
	before = calls(h, "dry-run");
	client_send(&c[2], "SetOverride", "sssa{sv}", "platform", "dev.1", "none", 1, "dry-run", "b", 1);
	client_wait(&c[2], 1);
	ck_assert_uint_lt(calls(h, "dry-run") - before, 9600);
	for (unsigned i = 0; i < ELEMENTSOF(c); i++)
		(void)sd_bus_flush_close_unref(c[i].bus);
	harness_free(h);
}
END_TEST

/* The call that takes the service longest, and far longer than the bus. */
static int ask_for_objects(sd_bus *bus, sd_bus_message_handler_t then)
{
	return sd_bus_call_method_async(bus, NULL, "org.driveroverrides1", "/org/driveroverrides1",
					"org.freedesktop.DBus.ObjectManager", "GetManagedObjects", then, bus,
					NULL);
}

static int on_objects(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	(void)error;
	return sd_bus_message_is_method_error(m, NULL) ? -EIO : ask_for_objects(userdata, on_objects);
}

/* Asks in a child, until that is killed or the test ends. */
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
		r = ask_for_objects(bus, on_objects);
	while (r >= 0) {
		r = sd_bus_process(bus, NULL);
		if (r == 0)
			r = sd_bus_wait(bus, UINT64_MAX);
	}
	_exit(1);
}

/* There is always another call to answer. The service notices all the same what its children have done. */
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

		ck_assert_int_eq(waitpid(askers[i], &status, WNOHANG), 0); /* it has asked to the end */
		ck_assert_int_ge(kill(askers[i], SIGKILL), 0);
		ck_assert_int_eq(waitpid(askers[i], &status, 0), askers[i]);
	}
	harness_free(h);
}
END_TEST

/* Two callers, two drivers, one device: policy and device both say what the last call wanted. */
START_TEST(two_callers_have_one_order)
{
	struct harness *h = begin();
	struct client c = { .bus = connect_as(h, 0) };

	for (unsigned i = 0; i < 20; i++) {
		const char *driver, *text;

		client_send(&c, "SetOverride", "sssa{sv}", "pci", CARD, "none", 0);
		ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "enforced");
		client_wait(&c, i + 1);
		ck_assert_uint_eq(c.failed, 0);
		driver = property(h, "pci", CARD, "Driver");
		text = policy_text(h, MOCK_ETC, CARD_FILE);
		ck_assert_ptr_nonnull(strstr(text, *driver ? "\nDriver=vfio-pci\n" : "\nDriver=none\n"));
	}
	(void)sd_bus_flush_close_unref(c.bus);
	harness_free(h);
}
END_TEST

/* Named in different ways, so that the files are different ones. */
START_TEST(one_device_has_one_order_however_it_is_named)
{
	struct harness *h = begin();
	struct client c = { .bus = connect_as(h, 0) };

	for (unsigned i = 0; i < 20; i++) {
		client_send(&c, "SetOverride", "sssa{sv}", "pci", CARD, "none", 1, "by", "s", "path");
		ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "enforced");
		client_wait(&c, i + 1);
		ck_assert_str_eq(c.error, "");
		ck_assert_uint_eq(policy_files(h, MOCK_ETC), 1);
		ck_assert_str_eq(clear(h, "pci", CARD), "unmanaged");
	}
	(void)sd_bus_flush_close_unref(c.bus);
	harness_free(h);
}
END_TEST

/* 1,000 times on request, see CONTRIBUTING.md. */
static unsigned kill_count(void)
{
	return getenv("DRIVER_OVERRIDES_LAB_FULL") ? 1000 : 40;
}

/* A rule by id is one file for both devices. */
START_TEST(one_file_has_one_order_whichever_device_it_is_for)
{
	struct harness *h = begin();
	struct client c[2] = { { .bus = connect_as(h, 0) }, { .bus = connect_as(h, 0) } };

	(void)mock_pci_add(h->m, "0000:00:05.0", NULL, 0x8086, 0x10d3, 0x020000);
	tell(h, "add", "pci", "0000:00:05.0");
	wait_property(h, "pci", "0000:00:05.0", "State", "unmanaged");
	faults(h, "pci/0000:00:05.0 wait\n");
	client_send(&c[0], "SetOverride", "sssa{sv}", "pci", "0000:00:05.0", "vfio-pci", 2, "by", "s", "id",
		    "force", "b", 1);
	WAIT_UNTIL(calls(h, "pci/0000:00:05.0") >= 2);
	client_send(&c[1], "SetOverride", "sssa{sv}", "pci", CARD, "none", 2, "by", "s", "id", "force", "b",
		    1);
	ck_assert_str_eq(set(h, "platform", "foo.0", "none"), "enforced");
	ck_assert_uint_eq(calls(h, "pci/" CARD " dry-run"), 0);
	faults(h, "");
	client_wait(&c[0], 1);
	client_wait(&c[1], 1);
	ck_assert_str_eq(c[0].error, "");
	ck_assert_str_eq(c[1].error, "");
	wait_property(h, "pci", "0000:00:05.0", "Decision", "none");
	for (unsigned i = 0; i < ELEMENTSOF(c); i++)
		(void)sd_bus_flush_close_unref(c[i].bus);
	harness_free(h);
}
END_TEST

/*
 * A writer dies with the service, but may be in the middle of a system call. It has the lock until it has
 * ended, see drop-in-plan.c.
 */
static void wait_for_writer(struct harness *h)
{
	int lock = open(mock_printf(h->m, "%s/writer", h->m->state), O_RDONLY | O_CLOEXEC);

	if (lock < 0)
		return; /* none has begun */
	ck_assert_int_eq(flock(lock, LOCK_EX), 0);
	(void)close(lock);
}

START_TEST(killed_at_any_moment_it_leaves_whole_files_and_the_last_word)
{
	struct harness *h = begin();
	unsigned seed = 4711;

	for (unsigned i = 0; i < kill_count(); i++) {
		const char *wanted = i % 3 == 2 ? NULL
				     : i % 2	? "vfio-pci"
						: "none",
			   *before, *after, *answer;
		struct client c = { .bus = connect_as(h, 0) };

		before = policy_text(h, MOCK_ETC, CARD_FILE);
		if (wanted)
			client_send(&c, "SetOverride", "sssa{sv}", "pci", CARD, wanted, 0);
		else
			client_send(&c, "ClearOverride", "ssa{sv}", "pci", CARD, 0);
		(void)usleep((useconds_t)(rand_r(&seed) % 60000));
		service_kill(h);
		client_wait(&c, 1);
		(void)sd_bus_flush_close_unref(c.bus);
		wait_for_writer(h);
		service_start(h);
		/* A caller that got an answer can rely on it. Otherwise the file is the old or the new one,
		 * and whole. */
		after = policy_text(h, MOCK_ETC, CARD_FILE);
		answer = c.failed ? "no answer" : "acknowledged";
		if (!c.failed || !(before ? after && streq(before, after) : !after))
			ck_assert_msg(
				wanted ? after && strstr(after, mock_printf(h->m, "\nDriver=%s\n", wanted))
				       : !after,
				"%s, wanted %s, is now: %s", answer, wanted ? wanted : "nothing",
				after ? after : "nothing");
		ck_assert_uint_eq(policy_files(h, MOCK_ETC), after ? 1 : 0);
		/* The restarted service has done the rest. */
		wait_property(h, "pci", CARD, "State", after ? "enforced" : "unmanaged");
	}
	harness_free(h);
}
END_TEST

SUITE_MAIN("bus-concurrent-calls", 570, a_slow_device_holds_up_no_other,
	   calls_of_one_connection_leave_room_for_another, a_hundred_clients_at_once_lose_no_update,
	   dry_runs_hold_up_no_change, dry_runs_of_all_devices_hold_up_nobody,
	   calls_without_a_pause_hold_up_no_change, two_callers_have_one_order,
	   one_device_has_one_order_however_it_is_named, one_file_has_one_order_whichever_device_it_is_for,
	   killed_at_any_moment_it_leaves_whole_files_and_the_last_word)
