/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The service is killed at any moment while it changes many devices. The environment variable BENCH_KILLS
 * says how often; docs/results/kills.md has a long run.
 */
#include "base/macro.h"
#include "base/text.h"
#include "tests/bus/harness.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <systemd/sd-bus.h>
#include <time.h>
#include <unistd.h>

#define DEVICES 16U
#define KILLS 30U

static const char *const drivers[] = { "none", "vfio-pci", "nvme" };

static const char *device_name(struct harness *h, unsigned i)
{
	return mock_printf(h->m, "0001:00:%02x.%x", i >> 3, i & 7);
}

static const char *device_file(struct harness *h, unsigned i)
{
	return policy_text(h, MOCK_ETC, mock_printf(h->m, "10-set-pci-%s.conf", device_name(h, i)));
}

/* All devices get the driver. */
static sd_bus_message *change_all(struct harness *h, sd_bus *bus, const char *driver)
{
	sd_bus_message *m = NULL;

	ck_assert_int_ge(sd_bus_message_new_method_call(bus, &m, "org.driveroverrides1", ROOT_PATH, MANAGER,
							"SetOverrides"),
			 0);
	ck_assert_int_ge(sd_bus_message_open_container(m, 'a', "(sssa{sv})"), 0);
	for (unsigned i = 0; i < DEVICES; i++)
		ck_assert_int_ge(sd_bus_message_append(m, "(sssa{sv})", "pci", device_name(h, i), driver, 0),
				 0);
	ck_assert_int_ge(sd_bus_message_close_container(m), 0);
	ck_assert_int_ge(sd_bus_message_append(m, "a{sv}", 0), 0);
	return m;
}

/* What a file that is whole has, and how long a call takes that nobody disturbs, in microseconds. */
struct reference {
	const char *text[ELEMENTSOF(drivers)][DEVICES];
	uint64_t usec;
};

static void reference_make(struct harness *h, struct reference *ref)
{
	for (size_t d = 0; d < ELEMENTSOF(drivers); d++) {
		sd_bus_message *m = change_all(h, h->bus, drivers[d]), *reply = NULL;
		uint64_t before = clock_usec();

		ck_assert_int_ge(sd_bus_call(h->bus, m, PATIENCE_USEC, &h->error, &reply), 0);
		ref->usec = clock_usec() - before;
		(void)sd_bus_message_unref(m);
		(void)sd_bus_message_unref(reply);
		for (unsigned i = 0; i < DEVICES; i++) {
			ref->text[d][i] = device_file(h, i);
			ck_assert_ptr_nonnull(ref->text[d][i]);
		}
	}
}

static int on_reply(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	int *answered = userdata;

	(void)error;
	*answered = sd_bus_message_is_method_error(m, NULL) ? -1 : 1;
	if (*answered < 0)
		(void)printf("%s\n", sd_bus_message_get_error(m)->message);
	return 0;
}

/* What had been reached when it was killed. */
struct tally {
	unsigned kills, answered, none, some, all, mended;
};

/* The calls that were let go write at most to their end; until then the lock of writers is theirs. */
static void wait_for_writer(struct harness *h)
{
	int lock = open(mock_printf(h->m, "%s/writer", h->m->state), O_RDONLY | O_CLOEXEC);

	if (lock < 0)
		return;
	ck_assert_int_eq(flock(lock, LOCK_EX), 0);
	(void)close(lock);
}

static bool folder_has_changed(struct harness *h, struct timespec *since)
{
	struct timespec before = *since;
	struct stat st;

	ck_assert_int_eq(stat(h->m->conf[MOCK_ETC], &st), 0);
	*since = st.st_mtim;
	return before.tv_sec != since->tv_sec || before.tv_nsec != since->tv_nsec;
}

/* It leaves the CPU to the service meanwhile. */
static void wait_for_first_file(struct harness *h, sd_bus *bus, struct timespec *written, const int *answered)
{
	uint64_t end = clock_usec() + PATIENCE_USEC;
	bool ended = false;

	while (!folder_has_changed(h, written)) {
		ck_assert_msg(!ended && clock_usec() < end, "nothing is written, and the call is %s",
			      ended ? "answered" : "not answered");
		ck_assert_int_ge(sd_bus_process(bus, NULL), 0);
		ended = *answered != 0;
		(void)usleep(100);
	}
}

/* It is killed after the time, or so long after the first file has begun to be written. Returns whether the
 * call was answered. */
static bool kill_during_change(struct harness *h, const char *driver, uint64_t usec, bool from_first_file)
{
	sd_bus *bus = connect_as(h, 0);
	sd_bus_message *m = change_all(h, bus, driver);
	struct timespec written = {};
	int answered = 0;

	(void)folder_has_changed(h, &written);
	ck_assert_int_ge(sd_bus_call_async(bus, NULL, m, on_reply, &answered, 0), 0);
	ck_assert_int_ge(sd_bus_flush(bus), 0);
	(void)sd_bus_message_unref(m);
	if (from_first_file)
		wait_for_first_file(h, bus, &written, &answered);
	(void)usleep((useconds_t)usec);
	service_kill(h);
	while (answered == 0) {
		int r = sd_bus_process(bus, NULL);

		ck_assert_int_ge(r, 0);
		if (r == 0)
			ck_assert_int_ge(sd_bus_wait(bus, PATIENCE_USEC), 0);
	}
	(void)sd_bus_flush_close_unref(bus);
	wait_for_writer(h);
	return answered > 0;
}

/* Each file is that of the driver before or that of the new one, from its first byte to its last. */
static unsigned files_changed(struct harness *h, const struct reference *ref, size_t before, size_t wanted)
{
	unsigned n = 0;

	for (unsigned i = 0; i < DEVICES; i++) {
		const char *text = device_file(h, i);
		bool changed;

		ck_assert_msg(text != NULL, "the file of device %u is gone", i);
		changed = streq(text, ref->text[wanted][i]);
		ck_assert_msg(changed || streq(text, ref->text[before][i]), "device %u has the file: %s", i,
			      text);
		n += changed;
	}
	return n;
}

/* How many had to be moved after the start. */
static unsigned devices_follow_files(struct harness *h, const struct reference *ref, size_t wanted)
{
	unsigned mended = 0;

	for (unsigned i = 0; i < DEVICES; i++) {
		const char *name = device_name(h, i), *text = device_file(h, i), *driver = drivers[wanted];

		if (!streq(text, ref->text[wanted][i]))
			for (size_t d = 0; d < ELEMENTSOF(drivers); d++)
				if (streq(text, ref->text[d][i]))
					driver = drivers[d];
		mended += !streq(property(h, "pci", name, "State"), "enforced");
		/* An enforcer of the service that was killed may be at work on it, too. */
		wait_property(h, "pci", name, "State", "enforced");
		wait_property(h, "pci", name, "Override", driver);
		wait_property(h, "pci", name, "Driver", streq(driver, "none") ? "" : driver);
		/* The enforcer may be writing the same once more. */
		WAIT_UNTIL(streq(mock_override(h->m, mock_printf(h->m, "/devices/pci0001:00/%s", name)),
				 mock_printf(h->m, "%s\n", driver)));
	}
	return mended;
}

static void tally_print(const struct tally *t)
{
	(void)printf("%u kills: in %u no file had been changed, in %u some, in %u all, of which %u had been "
		     "answered; %u devices were moved after the next start\n",
		     t->kills, t->none, t->some, t->all, t->answered, t->mended);
	(void)fflush(stdout);
}

static unsigned kill_count(void)
{
	const char *text = getenv("BENCH_KILLS");

	return text ? (unsigned)strtoul(text, NULL, 10) : KILLS;
}

/* One after the other, so that each kind of old file meets each kind of new one. */
static void kill_rounds(struct harness *h, const struct reference *ref, struct tally *tally)
{
	size_t before = ELEMENTSOF(drivers) - 1;
	unsigned seed = 4711;

	for (unsigned i = 0; i < kill_count(); i++) {
		size_t wanted = (before + 1) % ELEMENTSOF(drivers);
		/* Files are written within a small part of the time. */
		bool from_first_file = i % 2 == 1;
		uint64_t usec = (uint64_t)rand_r(&seed) % (from_first_file ? 20000 : ref->usec * 5 / 4 + 1);
		bool answered = kill_during_change(h, drivers[wanted], usec, from_first_file);
		unsigned n = files_changed(h, ref, before, wanted);

		/* A caller that got an answer can rely on it. */
		ck_assert(!answered || n == DEVICES);
		service_start(h);
		ck_assert_uint_eq(files_changed(h, ref, before, wanted), n);
		tally->mended += devices_follow_files(h, ref, wanted);
		/* What it had begun to write is not left. */
		ck_assert_uint_eq(policy_files(h, MOCK_ETC), DEVICES);
		ck_assert_uint_eq(staging_dirs(h), 0);
		tally->kills++;
		tally->answered += answered;
		*(n == 0 ? &tally->none : n == DEVICES ? &tally->all : &tally->some) += 1;
		if (n > 0 && n < DEVICES) {
			sd_bus_message *m = change_all(h, h->bus, drivers[wanted]), *reply = NULL;

			/* What was left half done is done by the same call again. */
			ck_assert_int_ge(sd_bus_call(h->bus, m, PATIENCE_USEC, &h->error, &reply), 0);
			(void)sd_bus_message_unref(m);
			(void)sd_bus_message_unref(reply);
			n = DEVICES;
		}
		if (n == DEVICES)
			before = wanted;
	}
}

START_TEST(killed_while_it_changes_many_devices_it_leaves_whole_files_that_are_followed)
{
	struct harness *h = harness_new();
	struct reference ref = {};
	struct tally tally = {};

	three_devices(h);
	for (unsigned i = 0; i < DEVICES; i++)
		(void)mock_pci_add(h->m, device_name(h, i), NULL, 0x8086, 0x10d3, 0x020000);
	service_start(h);
	reference_make(h, &ref);
	kill_rounds(h, &ref, &tally);
	tally_print(&tally);
	harness_free(h);
}
END_TEST

SUITE_MAIN("bus-kills", 3600, killed_while_it_changes_many_devices_it_leaves_whole_files_that_are_followed)
