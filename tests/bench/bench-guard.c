/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the guard's own path costs, as a ratio that is measured side by side in one run. The path begins with
 * waiting for the kernel's message about a new device; one time is taken when the override is written, one
 * when the device is released (receive, decide, compare, write, mark). It is compared with a loop of
 * recvmsg(), open(), read() and write() for the same messages and overrides, and with a loop that also reads
 * the files without which no program could decide by the row's rule. What the guard does after the release,
 * while the kernel goes on (closing, the record, the first probe's watch), is shown beside it.
 *
 * Runs on a mock tree on tmpfs, where a file costs less than in sysfs, so that the guard's own part weighs
 * more than it does in earnest. Guard and loop take turns by blocks of messages, and medians are compared,
 * since other programs of the machine disturb single messages. Ends with 1 if memory was allocated before a
 * device was released.
 */
#include "base/errno.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "tests/bench/bench.h"
#include "guard/worker.h"
#include "state/intent.h"
#include "tests/bench/kernel-calls.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <unistd.h>

#define DEVICES 200U /* each in a hot-plug slot of its own */
#define FEW 8U	     /* so many of them are named one by one; so many more are one of two in a slot */
#define BLOCK 40U
#define ROUNDS_MAX 1000U
#define UNSET "(null)\n"
#define DRIVER "vfio-pci"

/* How the policy's last rule, the only one that matches, names the devices. */
enum last_rule {
	KEY_ID,
	KEY_NAME,
	BY_CLASS,
	KEY_PATH,
	BY_PHYSFN,
	BY_MEMBER, /* it does not: it gives a driver to the group of the device beside it */
};

/* A file, a link or, with a slash at its end, a folder that must be read: the device's, or that of the
 * function number 0 beside it. */
struct need {
	bool of_first;
	const char *name;
};

struct row {
	const char *text;
	enum last_rule last;
	const char *group; /* Group= of the last rule */
	bool overtaken;	   /* the kernel has sent other events since this one */
	struct need needs[10];
};

/* First what most rules say, then rules for which more files must be read before the device may go on. */
static const struct row rows[] = {
	{ "Id=", KEY_ID, "leave", false, {} },
	{ "Name=", KEY_NAME, "leave", false, {} },
	{ "Class=", BY_CLASS, "leave", false, {} },
	{ "Id=, Group=hold", KEY_ID, "hold", false, {} },
	{ "Id=, not the latest", KEY_ID, "leave", true, { { false, "subsystem" }, { false, "modalias" } } },
	{ "Path=", KEY_PATH, "leave", false, { { false, "../" } } },
	{ "PhysFn=",
	  BY_PHYSFN,
	  "leave",
	  false,
	  { { false, "../" },
	    { false, "physfn" },
	    { false, "sriov_totalvfs" },
	    { true, "sriov_totalvfs" },
	    { true, "sriov_offset" },
	    { true, "sriov_stride" },
	    { true, "vendor" },
	    { true, "sriov_vf_device" } } },
	{ "none, companion",
	  BY_MEMBER,
	  DRIVER,
	  false,
	  { { false, "iommu_group/devices/" },
	    { true, "subsystem" },
	    { true, "modalias" },
	    { true, "driver_override" } } },
};

struct slot {
	char port[16], name[16], devpath[64];
	char message[512];
	size_t size;
	int override;
};

static struct slot slots[DEVICES + FEW];
static unsigned first_slot, n_slots; /* the slots that are used */
static int pair[2];		     /* messages go in at 0 */

struct times {
	double v[ROUNDS_MAX * BLOCK];
	size_t n;
};

static void __attribute__((format(printf, 2, 3))) add_line(struct slot *s, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	s->size += (size_t)vsnprintf(s->message + s->size, sizeof(s->message) - s->size, format, ap) + 1;
	va_end(ap);
}

/* A kernel's message has about as many lines as this, in this order. */
static void make_message(struct slot *s)
{
	s->size = 0;
	add_line(s, "add@%s", s->devpath);
	add_line(s, "ACTION=add");
	add_line(s, "DEVPATH=%s", s->devpath);
	add_line(s, "SUBSYSTEM=pci");
	add_line(s, "PCI_CLASS=20000");
	add_line(s, "PCI_ID=8086:10D3");
	add_line(s, "PCI_SUBSYS_ID=8086:A01F");
	add_line(s, "PCI_SLOT_NAME=%s", s->name);
	add_line(s, "MODALIAS=pci:v00008086d000010D3sv00008086sd0000A01Fbc02sc00i00");
	add_line(s, "SEQNUM=4711");
}

static void make_function(struct slot *s, unsigned bus, unsigned function)
{
	char path[PATH_MAX], target[PATH_MAX];

	(void)snprintf(s->port, sizeof(s->port), "0000:00:%02x.%x", 1 + bus / 8, bus % 8);
	(void)snprintf(s->name, sizeof(s->name), "0000:%02x:00.%x", 1 + bus, function);
	(void)snprintf(s->devpath, sizeof(s->devpath), "/devices/pci0000:00/%s/%s", s->port, s->name);
	make_message(s);
	make_dir("%s/sys/devices/pci0000:00/%s", top, s->port);
	make_dir("%s/sys%s", top, s->devpath);
	write_file("0x8086\n", "%s/sys%s/vendor", top, s->devpath);
	write_file("0x10d3\n", "%s/sys%s/device", top, s->devpath);
	write_file("0x020000\n", "%s/sys%s/class", top, s->devpath);
	write_file("pci:v00008086d000010D3sv00008086sd0000A01Fbc02sc00i00\n", "%s/sys%s/modalias", top,
		   s->devpath);
	write_file(UNSET, "%s/sys%s/driver_override", top, s->devpath);
	(void)snprintf(path, sizeof(path), "%s/sys%s/driver_override", top, s->devpath);
	s->override = open(path, O_RDWR | O_CLOEXEC);
	if (s->override < 0)
		die(path);
	(void)snprintf(target, sizeof(target), "../../..%s", s->devpath);
	(void)snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/%s", top, s->name);
	make_link(target, path);
	(void)snprintf(path, sizeof(path), "%s/sys%s/subsystem", top, s->devpath);
	make_link("../../../../bus/pci", path);
}

static void join_group(const struct slot *s, unsigned group)
{
	char path[PATH_MAX], target[PATH_MAX];

	make_dir("%s/sys/kernel/iommu_groups/%u", top, group);
	make_dir("%s/sys/kernel/iommu_groups/%u/devices", top, group);
	(void)snprintf(path, sizeof(path), "%s/sys/kernel/iommu_groups/%u/devices/%s", top, group, s->name);
	(void)snprintf(target, sizeof(target), "../../../..%s", s->devpath);
	make_link(target, path);
	(void)snprintf(path, sizeof(path), "%s/sys%s/iommu_group", top, s->devpath);
	(void)snprintf(target, sizeof(target), "../../../../kernel/iommu_groups/%u", group);
	make_link(target, path);
}

/* A physical function, which is there, and its virtual function, which the messages are about. */
static void make_pair(struct slot *s, unsigned bus)
{
	struct slot pf;

	make_function(&pf, bus, 0);
	(void)close(pf.override);
	write_file("1\n", "%s/sys%s/sriov_totalvfs", top, pf.devpath);
	write_file("1\n", "%s/sys%s/sriov_offset", top, pf.devpath);
	write_file("1\n", "%s/sys%s/sriov_stride", top, pf.devpath);
	write_file("10d3\n", "%s/sys%s/sriov_vf_device", top, pf.devpath);
	make_function(s, bus, 1);
	join_group(&pf, bus);
	join_group(s, bus);
}

static void make_tree(void)
{
	static const char *const dirs[] = { "",		"/bus",
					    "/bus/pci", "/bus/pci/devices",
					    "/kernel",	"/kernel/iommu_groups",
					    "/devices", "/devices/pci0000:00" };
	struct statfs fs;

	bench_dir("/dev/shm", "bench-guard");
	if (statfs(top, &fs) < 0 || fs.f_type != TMPFS_MAGIC)
		printf("(/dev/shm is no tmpfs here)\n");
	for (size_t i = 0; i < ELEMENTSOF(dirs); i++)
		make_dir("%s/sys%s", top, dirs[i]);
	for (unsigned i = 0; i < DEVICES; i++)
		make_function(&slots[i], i, 0);
	for (unsigned i = DEVICES; i < DEVICES + FEW; i++)
		make_pair(&slots[i], i);
}

/* Rules as people write them, about devices that are not there. */
static void add_other_rule(FILE *f, unsigned i)
{
	static const char *const actions[] = { "Driver=vfio-pci", "Driver=vfio\nGroup=leave", "Driver=none",
					       "Driver=nvme\nRebind=no" };

	(void)fprintf(f, "[device other-%u]\n", i);
	if (i % 20 == 19)
		(void)fprintf(f, "Name=0001:%02x:00.*\n", i / 20);
	else if (i % 20 == 9)
		(void)fprintf(f, "Path=pci0001:00/%02x.0/*\n", i / 20);
	else if (i % 10 == 8)
		(void)fprintf(f, "Class=%02x%02x%02x\n", 3 + i % 3, i >> 8, i & 255);
	else if (i % 10 >= 6)
		(void)fprintf(f, "Path=pci0000:00/%02x.%x/1f.7\n", i / 8 % 32, i % 8);
	else if (i % 2)
		(void)fprintf(f, "Id=10de:%04x%s\n", 0x1000 + i, i % 3 ? "" : ":1043:85aa");
	else
		(void)fprintf(f, "Name=0001:%02x:%02x.%x\n", i >> 8, (i >> 3) & 31, i & 7);
	(void)fprintf(f, "%s\n\n", actions[i / 7 % 4]);
}

static void add_last_rule(FILE *f, const struct row *row)
{
	(void)fprintf(f, "[device ours]\nDriver=" DRIVER "\nGroup=%s\n", row->group);
	first_slot = row->last == BY_PHYSFN || row->last == BY_MEMBER ? DEVICES : 0;
	n_slots = row->last == KEY_ID || row->last == BY_CLASS ? DEVICES : FEW;
	for (unsigned i = first_slot; i < first_slot + n_slots; i++)
		switch (row->last) {
		case KEY_ID:
			(void)fprintf(f, "%s", i == 0 ? "Id=8086:10d3\n" : "");
			break;
		case BY_CLASS:
			(void)fprintf(f, "%s", i == 0 ? "Class=0200\n" : "");
			break;
		case KEY_NAME:
			(void)fprintf(f, "Name=%s\n", slots[i].name);
			break;
		case KEY_PATH:
			(void)fprintf(f, "Path=pci0000:00/%s/00.0\n", slots[i].port + strlen("0000:00:"));
			break;
		case BY_PHYSFN:
		case BY_MEMBER:
			(void)fprintf(f, "%s=%.*s0\n", row->last == BY_PHYSFN ? "PhysFn" : "Name",
				      (int)strlen(slots[i].name) - 1, slots[i].name);
			break;
		}
}

static void make_policy(const struct row *row, unsigned rules)
{
	char path[PATH_MAX];
	FILE *f;

	make_dir("%s/conf", top);
	(void)snprintf(path, sizeof(path), "%s/conf/50-bench.conf", top);
	f = fopen(path, "we");
	if (!f)
		die(path);
	for (unsigned i = 0; i + 1 < rules; i++)
		add_other_rule(f, i);
	add_last_rule(f, row);
	if (fclose(f) != 0)
		die(path);
	write_file(row->overtaken ? "4712\n" : "4711\n", "%s/sys/kernel/uevent_seqnum", top);
}

/* The device has no override, and its message waits in the socket. */
static void slot_prepare(const struct slot *s)
{
	if (ftruncate(s->override, 0) < 0 || pwrite(s->override, UNSET, strlen(UNSET), 0) < 0)
		die("restoring driver_override");
	if (send(pair[0], s->message, s->size, 0) < 0)
		die("send");
}

static void slot_check(const struct slot *s)
{
	char text[32] = "";

	if (pread(s->override, text, sizeof(text) - 1, 0) < 0 || !streq(text, DRIVER)) {
		(void)fprintf(stderr, "%s was not given its driver\n", s->name);
		exit(1);
	}
}

static void need_look_at(const char *sysfs, const char *devpath, const struct need *need)
{
	static char path[PATH_MAX], text[4096];
	const char *end = need->name + strlen(need->name) - 1;
	int fd;

	ignore_error(path_join(path, sizeof(path), sysfs, devpath, NULL));
	if (need->of_first)
		path[strlen(path) - 1] = '0';
	ignore_error(path_join(path + strlen(path), sizeof(path) - strlen(path), "/", need->name, NULL));
	if (streq(need->name, "physfn") || streq(need->name, "subsystem")) {
		(void)!readlink(path, text, sizeof(text));
		return;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC | (*end == '/' ? O_DIRECTORY : 0));
	if (fd < 0)
		return;
	if (*end != '/')
		(void)!read(fd, text, sizeof(text));
	while (*end == '/' && getdents64(fd, text, sizeof(text)) > 0)
		;
	(void)close(fd);
}

/* The least that any program must do that writes an override when the kernel announces a device. */
static void loop_once(const char *sysfs, const struct need *needs)
{
	static char buf[UEVENT_SIZE], override[4096], path[PATH_MAX];
	struct sockaddr_storage from;
	struct iovec iov = { .iov_base = buf, .iov_len = sizeof(buf) };
	struct msghdr m = {
		.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1
	};
	int fd;

	if (recvmsg(pair[1], &m, 0) < 0)
		die("recvmsg");
	for (; needs && needs->name; needs++)
		need_look_at(sysfs, strchr(buf, '@') + 1, needs);
	ignore_error(path_join(path, sizeof(path), sysfs, strchr(buf, '@') + 1, "/driver_override", NULL));
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 || read(fd, override, sizeof(override)) < 0 || pwrite(fd, DRIVER, strlen(DRIVER), 0) < 0)
		die(path);
	released_usec = clock_usec();
	(void)close(fd);
}

static void guard_once(struct worker *w, const struct slot *s)
{
	slot_prepare(s);
	if (worker_process_event(w) < 0)
		die("worker_process_event");
	slot_check(s);
}

static unsigned next_slot(void)
{
	static unsigned next;

	return first_slot + next++ % n_slots;
}

/* The guard handles another message before each one that counts, so that caches are alike in both ways. */
static unsigned long run_guard(struct worker *w, struct times *write, struct times *path, struct times *after)
{
	unsigned long sum = 0;

	for (unsigned i = 0; i < BLOCK; i++) {
		const struct slot *s = &slots[next_slot()];
		double start;

		guard_once(w, &slots[next_slot()]);
		slot_prepare(s);
		watch_start();
		start = clock_usec();
		if (worker_process_event(w) < 0)
			die("worker_process_event");
		after->v[after->n++] = clock_usec() - released_usec;
		path->v[path->n++] = released_usec - start;
		write->v[write->n++] = written_usec - start;
		sum += allocations;
		slot_check(s);
	}
	return sum;
}

static void run_loop(struct worker *w, const char *sysfs, const struct need *needs, struct times *path)
{
	for (unsigned i = 0; i < BLOCK; i++) {
		const struct slot *s = &slots[next_slot()];
		double start;

		guard_once(w, &slots[next_slot()]);
		slot_prepare(s);
		start = clock_usec();
		loop_once(sysfs, needs);
		path->v[path->n++] = released_usec - start;
		slot_check(s);
	}
}

static double times_median(struct times *t)
{
	qsort(t->v, t->n, sizeof(*t->v), compare_doubles);
	return t->v[t->n / 2];
}

static void start_guard(struct guard *g, const struct settings *settings)
{
	static struct sysfs sysfs;

	*g = (struct guard){ .settings = settings, .socket = pair[1], .more_workers = -1 };
	(void)priority_lock_init(&g->policy_lock);
	sysfs_init(&sysfs, settings);
	g->main_wakeup = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	g->hold = hold_new(1000);
	if (intents_open(settings->state_dir, &g->intents) < 0)
		die("intents_open");
	g->first_probe_watches = g->hold ? first_probe_watches_new(&sysfs, g->hold) : NULL;
	g->policy_snapshot = policy_snapshot_load(settings);
	/* As if another worker were waiting, so that none is started: one is measured. */
	atomic_store(&g->n_idle, 1);
	if (g->main_wakeup < 0 || !g->first_probe_watches || !g->policy_snapshot)
		die("preparing the guard");
}

static unsigned long bench_row(const struct settings *settings, const struct row *row, unsigned rules,
			       unsigned rounds)
{
	static struct times written, path, after, loop, looking;
	unsigned long allocated = 0;
	struct worker *w;
	double base, more;
	struct guard g;

	make_policy(row, rules);
	start_guard(&g, settings);
	if (g.policy_snapshot->policy->n_rules != rules)
		die("the policy has errors");
	w = worker_new(&g);
	if (!w)
		die("worker_new");
	written.n = path.n = after.n = loop.n = looking.n = 0;
	for (unsigned i = 0; i < rounds; i++) {
		allocated += run_guard(w, &written, &path, &after);
		run_loop(w, settings->sysfs, NULL, &loop);
		run_loop(w, settings->sysfs, row->needs, &looking);
	}
	base = times_median(&loop);
	more = times_median(&looking);
	printf("%-26s %6u %8.2f %8.2f %6.2f %8.2f %6.2f %8.2f %6.2f %8.2f %8.2f\n", row->text, rules, base,
	       times_median(&written), times_median(&written) / base, times_median(&path),
	       times_median(&path) / base, more, times_median(&path) / more, times_median(&after),
	       (double)allocated / (rounds * BLOCK));
	worker_free(w);
	policy_snapshot_unref(g.policy_snapshot);
	first_probe_watches_free(g.first_probe_watches);
	hold_free(g.hold);
	(void)close(g.main_wakeup);
	return allocated;
}

int main(int argc, char **argv)
{
	unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 100;
	static char sysfs[PATH_MAX], state[PATH_MAX], conf[PATH_MAX];
	const int size = 1 << 20;
	struct settings settings;
	unsigned long allocated = 0;

	if (rounds == 0 || rounds > ROUNDS_MAX || argc > 2) {
		(void)fputs("bench-guard [ROUNDS]\n", stderr);
		return 2;
	}
	make_tree();
	(void)snprintf(sysfs, sizeof(sysfs), "%s/sys", top);
	(void)snprintf(state, sizeof(state), "%s/state", top);
	(void)snprintf(conf, sizeof(conf), "%s/conf", top);
	settings_init(&settings);
	if (settings_option(&settings, OPTION_SYSFS, sysfs) < 0 ||
	    settings_option(&settings, OPTION_STATE_DIR, state) < 0 ||
	    settings_option(&settings, OPTION_CONF_DIR, conf) < 0)
		die("settings");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		die("socketpair");
	(void)setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));

	printf("%-26s %6s %8s %8s %6s %8s %6s %8s %6s %8s %8s\n", "us a message, decided by", "rules", "loop",
	       "written", "ratio", "released", "ratio", "+files", "ratio", "after", "mallocs");
	for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
		allocated += bench_row(&settings, &rows[i], 10, rounds);
		allocated += bench_row(&settings, &rows[i], 1000, rounds);
	}
	if (allocated > 0)
		printf("memory is allocated before a device is released\n");
	return allocated > 0;
}
