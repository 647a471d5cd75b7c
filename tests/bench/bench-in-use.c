/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Measures how long the enforcer looks for the users of devices: a dry run for one device and for 64, which
 * have a node each, on a mock tree whose proc has so many processes with FILES open files each. The variable
 * DRIVER_OVERRIDE names the enforcer; OTHER, if it is set, an older one, which takes turns with it.
 */
#include "base/macro.h"
#include "tests/bench/bench.h"
#include "tests/unit/fixtures/mock-sysfs.h"
#include "tests/unit/fixtures/suite.h"

#include <fcntl.h>
#include <spawn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEVICES 64U
#define FILES 20U
#define ROUNDS 7U

extern char **environ;

static void processes_add(struct mock *m, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++) {
		const char *folder = mock_printf(m, "%s/proc/%u/fd", m->root, 1000 + i);

		make_dirs(folder);
		for (unsigned k = 0; k < FILES; k++)
			ck_assert_int_eq(
				symlink(k % 2 ? "/dev/null" : "/", mock_printf(m, "%s/%u", folder, k)), 0);
	}
}

/* /dev/full (1:7) stands for all their nodes. */
static void devices_add(struct mock *m)
{
	make_dirs(mock_printf(m, "%s/dev", m->root));
	for (unsigned i = 0; i < DEVICES; i++) {
		const char *device =
			mock_pci_add(m, mock_printf(m, "0000:01:%02x.0", i), NULL, 0x1b36, 0x0010, 0x010802);

		mock_bind(m, device, "nvme");
		mock_class_add(m, "sound", device, mock_printf(m, "card%u", i));
		mock_attr(m, device, mock_printf(m, "sound/card%u/dev", i), "1:7\n");
		ck_assert_int_eq(symlink("/dev/full", mock_printf(m, "%s/dev/card%u", m->root, i)), 0);
	}
}

/* Microseconds of a dry run of the first n. */
static double dry_run(struct mock *m, const char *enforcer, unsigned n)
{
	const char *argv[DEVICES + 16] = { enforcer,	      "--sysfs", m->sysfs,
					   "--state-dir",     m->state,	 "--conf-dir",
					   m->conf[MOCK_ETC], "rebind",	 "--dry-run",
					   "--timeout",	      "600" };
	posix_spawn_file_actions_t actions;
	double start;
	int status;
	size_t k = 11;
	pid_t pid;

	for (unsigned i = 0; i < n; i++)
		argv[k++] = mock_printf(m, "0000:01:%02x.0", i);
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	start = clock_usec();
	ck_assert_int_eq(posix_spawn(&pid, enforcer, &actions, NULL, (char *const *)(uintptr_t)argv, environ),
			 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	start = clock_usec() - start;
	(void)posix_spawn_file_actions_destroy(&actions);
	ck_assert_int_eq(status, 0);
	return start;
}

static void compare(struct mock *m, unsigned processes)
{
	const char *const enforcers[] = { getenv("DRIVER_OVERRIDE"), getenv("OTHER") };
	static const char *const names[] = { "this", "other" };
	static const unsigned sizes[] = { 1, DEVICES };
	double usec[ELEMENTSOF(enforcers)][ELEMENTSOF(sizes)][ROUNDS];

	for (unsigned round = 0; round < ROUNDS; round++)
		for (size_t e = 0; e < ELEMENTSOF(enforcers); e++)
			for (size_t i = 0; enforcers[e] && i < ELEMENTSOF(sizes); i++)
				usec[e][i][round] = dry_run(m, enforcers[e], sizes[i]);
	for (size_t e = 0; e < ELEMENTSOF(enforcers); e++) {
		if (!enforcers[e])
			continue;
		for (size_t i = 0; i < ELEMENTSOF(sizes); i++)
			qsort(usec[e][i], ROUNDS, sizeof(double), compare_doubles);
		printf("%10u processes, %5s: one device %8.2f ms, %u devices %8.2f ms: %6.2f times\n",
		       processes, names[e], usec[e][0][ROUNDS / 2] / 1000, DEVICES,
		       usec[e][1][ROUNDS / 2] / 1000, usec[e][1][ROUNDS / 2] / usec[e][0][ROUNDS / 2]);
	}
	(void)fflush(stdout);
}

START_TEST(bench)
{
	struct mock *m = mock_new();

	devices_add(m);
	(void)mock_policy(m, MOCK_ETC, "10-a.conf", "[device all]\nClass=0108\nDriver=none\n");
	make_dirs(mock_printf(m, "%s/proc/self", m->root));
	for (unsigned before = 0, processes = 100; processes <= 400; processes *= 4) {
		processes_add(m, before, processes);
		compare(m, processes);
		before = processes;
	}
	mock_free(m);
}
END_TEST

SUITE_MAIN("bench-in-use", 600, bench)
