/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Measures `overridectl check` on mock trees whose devices are one IOMMU group: of 500 and of 2,000 devices.
 * The time per device stays the same if the cost is linear in the group.
 *
 *   bench-check OVERRIDECTL [OLDER-OVERRIDECTL]
 *
 * An older build, where there is one, runs on the large group, too, in turns with the first; the ratio of
 * both is printed. Its figures come last, so that they can be done without.
 */
#include "tests/bench/bench.h"

#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define RUNS 5U

extern char **environ;

/* A tree of n devices: top/NAME/sys, and a policy beside it that decides about one and gives the rest by
 * Group=. */
static void make_tree(const char *name, unsigned n)
{
	make_dir("%s/%s", top, name);
	make_dir("%s/%s/sys", top, name);
	make_dir("%s/%s/sys/bus", top, name);
	make_dir("%s/%s/sys/bus/pci", top, name);
	make_dir("%s/%s/sys/bus/pci/devices", top, name);
	make_dir("%s/%s/sys/bus/pci/drivers", top, name);
	make_dir("%s/%s/sys/devices", top, name);
	make_dir("%s/%s/sys/devices/pci0000:00", top, name);
	make_dir("%s/%s/sys/kernel", top, name);
	make_dir("%s/%s/sys/kernel/iommu_groups", top, name);
	make_dir("%s/%s/sys/kernel/iommu_groups/7", top, name);
	make_dir("%s/%s/sys/kernel/iommu_groups/7/devices", top, name);
	make_dir("%s/%s/conf", top, name);
	write_file("[device first]\nName=0000:00:00.0\nDriver=vfio-pci\nGroup=none\n", "%s/%s/conf/1.conf",
		   top, name);
	for (unsigned i = 0; i < n; i++) {
		char device[32], target[PATH_MAX], path[PATH_MAX];

		(void)snprintf(device, sizeof(device), "0000:%02x:%02x.%x", i >> 8, (i >> 3) & 31, i & 7);
		make_dir("%s/%s/sys/devices/pci0000:00/%s", top, name, device);
		write_file("(null)\n", "%s/%s/sys/devices/pci0000:00/%s/driver_override", top, name, device);
		write_file("0x020000\n", "%s/%s/sys/devices/pci0000:00/%s/class", top, name, device);
		(void)snprintf(path, sizeof(path), "%s/%s/sys/devices/pci0000:00/%s/subsystem", top, name,
			       device);
		make_link("../../../bus/pci", path);
		(void)snprintf(path, sizeof(path), "%s/%s/sys/devices/pci0000:00/%s/iommu_group", top, name,
			       device);
		make_link("../../../kernel/iommu_groups/7", path);
		(void)snprintf(target, sizeof(target), "../../../devices/pci0000:00/%s", device);
		(void)snprintf(path, sizeof(path), "%s/%s/sys/bus/pci/devices/%s", top, name, device);
		make_link(target, path);
		(void)snprintf(target, sizeof(target), "../../../../devices/pci0000:00/%s", device);
		(void)snprintf(path, sizeof(path), "%s/%s/sys/kernel/iommu_groups/7/devices/%s", top, name,
			       device);
		make_link(target, path);
	}
}

/* The tree of one device, and a rule with n values, none of which is its name. */
static void make_values(const char *name, unsigned n)
{
	char path[PATH_MAX];
	FILE *f;

	make_tree(name, 1);
	(void)snprintf(path, sizeof(path), "%s/%s/conf/1.conf", top, name);
	f = fopen(path, "we");
	if (!f)
		die(path);
	(void)fprintf(f, "[device many]\nDriver=none\n");
	for (unsigned i = 0; i < n; i++)
		(void)fprintf(f, "Name=%04x:00:00.1\n", i);
	(void)fclose(f);
}

/* One check of a tree, in milliseconds. */
static double check_msec(const char *program, const char *tree)
{
	char sysfs[PATH_MAX], conf[PATH_MAX], state[PATH_MAX], verb[] = "check", o1[] = "--sysfs",
							       o2[] = "--conf-dir", o3[] = "--state-dir";
	char *argv[] = { NULL, o1, sysfs, o2, conf, o3, state, verb, NULL };
	posix_spawn_file_actions_t actions;
	double begun;
	int status;
	pid_t pid;

	(void)snprintf(sysfs, sizeof(sysfs), "%s/%s/sys", top, tree);
	(void)snprintf(conf, sizeof(conf), "%s/%s/conf", top, tree);
	(void)snprintf(state, sizeof(state), "%s/%s/state", top, tree);
	argv[0] = sysfs; /* any name will do: the path is given apart */
	if (posix_spawn_file_actions_init(&actions) != 0 ||
	    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0) != 0)
		die("posix_spawn_file_actions");
	begun = clock_usec();
	if (posix_spawn(&pid, program, &actions, NULL, argv, environ) != 0 || waitpid(pid, &status, 0) != pid)
		die(program);
	begun = clock_usec() - begun;
	if (!WIFEXITED(status) || WEXITSTATUS(status) > 1)
		die("check failed");
	(void)posix_spawn_file_actions_destroy(&actions);
	return begun / 1000;
}

/* The medians of both trees, which take turns, and what one of n costs in each. */
static void compare(const char *program, const char *what, const char *small_tree, unsigned small_n,
		    const char *large_tree, unsigned large_n)
{
	double small[RUNS], large[RUNS], per_small, per_large;

	for (size_t i = 0; i < RUNS; i++) {
		small[i] = check_msec(program, small_tree);
		large[i] = check_msec(program, large_tree);
	}
	qsort(small, RUNS, sizeof(double), compare_doubles);
	qsort(large, RUNS, sizeof(double), compare_doubles);
	per_small = small[RUNS / 2] * 1000 / small_n;
	per_large = large[RUNS / 2] * 1000 / large_n;
	printf("%10s %10s %10s\n", what, "ms", "us each");
	printf("%10u %10.1f %10.2f\n", small_n, small[RUNS / 2], per_small);
	printf("%10u %10.1f %10.2f\n", large_n, large[RUNS / 2], per_large);
	printf("each of %u compared with each of %u: %.2f\n\n", large_n, small_n, per_large / per_small);
}

int main(int argc, char **argv)
{
	if (argc < 2)
		die("bench-check OVERRIDECTL [OLDER-OVERRIDECTL]");
	bench_dir("/tmp", "check");
	make_tree("small", 500);
	make_tree("large", 2000);
	make_values("few", 20000);
	make_values("many", 80000);
	printf("overridectl check\n");
	compare(argv[1], "devices", "small", 500, "large", 2000);
	compare(argv[1], "values", "few", 20000, "many", 80000);
	if (argc > 2) {
		double old = check_msec(argv[2], "large"), now = check_msec(argv[1], "large");

		printf("the older build with 2,000 devices: %.1f ms, %.1f times as long\n", old, old / now);
	}
	return 0;
}
