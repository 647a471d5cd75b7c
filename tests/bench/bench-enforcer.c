/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Measures the enforcer, as ratios from one run: `event` compared with /bin/true and with a program that
 * links libudev and does nothing; `sweep` compared with a loop that opens and reads one attribute of each
 * device. Everything runs on a mock tree; no device of the machine is touched.
 *
 * The programs take turns, and the faster half of the runs of each counts: on a machine with other work the
 * slower half measures that work.
 */
#include "tests/bench/bench.h"

#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEVICES 2000
#define RUNS_MAX 2000

extern char **environ;

struct program {
	const char *name;
	const char *argv[16];
	double usec[RUNS_MAX];
	long peak_kib;
};

static void device_name(unsigned i, char buf[static 32])
{
	(void)snprintf(buf, 32, "0000:%02x:%02x.%x", i >> 8, (i >> 3) & 31, i & 7);
}

static void make_tree(void)
{
	make_dir("%s/sys", top);
	make_dir("%s/sys/bus", top);
	make_dir("%s/sys/bus/pci", top);
	make_dir("%s/sys/bus/pci/devices", top);
	make_dir("%s/sys/bus/pci/drivers", top);
	make_dir("%s/sys/devices", top);
	make_dir("%s/sys/devices/pci0000:00", top);
	for (unsigned i = 0; i < DEVICES; i++) {
		char name[32], target[PATH_MAX], path[PATH_MAX], modalias[128];

		device_name(i, name);
		make_dir("%s/sys/devices/pci0000:00/%s", top, name);
		write_file("(null)\n", "%s/sys/devices/pci0000:00/%s/driver_override", top, name);
		(void)snprintf(modalias, sizeof(modalias),
			       "pci:v00008086d%08Xsv00001AF4sd00001100bc02sc00i00\n", i);
		write_file(modalias, "%s/sys/devices/pci0000:00/%s/modalias", top, name);
		(void)snprintf(path, sizeof(path), "%s/sys/devices/pci0000:00/%s/subsystem", top, name);
		make_link("../../../bus/pci", path);
		(void)snprintf(target, sizeof(target), "../../../devices/pci0000:00/%s", name);
		(void)snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/%s", top, name);
		make_link(target, path);
	}
}

/* Rules as people write them: one match, one action. The last device of the tree matches the last rule. */
static void make_policy(unsigned rules)
{
	char path[PATH_MAX], name[32];
	FILE *f;

	make_dir("%s/conf%u", top, rules);
	(void)snprintf(path, sizeof(path), "%s/conf%u/50-bench.conf", top, rules);
	f = fopen(path, "we");
	if (!f)
		die(path);
	for (unsigned i = 0; i < rules; i++) {
		device_name(DEVICES - rules + i, name);
		if (i % 2 == 0 && i + 1 < rules)
			(void)fprintf(f, "[device card-%u]\nId=8086:%04x\nDriver=none\n\n", i, 0x8000 + i);
		else
			(void)fprintf(f, "[device card-%u]\nName=%s\nDriver=none\n\n", i, name);
	}
	if (fclose(f) != 0)
		die(path);
}

static double run_once(struct program *p)
{
	posix_spawn_file_actions_t actions;
	struct rusage usage;
	double start;
	int status = -1, r;
	pid_t pid;

	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	(void)posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	start = clock_usec();
	r = posix_spawn(&pid, p->argv[0], &actions, NULL, (char *const *)(uintptr_t)p->argv, environ);
	if (r != 0 || wait4(pid, &status, 0, &usage) < 0)
		die(p->argv[0]);
	start = clock_usec() - start;
	(void)posix_spawn_file_actions_destroy(&actions);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		(void)fprintf(stderr, "%s failed\n", p->name);
		exit(1);
	}
	if (usage.ru_maxrss > p->peak_kib)
		p->peak_kib = usage.ru_maxrss;
	return start;
}

static double fast_half(double *v, unsigned n)
{
	double sum = 0;

	qsort(v, n, sizeof(*v), compare_doubles);
	for (unsigned i = 0; i < n / 2; i++)
		sum += v[i];
	return sum / (n / 2);
}

/* Reads one attribute of each of n devices, which every sweep must do. */
static double read_loop(unsigned n)
{
	double start = clock_usec();

	for (unsigned i = 0; i < n; i++) {
		char path[PATH_MAX], name[32], buf[4096];
		int fd;

		device_name(i, name);
		(void)snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/%s/driver_override", top, name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || read(fd, buf, sizeof(buf)) < 0)
			die(path);
		(void)close(fd);
	}
	return clock_usec() - start;
}

static void bench_event(const char *enforcer, const char *nothing, unsigned runs)
{
	static struct program programs[5];
	static char sysfs[PATH_MAX], state[3][PATH_MAX], conf[3][PATH_MAX], device[PATH_MAX];
	const unsigned rules[] = { 0, 100, 1000 };
	double base;
	char name[32];

	device_name(DEVICES - 1, name);
	(void)snprintf(sysfs, sizeof(sysfs), "--sysfs=%s/sys", top);
	(void)snprintf(device, sizeof(device), "/devices/pci0000:00/%s", name);
	programs[0] = (struct program){ .name = "/bin/true", .argv = { "/bin/true" } };
	programs[1] = (struct program){ .name = "libudev, doing nothing", .argv = { nothing } };
	for (unsigned i = 0; i < 3; i++) {
		static const char *const names[] = { "event, no rules", "event, 100 rules",
						     "event, 1,000 rules" };

		make_policy(rules[i]);
		/* Each has its own state directory: with a shared one each run would see the policy change.
		 */
		(void)snprintf(state[i], sizeof(state[i]), "--state-dir=%s/state%u", top, rules[i]);
		(void)snprintf(conf[i], sizeof(conf[i]), "--conf-dir=%s/conf%u", top, rules[i]);
		programs[2 + i] =
			(struct program){ .name = names[i],
					  .argv = { enforcer, sysfs, state[i], conf[i], "event", device } };
	}
	for (unsigned r = 0; r < runs; r++)
		for (unsigned i = 0; i < 5; i++)
			programs[i].usec[r] = run_once(&programs[i]);

	base = fast_half(programs[1].usec, runs);
	printf("%-26s %10s %10s %10s %10s\n", "one run of", "ms", "/libudev", "/true", "peak KiB");
	for (unsigned i = 0; i < 5; i++) {
		double t = i == 1 ? base : fast_half(programs[i].usec, runs);

		printf("%-26s %10.3f %10.2f %10.2f %10ld\n", programs[i].name, t / 1e3, t / base,
		       t / fast_half(programs[0].usec, runs), programs[i].peak_kib);
	}
}

static void bench_sweep(const char *enforcer, unsigned runs)
{
	static struct program sweep;
	static char sysfs[PATH_MAX], state[PATH_MAX], conf[PATH_MAX];
	static double loop[RUNS_MAX];
	double base, t;

	(void)snprintf(sysfs, sizeof(sysfs), "--sysfs=%s/sys", top);
	(void)snprintf(state, sizeof(state), "--state-dir=%s/state", top);
	(void)snprintf(conf, sizeof(conf), "--conf-dir=%s/conf1000", top);
	sweep = (struct program){ .argv = { enforcer, sysfs, state, conf, "sweep" }, .name = "sweep" };
	(void)run_once(&sweep); /* this run writes; later runs find nothing to change */
	for (unsigned r = 0; r < runs; r++) {
		sweep.usec[r] = run_once(&sweep);
		loop[r] = read_loop(DEVICES);
	}
	base = fast_half(loop, runs);
	t = fast_half(sweep.usec, runs);
	printf("\n%-40s %10s %10s\n", "2,000 devices", "ms", "ratio");
	printf("%-40s %10.2f %10.2f\n", "open and read one attribute of each", base / 1e3, 1.0);
	printf("%-40s %10.2f %10.2f\n", "sweep by 1,000 rules", t / 1e3, t / base);
}

int main(int argc, char **argv)
{
	unsigned runs = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 200;

	if (argc < 3 || runs < 2 || runs > RUNS_MAX) {
		(void)fputs("bench-enforcer DRIVER-OVERRIDE NOTHING [RUNS]\n", stderr);
		return 2;
	}
	bench_dir("/tmp", "bench-enforcer");
	make_tree();
	bench_event(argv[1], argv[2], runs);
	bench_sweep(argv[1], runs < 20 ? runs : 20);
	return 0;
}
