/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Measures the service with 2,000 devices and 1,000 rules, on a private bus and a mock tree: its start,
 * compared with a loop that opens and reads one attribute of each device; its memory; a call that returns all
 * objects; a change. The fastest of several runs counts, because other work of the machine can only add time.
 */
#include "base/macro.h"
#include "tests/bus/harness.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DEVICES 2000U
#define RULES 1000U
#define RUNS 10U
/* The limits that the project has set itself. */
#define START_MOST 10.0
#define MEMORY_MOST_KIB 16384L

static double now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static double least(double a, double b)
{
	return a < b ? a : b;
}

static const char *name_of(struct mock *m, unsigned i)
{
	return mock_printf(m, "0000:%02x:%02x.%x", i >> 8, i >> 3 & 31, i & 7);
}

static void make_tree(struct harness *h)
{
	_cleanup_(freep) char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	for (unsigned i = 0; i < DEVICES; i++) {
		const char *devpath = mock_pci_add(h->m, name_of(h->m, i), NULL, 0x8086, i, 0x020000);

		if (i > 0)
			mock_bind(h->m, devpath, "e1000e");
		mock_group(h->m, i, devpath, NULL);
	}
	ck_assert_ptr_nonnull(f);
	for (unsigned i = 0; i < RULES; i++)
		(void)fprintf(f, "[device r%u]\nBus=pci\nName=0001:%02x:%02x.%x\nDriver=vfio-pci\n", i,
			      i >> 8, i >> 3 & 31, i & 7);
	(void)fclose(f);
	(void)mock_policy(h->m, MOCK_ETC, "50-bench.conf", text);
}

static double read_one_of_each(struct harness *h)
{
	static char paths[DEVICES][256];
	double begin;

	for (unsigned i = 0; i < DEVICES; i++)
		(void)snprintf(paths[i], sizeof(paths[i]), "%s/bus/pci/devices/%s/vendor", h->m->sysfs,
			       name_of(h->m, i));
	begin = now();
	for (unsigned i = 0; i < DEVICES; i++) {
		_cleanup_(closep) int fd = open(paths[i], O_RDONLY | O_CLOEXEC);
		char text[64];

		ck_assert_int_gt(read(fd, text, sizeof(text)), 0);
	}
	return now() - begin;
}

static long memory(const struct harness *h, const char *key)
{
	char path[64], line[256];
	long kib = -1;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)h->service);
	f = fopen(path, "re");
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f))
		if (strncmp(line, key, strlen(key)) == 0)
			kib = strtol(line + strlen(key), NULL, 10);
	(void)fclose(f);
	return kib;
}

static double all_objects(struct harness *h)
{
	double begin = now();
	sd_bus_message *m = call_on(h, h->bus, "/org/driveroverrides1", "org.freedesktop.DBus.ObjectManager",
				    "GetManagedObjects", NULL);

	ck_assert_ptr_nonnull(m);
	(void)sd_bus_message_unref(m);
	return now() - begin;
}

static double change(struct harness *h, unsigned i)
{
	double begin = now();

	if (i & 1)
		ck_assert_str_eq(clear(h, "pci", name_of(h->m, 0)), "unmanaged");
	else
		ck_assert_str_eq(set(h, "pci", name_of(h->m, 0), "none"), "enforced");
	return now() - begin;
}

START_TEST(bench)
{
	struct harness *h = harness_new();
	double loop = 1e9, start = 1e9, objects = 1e9, changed = 1e9, begin;
	long kib, peak;

	make_tree(h);
	for (unsigned i = 0; i < RUNS; i++) {
		if (i > 0)
			service_stop(h);
		loop = least(loop, read_one_of_each(h));
		begin = now();
		service_start(h);
		start = least(start, now() - begin);
	}
	kib = memory(h, "VmRSS:");
	peak = memory(h, "VmHWM:");
	printf("%u devices, %u rules\n", DEVICES, RULES);
	printf("reading one attribute of each    %8.2f ms\n", loop);
	printf("start to name                    %8.2f ms  %.2f times that (at most %.0f)\n", start,
	       start / loop, START_MOST);
	printf("memory after the start           %8ld KiB (at most %ld); at its peak %ld KiB\n", kib,
	       MEMORY_MOST_KIB, peak);
	for (unsigned i = 0; i < RUNS; i++)
		objects = least(objects, all_objects(h));
	printf("GetManagedObjects                %8.2f ms\n", objects);
	for (unsigned i = 0; i < RUNS; i++)
		changed = least(changed, change(h, i));
	printf("SetOverride or ClearOverride     %8.2f ms  (with an enforcer that does next to nothing)\n",
	       changed);
	printf("memory after that                %8ld KiB; at its peak %ld KiB\n", memory(h, "VmRSS:"),
	       memory(h, "VmHWM:"));
	(void)fflush(stdout);
	ck_assert_msg(start / loop <= START_MOST, "the start takes too long");
	ck_assert_msg(kib <= MEMORY_MOST_KIB, "it needs too much memory");
	harness_free(h);
}
END_TEST

SUITE_MAIN("bench-service", 600, bench)
