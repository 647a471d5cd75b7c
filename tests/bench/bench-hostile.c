/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A user who does what it can to keep root waiting: 20 connections, each with as many dry runs, explanations
 * and GetManagedObjects under way as the bus allows, while root sets overrides and lists devices. On a
 * private bus and a mock tree of 5,000 devices. Fails when root's SetOverride takes more than three times its
 * idle time, when one in a hundred of its lists takes longer than 100 ms more than when idle, when the
 * service needs more than 24 MiB, or when a process of the service is left at the end.
 *
 * The environment variable BENCH_SECONDS says for how long; 60 if it is not set.
 */
#include "base/macro.h"
#include "tests/bench/loop-time.h"
#include "tests/bus/harness.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#define DEVICES 5000U
#define CONNECTIONS 20U
#define UNDER_WAY 6U
#define SAMPLES_MAX 20000U
#define SERVICE "org.driveroverrides1"
/* The limits that the project has set itself. */
#define SET_TIMES_MOST 3.0
#define LIST_MSEC_MOST 100.0
#define MEMORY_MOST_KIB 24576L

struct samples {
	double msec[SAMPLES_MAX];
	size_t n;
};

static int compare_doubles(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double percentile(struct samples *s, unsigned percent)
{
	qsort(s->msec, s->n, sizeof(s->msec[0]), compare_doubles);
	return s->n ? s->msec[(s->n - 1) * percent / 100] : 0;
}

static void sample(struct samples *s, uint64_t since)
{
	if (s->n < SAMPLES_MAX)
		s->msec[s->n++] = (double)(clock_usec() - since) / 1000;
}

static void flood_send(sd_bus *bus, unsigned kind);

static int on_flood_reply(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	(void)error;
	flood_send(sd_bus_message_get_bus(m), (unsigned)(uintptr_t)userdata);
	return 0;
}

/* Each reply is followed by the next call. */
static void flood_send(sd_bus *bus, unsigned kind)
{
	void *userdata = (void *)(uintptr_t)kind;

	if (kind % 3 == 0)
		(void)sd_bus_call_method_async(bus, NULL, SERVICE, ROOT_PATH, MANAGER, "Apply",
					       on_flood_reply, userdata, "ssa{sv}", "pci", CARD, 1, "dry-run",
					       "b", 1);
	else if (kind % 3 == 1)
		(void)sd_bus_call_method_async(bus, NULL, SERVICE, ROOT_PATH, MANAGER, "Explain",
					       on_flood_reply, userdata, "ss", "pci", CARD);
	else
		(void)sd_bus_call_method_async(bus, NULL, SERVICE, ROOT_PATH,
					       "org.freedesktop.DBus.ObjectManager", "GetManagedObjects",
					       on_flood_reply, userdata, NULL);
}

static _Noreturn void flood_run(struct harness *h)
{
	sd_bus *bus[CONNECTIONS];

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (size_t i = 0; i < CONNECTIONS; i++) {
		bus[i] = connect_as(h, SOMEBODY);
		for (unsigned k = 0; k < UNDER_WAY; k++)
			flood_send(bus[i], k);
	}
	for (;;) {
		bool idle = true;

		for (size_t i = 0; i < CONNECTIONS; i++)
			while (sd_bus_process(bus[i], NULL) > 0)
				idle = false;
		if (idle)
			(void)usleep(500);
	}
}

/* How long a process that could have run has waited for a CPU since it began, in microseconds. */
static uint64_t cpu_wait_usec(pid_t pid)
{
	unsigned long long ran = 0, waited = 0;
	char path[64];
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/schedstat", (int)pid);
	f = fopen(path, "re");
	ck_assert(f != NULL && fscanf(f, "%llu %llu", &ran, &waited) == 2);
	(void)fclose(f);
	return waited / 1000;
}

struct list_samples {
	struct samples all, less_waits; /* without the time in which the service waited for a CPU */
};

static void root_list(struct harness *h, struct list_samples *s)
{
	uint64_t waits = cpu_wait_usec(h->service), before = clock_usec();
	sd_bus_message *reply = call(h, "ListDevices", NULL);

	ck_assert_msg(reply != NULL, "ListDevices: %s", h->error.message);
	sample(&s->all, before);
	waits = cpu_wait_usec(h->service) - waits;
	sample(&s->less_waits, before + waits < clock_usec() ? before + waits : clock_usec());
	(void)sd_bus_message_unref(reply);
}

/* A call of the bus itself, in which the service has no part: what the machine and the bus take. */
static void root_ask_bus(struct harness *h, struct samples *s)
{
	uint64_t before = clock_usec();

	ck_assert_int_ge(sd_bus_call_method(h->bus, "org.freedesktop.DBus", "/", "org.freedesktop.DBus",
					    "GetId", NULL, NULL, NULL),
			 0);
	sample(s, before);
}

static void root_work(struct harness *h, unsigned seconds, struct samples *sets, struct list_samples *lists,
		      struct samples *asks)
{
	for (uint64_t end = clock_usec() + seconds * UINT64_C(1000000); clock_usec() < end;) {
		uint64_t before = clock_usec();

		ck_assert_str_eq(set(h, "pci", DISK, sets->n % 2 ? "vfio-pci" : "nvme"), "enforced");
		sample(sets, before);
		for (unsigned i = 0; i < 5; i++) {
			root_list(h, lists);
			root_ask_bus(h, asks);
		}
	}
}

static long memory_kib(const struct harness *h)
{
	char path[64], line[256];
	long kib = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)h->service);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		(void)sscanf(line, "VmHWM: %ld", &kib);
	if (f)
		(void)fclose(f);
	return kib;
}

/* The service's own time; see loop-time.h. */
static struct loop_time *loop_time_start_service(struct harness *h)
{
	const char *path = mock_printf(h->m, "%s/loop-time", h->m->root);
	struct loop_time *t;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, sizeof(*t)), 0);
	t = mmap(NULL, sizeof(*t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ck_assert(t != MAP_FAILED);
	(void)close(fd);
	(void)setenv("LD_PRELOAD", LOOP_TIME_SO, 1);
	(void)setenv("LOOP_TIME_FILE", path, 1);
	service_start(h);
	(void)unsetenv("LD_PRELOAD");
	return t;
}

/* The time, in milliseconds, that so many of ten thousand rounds of the loop do not exceed. */
static double loop_time_most(const struct loop_time *t, unsigned of_10000)
{
	uint64_t n = 0;
	unsigned i = 0;

	for (; i < LOOP_TIME_BUCKETS - 1; i++) {
		n += t->bucket[i];
		if (n * 10000 >= t->rounds * of_10000)
			break;
	}
	return (double)(UINT64_C(1) << i) / 1000;
}

static void loop_time_print(const struct loop_time *t)
{
	(void)printf(
		"the service's loop: %ju rounds, %.1f s of CPU; one round 99 of 100 times at most %.2f ms "
		"of CPU, 9999 of 10000 at most %.2f, never more than %.1f; by the clock at most %.1f\n",
		(uintmax_t)t->rounds, (double)t->cpu_nsec / 1e9, loop_time_most(t, 9900),
		loop_time_most(t, 9999), (double)t->cpu_nsec_most / 1e6, (double)t->wall_nsec_most / 1e6);
}

static unsigned flood_seconds(void)
{
	const char *text = getenv("BENCH_SECONDS");

	return text ? (unsigned)strtoul(text, NULL, 10) : 60;
}

static void make_devices(struct harness *h)
{
	three_devices(h);
	for (unsigned i = 0; i < DEVICES; i++)
		(void)mock_pci_add(h->m, mock_printf(h->m, "0001:%02x:%02x.%x", i >> 8, i >> 3 & 31, i & 7),
				   NULL, 0x8086, i, 0x020000);
}

START_TEST(root_beside_a_user_who_does_what_it_can)
{
	static struct samples idle_sets, idle_asks, sets, asks;
	static struct list_samples idle_lists, lists;
	double set_idle, set_hostile, list_idle, list_hostile;
	struct harness *h = harness_new();
	struct loop_time *loop_time;
	pid_t hostile;
	long memory;

	make_devices(h);
	loop_time = loop_time_start_service(h);
	root_work(h, 10, &idle_sets, &idle_lists, &idle_asks);
	hostile = fork();
	if (hostile == 0)
		flood_run(h);
	(void)sleep(2);
	*loop_time = (struct loop_time){};
	root_work(h, flood_seconds(), &sets, &lists, &asks);
	memory = memory_kib(h);
	(void)kill(hostile, SIGKILL);
	(void)waitpid(hostile, NULL, 0);
	set_idle = percentile(&idle_sets, 50);
	set_hostile = percentile(&sets, 50);
	list_idle = percentile(&idle_lists.all, 99);
	list_hostile = percentile(&lists.all, 99);
	(void)printf(
		"root's SetOverride, median:          %8.1f ms idle, %8.1f ms beside the flood: %.1f times\n"
		"root's ListDevices, 99th percentile: %8.1f ms idle, %8.1f ms beside the flood (median "
		"%.1f)\n"
		"less the service's waits for a CPU:  %8.1f ms idle, %8.1f ms beside the flood (median "
		"%.1f)\n"
		"a call of the bus itself, likewise:  %8.1f ms idle, %8.1f ms beside the flood (median "
		"%.1f)\n"
		"the service's memory at its most:    %8ld KiB\n",
		set_idle, set_hostile, set_hostile / set_idle, list_idle, list_hostile,
		percentile(&lists.all, 50), percentile(&idle_lists.less_waits, 99),
		percentile(&lists.less_waits, 99), percentile(&lists.less_waits, 50),
		percentile(&idle_asks, 99), percentile(&asks, 99), percentile(&asks, 50), memory);
	loop_time_print(loop_time);
	(void)fflush(stdout);
	settle(h); /* ends when none of the service's processes is left */
	ck_assert_msg(set_hostile <= SET_TIMES_MOST * set_idle, "SetOverride takes too long");
	ck_assert_msg(list_hostile <= list_idle + LIST_MSEC_MOST, "ListDevices takes too long");
	ck_assert_msg(memory <= MEMORY_MOST_KIB, "the service needs too much memory");
	harness_free(h);
}
END_TEST

SUITE_MAIN("bench-hostile", 600, root_beside_a_user_who_does_what_it_can)
