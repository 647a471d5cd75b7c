/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a worker does, from a message of the kernel to the override in a mock tree. Without BPF, which would
 * be attached to the machine that the tests run on.
 */
#include "base/macro.h"
#include "base/text.h"
#include "guard/worker.h"
#include "state/intent.h"
#include "tests/unit/fixtures/fake-hold.h"
#include "tests/unit/fixtures/mock-sysfs.h"
#include "tests/unit/fixtures/suite.h"

#include <linux/netlink.h>
#include <pthread.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NAME "0000:00:03.0"
#define KEY_ID "[device card]\nId=8086:10d3\nDriver=pci-stub\n"

struct fixture {
	struct mock *m;
	struct guard g;
	struct sysfs sysfs;
	struct worker *w;
	const char *device;
	int kernel; /* where messages go in */
};

/*
 * What happens at a moment that the test chooses, once; NULL: nothing. The tests that use it have one thread.
 */
static void (*on_receive)(struct fixture *t), (*on_read)(struct fixture *t), (*on_write)(struct fixture *t);
static int receive_error; /* what the next recvmsg() fails with; 0: nothing */
static struct fixture *hooked;

static void hook_run(void (**hook)(struct fixture *t))
{
	void (*function)(struct fixture * t) = *hook;

	*hook = NULL;
	if (function)
		function(hooked);
}

/* In place of the C library's: what comes through a socket pair is the kernel's. */
ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
	ssize_t n;

	hook_run(&on_receive);
	if (receive_error) {
		errno = receive_error;
		receive_error = 0;
		return -1;
	}
	n = syscall(SYS_recvmsg, fd, m, flags);
	if (n >= 0) {
		memset(m->msg_name, 0, sizeof(struct sockaddr_nl));
		m->msg_namelen = sizeof(struct sockaddr_nl);
	}
	return n;
}

/* The first thing that a worker reads about a device: whether its event is the latest. */
ssize_t pread(int fd, void *buf, size_t size, off_t offset)
{
	ssize_t n = syscall(SYS_pread64, fd, buf, size, offset);

	hook_run(&on_read);
	return n;
}

/* An override is written. */
ssize_t pwrite(int fd, const void *buf, size_t size, off_t offset)
{
	hook_run(&on_write);
	return syscall(SYS_pwrite64, fd, buf, size, offset);
}

/* Without an override, as some kernels show it: a file that is written to keeps what stands behind. */
static const char *device_add(struct fixture *t, const char *name, unsigned device, unsigned class)
{
	const char *devpath = mock_pci_add(t->m, name, NULL, 0x8086, device, class);

	mock_attr(t->m, devpath, "driver_override", "");
	return devpath;
}

/* The kernel's latest event has number 7. */
static void fixture_new(struct fixture *t, const char *policy)
{
	const char *number;
	int pair[2];

	*t = (struct fixture){ .m = mock_new() };
	hooked = t;
	t->device = device_add(t, NAME, 0x10d3, 0x020000);
	make_dirs(mock_printf(t->m, "%s/kernel", t->m->sysfs));
	number = mock_printf(t->m, "%s/kernel/uevent_seqnum", t->m->sysfs);
	make_file(number, "7\n", 2);
	mock_policy(t->m, MOCK_ETC, "50.conf", policy);

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	t->kernel = pair[0];
	t->g = (struct guard){ .settings = &t->m->settings,
			       .socket = pair[1],
			       .main_wakeup = eventfd(0, EFD_CLOEXEC),
			       .more_workers = -1,
			       .hold = hold_new(1000),
			       .policy_snapshot = policy_snapshot_load(&t->m->settings) };
	ck_assert_int_eq(priority_lock_init(&t->g.policy_lock), 0);
	sysfs_init(&t->sysfs, &t->m->settings);
	t->g.first_probe_watches = first_probe_watches_new(&t->sysfs, t->g.hold);
	ck_assert_int_eq(intents_open(t->m->settings.state_dir, &t->g.intents), 0);
	/* As if another worker were waiting, so that none is started. */
	atomic_store(&t->g.n_idle, 1);
	t->w = worker_new(&t->g);
	ck_assert(t->w && t->g.policy_snapshot && t->g.first_probe_watches);
}

static void fixture_done(struct fixture *t)
{
	worker_free(t->w);
	first_probe_watches_free(t->g.first_probe_watches);
	hold_free(t->g.hold);
	policy_snapshot_unref(t->g.policy_snapshot);
	(void)close(t->g.main_wakeup);
	(void)close(t->g.socket);
	(void)close(t->kernel);
	mock_free(t->m);
}

/* The kernel sends a message about a PCI device; more: further lines, each with a NUL behind. */
static void kernel_sends(struct fixture *t, const char *action, const char *devpath, const char *modalias,
			 unsigned seqnum, const char *more, size_t more_size)
{
	char text[1024];
	int n = snprintf(text, sizeof(text), "%s@%s%cACTION=%s%cSUBSYSTEM=pci%cMODALIAS=%s%cSEQNUM=%u",
			 action, devpath, 0, action, 0, 0, modalias, 0, seqnum);

	memcpy(text + n + 1, more, more_size);
	n += 1 + (int)more_size;
	ck_assert_int_eq(send(t->kernel, text, (size_t)n, 0), n);
}

/* The kernel announces a device. */
static void kernel_adds(struct fixture *t, const char *devpath, const char *modalias, unsigned seqnum)
{
	kernel_sends(t, "add", devpath, modalias, seqnum, "", 0);
}

/* The kernel announces a device and the worker handles that. Returns the override. */
static const char *worker_hears_of(struct fixture *t, const char *devpath, const char *modalias,
				   unsigned seqnum)
{
	kernel_adds(t, devpath, modalias, seqnum);
	ck_assert_int_eq(worker_process_event(t->w), 0);
	return mock_override(t->m, devpath);
}

static const char card[] = "pci:v00008086d000010D3sv00001AF4sd00001100bc02sc00i00";
static const char another[] = "pci:v00001234d00005678sv00001AF4sd00001100bc02sc00i00";

START_TEST(override_is_written_and_recorded)
{
	struct record record;
	struct fixture t;

	fixture_new(&t, KEY_ID);
	ck_assert_str_eq(worker_hears_of(&t, t.device, card, 7), "pci-stub");
	ck_assert(mock_record(t.m, t.device, &record));
	ck_assert_str_eq(record.owned_override, "pci-stub");
	ck_assert_str_eq(record.rule, "card");
	ck_assert(!intent_is_pending(t.m->settings.state_dir, "pci", NAME, "pci-stub"));
	fixture_done(&t);
}
END_TEST

START_TEST(device_without_a_rule_is_not_touched)
{
	struct fixture t;

	fixture_new(&t, "[device other]\nName=0000:00:04.0\nDriver=vfio-pci\n");
	ck_assert_str_eq(worker_hears_of(&t, t.device, card, 7), "");
	fixture_done(&t);
}
END_TEST

START_TEST(override_of_the_kernel_stays)
{
	struct record record;
	struct fixture t;

	fixture_new(&t, KEY_ID);
	mock_attr(t.m, t.device, "driver_override", "vfio-pci\n");
	ck_assert_str_eq(worker_hears_of(&t, t.device, card, 7), "vfio-pci\n");
	/* It is known as not ours. */
	ck_assert(mock_record(t.m, t.device, &record));
	ck_assert_int_eq(record.state, STATE_FOREIGN);
	fixture_done(&t);
}
END_TEST

/* Another device than the announced one may have that name by now. */
START_TEST(old_event_is_not_believed)
{
	struct fixture t;

	fixture_new(&t, KEY_ID);
	ck_assert_str_eq(worker_hears_of(&t, t.device, another, 6), "pci-stub");
	fixture_done(&t);
	fixture_new(&t, "[device gone]\nId=1234:5678\nDriver=pci-stub\n");
	ck_assert_str_eq(worker_hears_of(&t, t.device, another, 6), "");
	fixture_done(&t);
}
END_TEST

START_TEST(latest_event_is_believed)
{
	struct fixture t;

	fixture_new(&t, "[device announced]\nId=1234:5678\nDriver=pci-stub\n");
	ck_assert_str_eq(worker_hears_of(&t, t.device, another, 7), "pci-stub");
	fixture_done(&t);
}
END_TEST

/* A worker keeps its memory from device to device; nothing of one device is left for the next. */
START_TEST(one_worker_decides_about_many_devices_in_turn)
{
	const char *v[20];
	struct fixture t;

	fixture_new(&t, "[device even]\nName=*0 *2 *4 *6\nDriver=pci-stub\n"
			"[device odd]\nId=8086:10d5\nDriver=none\n");
	for (unsigned i = 0; i < ELEMENTSOF(v); i++)
		v[i] = device_add(&t, mock_printf(t.m, "0000:0%x:00.%u", 1 + i / 8, i % 8), 0x10d4 + i % 2,
				  0x020000);
	for (unsigned i = 0; i < ELEMENTSOF(v); i++)
		ck_assert_str_eq(worker_hears_of(&t, v[i], another, 6), i % 2 ? "none" : "pci-stub");
	ck_assert_uint_eq(atomic_load(&t.g.n_added), ELEMENTSOF(v));
	fixture_done(&t);
}
END_TEST

START_TEST(companion_is_given_what_its_group_says)
{
	const char *member, *bridge;
	struct fixture t;

	fixture_new(&t, "[device card]\nName=0000:00:03.1\nDriver=vfio-pci\nGroup=none\n");
	member = device_add(&t, "0000:00:03.1", 0x10d3, 0x020000);
	bridge = device_add(&t, "0000:00:02.0", 0x1901, 0x060400);
	mock_group(t.m, 1, t.device, member, bridge, NULL);
	ck_assert_str_eq(worker_hears_of(&t, t.device, card, 7), "none");
	ck_assert_str_eq(
		worker_hears_of(&t, bridge, "pci:v00008086d00001901sv00001AF4sd00001100bc06sc04i00", 7), "");
	fixture_done(&t);
}
END_TEST

/* It came first, and is held until the member whose rule decides about it is decided about. */
START_TEST(companion_that_is_here_is_decided_with_the_member)
{
	static const char *const groups[] = { "none", "leave" };

	for (size_t i = 0; i < ELEMENTSOF(groups); i++) {
		const char *member;
		struct fixture t;

		fixture_new(&t, i == 0 ? "[device card]\nName=0000:00:03.1\nDriver=vfio-pci\nGroup=none\n"
				       : "[device card]\nName=0000:00:03.1\nDriver=vfio-pci\nGroup=leave\n"
					 "[device other]\nName=0000:00:04.0\nDriver=vfio-pci\nGroup=none\n");
		member = device_add(&t, "0000:00:03.1", 0x10d3, 0x020000);
		mock_group(t.m, 1, t.device, member, NULL);
		ck_assert_str_eq(worker_hears_of(&t, member, card, 7), "vfio-pci");
		ck_assert_str_eq(mock_override(t.m, t.device), streq(groups[i], "none") ? "none" : "");
		fixture_done(&t);
	}
}
END_TEST

/* Nothing was written, and nothing is being written. */
START_TEST(companion_that_cannot_be_read_is_not_claimed)
{
	struct record record;
	const char *member;
	struct fixture t;

	fixture_new(&t, "[device card]\nName=0000:00:03.1\nDriver=vfio-pci\nGroup=none\n");
	member = device_add(&t, "0000:00:03.1", 0x10d3, 0x020000);
	mock_group(t.m, 1, t.device, member, NULL);
	mock_attr_link(t.m, t.device, "driver_override", "/proc/self/mem"); /* EIO at its beginning */
	ck_assert_str_eq(worker_hears_of(&t, member, card, 7), "vfio-pci");
	ck_assert(!mock_record(t.m, t.device, &record));
	ck_assert(!intent_is_pending(t.m->settings.state_dir, "pci", NAME, "none"));
	fixture_done(&t);
}
END_TEST

/* It is held like any other until its bus is known to have no overrides, but not to the limit. */
START_TEST(device_without_an_override_file_is_released)
{
	const char *devpath;
	uint64_t ticket;
	struct fixture t;

	fixture_new(&t, "[device all]\nName=*\nDriver=none\n");
	devpath = mock_pci_add(t.m, "0000:00:04.0", NULL, 0x8086, 0x10d3, 0x020000);
	ck_assert_int_eq(unlink(mock_path(t.m, devpath, "driver_override")), 0);
	ticket = fake_hold_issue(t.g.hold, "pci", "0000:00:04.0");
	kernel_adds(&t, devpath, card, 6);
	ck_assert_int_eq(worker_process_event(t.w), 0);
	ck_assert_int_eq(fake_hold_mark(t.g.hold, ticket), HOLD_DECIDED);
	/* Others of this bus have the file. */
	ck_assert(!atomic_load(&t.g.buses_changed));
	ck_assert_int_eq(unlink(mock_path(t.m, t.device, "driver_override")), 0);
	kernel_adds(&t, devpath, card, 6);
	ck_assert_int_eq(worker_process_event(t.w), 0);
	ck_assert(atomic_load(&t.g.buses_changed));
	fixture_done(&t);
}
END_TEST

/* The message is about a device that has gone; the next one with its name has a ticket, but not all its files
 * yet. */
START_TEST(device_that_is_incomplete_waits_for_its_own_message)
{
	uint64_t ticket;
	struct fixture t;

	fixture_new(&t, "[device other]\nName=0000:00:04.0\nDriver=vfio-pci\n");
	ticket = fake_hold_issue(t.g.hold, "pci", NAME);
	ck_assert_int_eq(unlink(mock_path(t.m, t.device, "subsystem")), 0);
	(void)worker_hears_of(&t, t.device, card, 6);
	ck_assert_int_eq(fake_hold_mark(t.g.hold, ticket), HOLD_WAITS);
	(void)worker_hears_of(&t, t.device, card, 7);
	ck_assert_int_eq(fake_hold_mark(t.g.hold, ticket), HOLD_DECIDED);
	fixture_done(&t);
}
END_TEST

/* A driver is just leaving the companion, so that it looks driverless, and its files hang. */
START_TEST(companion_that_hangs_does_not_delay_the_device)
{
	static struct fixture t; /* its threads end with this process */
	const char *member;
	uint64_t ticket;

	fixture_new(&t, "[device card]\nName=0000:00:03.1\nDriver=vfio-pci\nGroup=none\n");
	member = device_add(&t, "0000:00:03.1", 0x10d3, 0x020000);
	mock_group(t.m, 1, t.device, member, NULL);
	mock_attr_hangs(t.m, member, "driver_override");
	ticket = fake_hold_issue(t.g.hold, "pci", NAME);
	ck_assert_int_eq(workers_start(&t.g), 0);
	kernel_adds(&t, t.device, card, 7);
	while (fake_hold_mark(t.g.hold, ticket) != HOLD_DECIDED)
		(void)usleep(10000);
	ck_assert_str_eq(mock_override(t.m, t.device), "none");
}
END_TEST

/* Its first probe is still to come, and its override stands before that. */
START_TEST(companion_that_is_held_is_released_once_its_override_stands)
{
	const char *member;
	uint64_t tickets[2];
	struct fixture t;

	fixture_new(&t, "[device card]\nName=0000:00:03.1\nDriver=vfio-pci\nGroup=none\n");
	member = device_add(&t, "0000:00:03.1", 0x10d3, 0x020000);
	mock_group(t.m, 1, t.device, member, NULL);
	tickets[0] = fake_hold_issue(t.g.hold, "pci", NAME);
	tickets[1] = fake_hold_issue(t.g.hold, "pci", "0000:00:03.1");
	ck_assert_str_eq(worker_hears_of(&t, member, card, 7), "vfio-pci");
	ck_assert_str_eq(mock_override(t.m, t.device), "none");
	for (size_t i = 0; i < ELEMENTSOF(tickets); i++)
		ck_assert_int_eq(fake_hold_mark(t.g.hold, tickets[i]), HOLD_DECIDED);
	fixture_done(&t);
}
END_TEST

static void *write_override_later(void *userdata)
{
	struct fixture *t = userdata;

	(void)usleep(20000);
	mock_attr(t->m, t->device, "driver_override", "pci-stub");
	return NULL;
}

/* A standby thread is handling the same device. */
START_TEST(a_worker_waits_for_another_thread_that_handles_the_same_device)
{
	struct fixture t;
	struct intent *other;
	struct record record;
	pthread_t thread;

	fixture_new(&t, KEY_ID);
	t.w->recheck_delay_usec = 500000;
	other = intent_begin(t.g.intents, "pci", NAME, "pci-stub");
	ck_assert_int_eq(pthread_create(&thread, NULL, write_override_later, &t), 0);
	ck_assert_str_eq(worker_hears_of(&t, t.device, card, 7), "pci-stub");
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert(mock_record(t.m, t.device, &record));
	ck_assert_str_eq(record.owned_override, ""); /* the other thread records that */
	mock_attr(t.m, t.device, "driver_override", "");
	/* A thread that is stuck is not waited for without end. */
	t.w->recheck_delay_usec = 1000;
	ck_assert_str_eq(worker_hears_of(&t, t.device, card, 7), "pci-stub");
	ck_assert(mock_record(t.m, t.device, &record));
	ck_assert_str_eq(record.owned_override, "pci-stub");
	intent_end(other);
	fixture_done(&t);
}
END_TEST

/* More of them than there are workers at first. */
START_TEST(devices_that_hang_delay_no_other)
{
	static struct fixture t; /* the threads cannot be stopped, and end with this process */
	unsigned n_disowned;
	const char *last;

	fixture_new(&t, "[device all]\nBus=pci\nDriver=none\n");
	atomic_store(&t.g.n_idle, 0);
	ck_assert_int_eq(workers_start(&t.g), 0);
	/* Each thread that the main thread has started gives up its copy of the hold's links. */
	while ((n_disowned = fake_hold_disowned(t.g.hold)) < (unsigned)atomic_load(&t.g.n_workers) + 1)
		(void)usleep(10000);
	for (unsigned i = 0; i < 16; i++) {
		const char *name = mock_printf(t.m, "0000:0%u:00.%u", 1 + i / 8, i % 8);
		const char *devpath = device_add(&t, name, 0x10d3, 0x020000);

		mock_attr_hangs(t.m, devpath, "driver_override");
		kernel_adds(&t, devpath, card, 7);
	}
	last = device_add(&t, "0000:03:00.0", 0x10d3, 0x020000);
	kernel_adds(&t, last, card, 7);
	while (!streq(mock_override(t.m, last), "none"))
		(void)usleep(10000);
	ck_assert_int_gt(atomic_load(&t.g.n_workers), 16);
	/* Those that were made later started without them. */
	ck_assert_uint_eq(fake_hold_disowned(t.g.hold), n_disowned);
}
END_TEST

/* What the kernel does while a worker handles the event of the device: that one has gone, and another one has
 * come under its name. */
static uint64_t successor;

static void device_is_replaced(struct fixture *t)
{
	successor = fake_hold_issue(t->g.hold, "pci", NAME);
}

START_TEST(a_successor_of_the_device_is_not_released_by_the_decision_about_it)
{
	void (**const moments[])(struct fixture * t) = { &on_read, &on_write };

	for (size_t i = 0; i < ELEMENTSOF(moments); i++) {
		uint64_t ticket;
		struct fixture t;

		fixture_new(&t, KEY_ID);
		successor = 0;
		ticket = fake_hold_issue(t.g.hold, "pci", NAME);
		*moments[i] = device_is_replaced;
		(void)worker_hears_of(&t, t.device, card, 7);
		ck_assert_uint_ne(successor, 0);
		ck_assert_int_eq(fake_hold_mark(t.g.hold, ticket), HOLD_DECIDED);
		ck_assert_int_eq(fake_hold_mark(t.g.hold, successor), HOLD_WAITS);
		fixture_done(&t);
	}
}
END_TEST

static void companion_is_about_to_be_replaced(struct fixture *t)
{
	(void)t;
	on_write = device_is_replaced; /* the next write is the companion's */
}

START_TEST(a_successor_of_a_companion_is_not_released_by_the_decision_about_it)
{
	const char *member;
	struct fixture t;

	fixture_new(&t, "[device card]\nName=0000:00:03.1\nDriver=vfio-pci\nGroup=none\n");
	member = device_add(&t, "0000:00:03.1", 0x10d3, 0x020000);
	mock_group(t.m, 1, t.device, member, NULL);
	successor = 0;
	(void)fake_hold_issue(t.g.hold, "pci", NAME);
	(void)fake_hold_issue(t.g.hold, "pci", "0000:00:03.1");
	on_write = companion_is_about_to_be_replaced;
	(void)worker_hears_of(&t, member, card, 7);
	ck_assert_uint_ne(successor, 0);
	ck_assert_int_eq(fake_hold_mark(t.g.hold, successor), HOLD_WAITS);
	fixture_done(&t);
}
END_TEST

/* The kernel has set another override, so the companion's own event must decide. */
START_TEST(companion_whose_override_does_not_stand_is_not_released)
{
	const char *member;
	uint64_t tickets[2];
	struct fixture t;

	fixture_new(&t, "[device card]\nName=0000:00:03.1\nDriver=vfio-pci\nGroup=none\n");
	member = device_add(&t, "0000:00:03.1", 0x10d3, 0x020000);
	mock_group(t.m, 1, t.device, member, NULL);
	mock_attr(t.m, t.device, "driver_override", "e1000e\n");
	tickets[0] = fake_hold_issue(t.g.hold, "pci", NAME);
	tickets[1] = fake_hold_issue(t.g.hold, "pci", "0000:00:03.1");
	ck_assert_str_eq(worker_hears_of(&t, member, card, 7), "vfio-pci");
	ck_assert_str_eq(mock_override(t.m, t.device), "e1000e\n");
	ck_assert_int_eq(fake_hold_mark(t.g.hold, tickets[0]), HOLD_WAITS);
	ck_assert_int_eq(fake_hold_mark(t.g.hold, tickets[1]), HOLD_DECIDED);
	fixture_done(&t);
}
END_TEST

/* No member of its group is held, so nothing that is asked of the group may delay the device. */
START_TEST(device_is_released_before_its_group_is_looked_at)
{
	static struct fixture t; /* its threads end with this process */
	const char *companion;
	uint64_t ticket;

	fixture_new(&t, "[device card]\nId=8086:10d3\nDriver=vfio-pci\nGroup=none\n"
			"[device other]\nModalias=pci:v00001234*\nDriver=none\n");
	companion = device_add(&t, "0000:00:04.0", 0x10d4, 0x020000);
	mock_group(t.m, 1, t.device, companion, NULL);
	mock_attr_hangs(t.m, companion, "modalias");
	ticket = fake_hold_issue(t.g.hold, "pci", NAME);
	ck_assert_int_eq(workers_start(&t.g), 0);
	kernel_adds(&t, t.device, card, 7);
	while (fake_hold_mark(t.g.hold, ticket) != HOLD_DECIDED)
		(void)usleep(10000);
	ck_assert_str_eq(mock_override(t.m, t.device), "vfio-pci");
}
END_TEST

START_TEST(a_standby_thread_leaves_companions_that_are_not_held_alone)
{
	const char *companion;
	struct fixture t;

	fixture_new(&t, "[device card]\nId=8086:10d3\nDriver=vfio-pci\nGroup=none\n");
	companion = device_add(&t, "0000:00:04.0", 0x10d4, 0x020000);
	mock_group(t.m, 1, t.device, companion, NULL);
	t.w->is_standby = true;
	ck_assert_str_eq(worker_hears_of(&t, t.device, card, 7), "vfio-pci");
	ck_assert_str_eq(mock_override(t.m, companion), "");
	fixture_done(&t);
}
END_TEST

START_TEST(companion_with_a_driver_is_left_to_the_enforcer)
{
	const char *companion;
	struct fixture t;

	fixture_new(&t, "[device card]\nId=8086:10d3\nDriver=vfio-pci\nGroup=none\n");
	companion = device_add(&t, "0000:00:04.0", 0x10d4, 0x020000);
	mock_group(t.m, 1, t.device, companion, NULL);
	mock_driver_add(t.m, "pci", "e1000e");
	mock_bind(t.m, companion, "e1000e");
	(void)worker_hears_of(&t, t.device, card, 7);
	ck_assert_str_eq(mock_override(t.m, companion), "");
	fixture_done(&t);
}
END_TEST

/* Of a bus that the policy cannot match nothing is looked at. */
START_TEST(device_of_another_bus_is_released_at_once)
{
	uint64_t ticket;
	struct fixture t;

	fixture_new(&t, "[device other]\nBus=platform\nDriver=none\n");
	ticket = fake_hold_issue(t.g.hold, "pci", NAME);
	ck_assert_str_eq(worker_hears_of(&t, t.device, card, 7), "");
	ck_assert_int_eq(fake_hold_mark(t.g.hold, ticket), HOLD_DECIDED);
	ck_assert_uint_eq(atomic_load(&t.g.n_added), 0);
	fixture_done(&t);
}
END_TEST

#define SYNTHETIC "SYNTH_UUID=0"

/* udev handles it, no probe waits for it, and nothing can be told about a first probe. */
START_TEST(synthetic_add_is_counted_and_left_to_udev)
{
	struct record record;
	struct fixture t;

	fixture_new(&t, KEY_ID);
	kernel_sends(&t, "add", t.device, card, 7, SYNTHETIC, sizeof(SYNTHETIC));
	ck_assert_int_eq(worker_process_event(t.w), 0);
	ck_assert_str_eq(mock_override(t.m, t.device), "");
	ck_assert(!mock_record(t.m, t.device, &record));
	ck_assert_uint_eq(atomic_load(&t.g.n_synthetic), 1);
	ck_assert_uint_eq(atomic_load(&t.g.n_added), 0);
	fixture_done(&t);
}
END_TEST

#define DRIVER_E1000E "DRIVER=e1000e"

static void check_first_probe(struct fixture *t, const char *expected)
{
	struct record record;
	uint64_t wait;

	while ((wait = first_probe_watches_settle(t->g.first_probe_watches)) > 0)
		(void)usleep((useconds_t)wait);
	ck_assert(mock_record(t->m, t->device, &record));
	ck_assert_str_eq(record.first_probe, expected);
}

START_TEST(synthetic_bind_says_nothing_about_the_first_probe)
{
	static const char synthetic[] = DRIVER_E1000E "\0" SYNTHETIC;

	for (size_t i = 0; i < 2; i++) {
		struct fixture t;

		fixture_new(&t, KEY_ID);
		(void)worker_hears_of(&t, t.device, card, 7);
		if (i == 0)
			kernel_sends(&t, "bind", t.device, card, 8, synthetic, sizeof(synthetic));
		else
			kernel_sends(&t, "bind", t.device, card, 8, DRIVER_E1000E, sizeof(DRIVER_E1000E));
		ck_assert_int_eq(worker_process_event(t.w), 0);
		check_first_probe(&t, i == 0 ? "won" : "lost");
		fixture_done(&t);
	}
}
END_TEST

/* Another thread has marked the ticket, and the hold has ended by that before this one has written. */
static void hold_ends_early(struct fixture *t)
{
	ck_assert(hold_release(t->g.hold, 1));
	fake_hold_end(t->g.hold, 1);
}

START_TEST(an_override_that_is_written_after_the_hold_is_not_claimed_as_guaranteed)
{
	for (size_t i = 0; i < 2; i++) {
		struct fixture t;

		fixture_new(&t, KEY_ID);
		ck_assert_uint_eq(fake_hold_issue(t.g.hold, "pci", NAME), 1);
		on_write = i == 0 ? hold_ends_early : NULL;
		(void)worker_hears_of(&t, t.device, card, 7);
		fake_hold_end(t.g.hold, 1);
		check_first_probe(&t, i == 0 ? "won" : "guaranteed");
		fixture_done(&t);
	}
}
END_TEST

static void another_driver_binds(struct fixture *t)
{
	mock_driver_add(t->m, "pci", "e1000e");
	mock_bind(t->m, t->device, "e1000e");
}

/* It has gone again when the watch ends, and its `bind` was not received. */
START_TEST(another_driver_that_was_bound_when_the_device_was_released_came_first)
{
	struct fixture t;

	fixture_new(&t, KEY_ID);
	on_write = another_driver_binds;
	(void)worker_hears_of(&t, t.device, card, 7);
	mock_unbind(t.m, t.device);
	check_first_probe(&t, "lost");
	fixture_done(&t);
}
END_TEST

/* One that is not held may have been probed long ago. */
START_TEST(first_probe_of_a_companion_is_told_when_it_was_held)
{
	for (size_t held = 0; held < 2; held++) {
		const char *member;
		struct fixture t;

		fixture_new(&t, "[device card]\nName=0000:00:03.1\nDriver=vfio-pci\nGroup=none\n");
		member = device_add(&t, "0000:00:03.1", 0x10d3, 0x020000);
		mock_group(t.m, 1, t.device, member, NULL);
		if (held)
			ck_assert_uint_eq(fake_hold_issue(t.g.hold, "pci", NAME), 1);
		ck_assert_str_eq(worker_hears_of(&t, member, card, 7), "vfio-pci");
		if (held)
			fake_hold_end(t.g.hold, 1);
		check_first_probe(&t, held ? "guaranteed" : "");
		fixture_done(&t);
	}
}
END_TEST

/* An intent that was kept, because its record could not be written, ends with the device. */
START_TEST(only_a_real_remove_ends_an_intent)
{
	struct fixture t;

	fixture_new(&t, KEY_ID);
	intent_keep(intent_begin(t.g.intents, "pci", NAME, "pci-stub"));
	kernel_sends(&t, "remove", t.device, card, 8, SYNTHETIC, sizeof(SYNTHETIC));
	ck_assert_int_eq(worker_process_event(t.w), 0);
	ck_assert(intent_is_pending(t.m->settings.state_dir, "pci", NAME, "pci-stub"));
	kernel_sends(&t, "remove", t.device, card, 9, "", 0);
	ck_assert_int_eq(worker_process_event(t.w), 0);
	ck_assert(!intent_is_pending(t.m->settings.state_dir, "pci", NAME, "pci-stub"));
	fixture_done(&t);
}
END_TEST

START_TEST(bus_that_is_registered_has_the_policy_read_again)
{
	static const char message[] = "add@/bus/vdpa\0ACTION=add\0SUBSYSTEM=bus";
	struct fixture t;
	eventfd_t n;

	fixture_new(&t, KEY_ID);
	ck_assert_int_eq(send(t.kernel, message, sizeof(message), 0), sizeof(message));
	ck_assert_int_eq(worker_process_event(t.w), 0);
	ck_assert(atomic_load(&t.g.buses_changed));
	ck_assert_int_eq(eventfd_read(t.g.main_wakeup, &n), 0);
	fixture_done(&t);
}
END_TEST

static uint64_t lost[2];

/* A device is added after the first release, and its message is lost, too. */
static void another_message_is_lost(struct fixture *t)
{
	ck_assert_int_eq(fake_hold_mark(t->g.hold, lost[0]), HOLD_EXPIRED);
	lost[1] = fake_hold_issue(t->g.hold, "pci", "0000:00:05.0");
}

START_TEST(no_device_waits_for_a_message_that_was_lost)
{
	struct fixture t;

	fixture_new(&t, KEY_ID);
	receive_error = ENOBUFS;
	ck_assert_int_eq(worker_process_event(t.w), 0);
	ck_assert(atomic_load(&t.g.draining));
	ck_assert(!atomic_load(&t.g.messages_lost));
	lost[0] = fake_hold_issue(t.g.hold, "pci", "0000:00:04.0");
	on_receive = another_message_is_lost;
	receive_error = EAGAIN;
	ck_assert_int_eq(worker_process_event(t.w), 0);
	ck_assert_int_eq(fake_hold_mark(t.g.hold, lost[1]), HOLD_EXPIRED);
	/* The queue is empty: the kernel sends again, and the sweep sees to what was lost. */
	ck_assert(!atomic_load(&t.g.draining));
	ck_assert(atomic_load(&t.g.messages_lost));
	fixture_done(&t);
}
END_TEST

START_TEST(a_worker_ends_when_the_socket_fails_and_not_before)
{
	static const int harmless[] = { EINTR, EAGAIN };
	struct fixture t;

	fixture_new(&t, KEY_ID);
	for (size_t i = 0; i < ELEMENTSOF(harmless); i++) {
		receive_error = harmless[i];
		ck_assert_int_eq(worker_process_event(t.w), 0);
	}
	receive_error = ENOTCONN;
	ck_assert_int_eq(worker_process_event(t.w), -ENOTCONN);
	fixture_done(&t);
}
END_TEST

/* It shows that the guard is awake. */
START_TEST(an_event_resumes_a_hold_that_was_given_up)
{
	struct fixture t;

	fixture_new(&t, KEY_ID);
	fake_hold_give_up(t.g.hold);
	(void)worker_hears_of(&t, t.device, card, 7);
	ck_assert(!hold_has_given_up(t.g.hold));
	fixture_done(&t);
}
END_TEST

/* A record that cannot be written: the folder for records is a file. */
START_TEST(an_override_without_a_record_is_claimed_by_its_intent)
{
	const char *devices;
	struct fixture t;

	fixture_new(&t, KEY_ID);
	devices = mock_printf(t.m, "%s/devices", t.m->state);
	make_file(devices, "", 0);
	ck_assert_str_eq(worker_hears_of(&t, t.device, card, 7), "pci-stub");
	ck_assert(intent_is_pending(t.m->settings.state_dir, "pci", NAME, "pci-stub"));
	fixture_done(&t);
}
END_TEST

SUITE_MAIN("worker", 30, override_is_written_and_recorded, device_without_a_rule_is_not_touched,
	   override_of_the_kernel_stays, old_event_is_not_believed, latest_event_is_believed,
	   one_worker_decides_about_many_devices_in_turn, companion_is_given_what_its_group_says,
	   companion_that_is_here_is_decided_with_the_member, companion_that_cannot_be_read_is_not_claimed,
	   device_without_an_override_file_is_released, device_that_is_incomplete_waits_for_its_own_message,
	   companion_that_hangs_does_not_delay_the_device,
	   companion_that_is_held_is_released_once_its_override_stands,
	   a_worker_waits_for_another_thread_that_handles_the_same_device, devices_that_hang_delay_no_other,
	   a_successor_of_the_device_is_not_released_by_the_decision_about_it,
	   a_successor_of_a_companion_is_not_released_by_the_decision_about_it,
	   companion_whose_override_does_not_stand_is_not_released,
	   device_is_released_before_its_group_is_looked_at,
	   a_standby_thread_leaves_companions_that_are_not_held_alone,
	   companion_with_a_driver_is_left_to_the_enforcer, device_of_another_bus_is_released_at_once,
	   synthetic_add_is_counted_and_left_to_udev, synthetic_bind_says_nothing_about_the_first_probe,
	   an_override_that_is_written_after_the_hold_is_not_claimed_as_guaranteed,
	   another_driver_that_was_bound_when_the_device_was_released_came_first,
	   first_probe_of_a_companion_is_told_when_it_was_held, only_a_real_remove_ends_an_intent,
	   bus_that_is_registered_has_the_policy_read_again, no_device_waits_for_a_message_that_was_lost,
	   a_worker_ends_when_the_socket_fails_and_not_before, an_event_resumes_a_hold_that_was_given_up,
	   an_override_without_a_record_is_claimed_by_its_intent)
