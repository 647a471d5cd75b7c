/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Measures `overridectl list --all --json` on a private bus and mock trees: with the service, against
 * `busctl call … ListDevices`; of 5,000 devices against 500; without the service, against a loop that opens
 * one attribute of each device. What is compared runs in turns, and the fastest of several runs counts,
 * because other work of the machine can only add time. It fails where a ratio is more than the project has
 * set itself, times BENCH_SLACK where that is set: on a machine that does much else.
 *
 *   OVERRIDECTL=… bench-list, with the environment of harness.h
 */
#include "base/macro.h"
#include "base/text.h"
#include "tests/bus/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define RUNS 10U
#define FEW 500U
#define SOME 2000U
#define MANY 5000U
/* The limits that the project has set itself. */
#define BUSCTL_MOST 1.5
#define PER_DEVICE_MOST 3.0
#define LOOP_MOST 10.0

extern char **environ;

static double least(double a, double b)
{
	return a < b ? a : b;
}

static const char *name_of(struct mock *m, unsigned i)
{
	return mock_printf(m, "0000:%02x:%02x.%x", i >> 8, i >> 3 & 31, i & 7);
}

/* A service that knows so many devices. No rule decides about them: it would move them first. */
static struct harness *machine_new(unsigned devices)
{
	struct harness *h = harness_new();

	for (unsigned i = 0; i < devices; i++) {
		const char *devpath = mock_pci_add(h->m, name_of(h->m, i), NULL, 0x8086, i, 0x020000);

		mock_bind(h->m, devpath, "e1000e");
		mock_group(h->m, i, devpath, NULL);
	}
	service_start(h);
	return h;
}

/* The time that a program takes, without what it prints, in milliseconds. */
static double program_run(const char *const *argv)
{
	posix_spawn_file_actions_t actions;
	uint64_t begin = clock_usec();
	int status;
	pid_t pid;

	ck_assert_int_eq(posix_spawn_file_actions_init(&actions), 0);
	(void)posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	ck_assert_int_eq(posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv, environ),
			 0);
	(void)posix_spawn_file_actions_destroy(&actions);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s: %d", argv[0], status);
	return (double)(clock_usec() - begin) / 1e3;
}

static double list_run(struct harness *h, bool with_service)
{
	const char *argv[20] = { getenv("OVERRIDECTL"), "--sysfs", h->m->sysfs, "--state-dir", h->m->state };
	size_t n = 5;

	ck_assert_ptr_nonnull(argv[0]);
	for (size_t i = 0; i < MOCK_DIRS; i++) {
		argv[n++] = "--conf-dir";
		argv[n++] = h->m->conf[i];
	}
	if (with_service) {
		argv[n++] = "--address";
		argv[n++] = h->address;
	}
	argv[n++] = "list";
	argv[n++] = "--all";
	argv[n++] = "--json";
	return program_run(argv);
}

static double busctl_run(struct harness *h)
{
	const char *const argv[] = { "busctl",	    mock_printf(h->m, "--address=%s", h->address),
				     "call",	    "org.driveroverrides1",
				     ROOT_PATH,	    MANAGER,
				     "ListDevices", NULL };

	return program_run(argv);
}

static double loop_run(struct harness *h, unsigned devices)
{
	uint64_t begin = clock_usec();

	for (unsigned i = 0; i < devices; i++) {
		_cleanup_(closep) int fd = -EBADF;
		char path[256], text[64];

		(void)snprintf(path, sizeof(path), "%s/bus/pci/devices/0000:%02x:%02x.%x/vendor", h->m->sysfs,
			       i >> 8, i >> 3 & 31, i & 7);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		ck_assert_int_gt(read(fd, text, sizeof(text)), 0);
	}
	return (double)(clock_usec() - begin) / 1e3;
}

static double list_measure(unsigned devices)
{
	struct harness *h = machine_new(devices);
	double fastest = 1e9;

	for (unsigned i = 0; i < RUNS; i++)
		fastest = least(fastest, list_run(h, true));
	harness_free(h);
	return fastest;
}

static double limits_slack(void)
{
	const char *text = getenv("BENCH_SLACK");

	return text ? strtod(text, NULL) : 1;
}

START_TEST(bench)
{
	double list_few = list_measure(FEW), list_many = list_measure(MANY), list_some = 1e9, alone = 1e9;
	double busctl = 1e9, loop = 1e9, slack = limits_slack();
	struct harness *some = machine_new(SOME);

	/* The service leaves when nobody has called it for a while, so its part comes first. */
	for (unsigned i = 0; i < RUNS; i++) {
		list_some = least(list_some, list_run(some, true));
		busctl = least(busctl, busctl_run(some));
	}
	for (unsigned i = 0; i < RUNS; i++) {
		alone = least(alone, list_run(some, false));
		loop = least(loop, loop_run(some, SOME));
	}
	printf("overridectl list --all --json\n");
	printf("%u devices, with the service     %8.2f ms\n", SOME, list_some);
	printf("busctl call … ListDevices        %8.2f ms  list takes %.2f times that (at most %.1f)\n",
	       busctl, list_some / busctl, BUSCTL_MOST);
	printf("%u devices                       %8.2f ms  %.4f a device\n", FEW, list_few, list_few / FEW);
	printf("%u devices                      %8.2f ms  %.4f a device, %.2f times that (at most %.0f)\n",
	       MANY, list_many, list_many / MANY, list_many / MANY / (list_few / FEW), PER_DEVICE_MOST);
	printf("%u devices, without the service  %8.2f ms\n", SOME, alone);
	printf("opening an attribute of each     %8.2f ms  list takes %.2f times that (at most %.0f)\n", loop,
	       alone / loop, LOOP_MOST);
	(void)fflush(stdout);
	ck_assert_msg(list_some / busctl <= BUSCTL_MOST * slack, "it takes too long with the service");
	ck_assert_msg(list_many / MANY / (list_few / FEW) <= PER_DEVICE_MOST * slack,
		      "many devices take too long");
	ck_assert_msg(alone / loop <= LOOP_MOST * slack, "it takes too long without the service");
	harness_free(some);
}
END_TEST

SUITE_MAIN("bench-list", 900, bench)
