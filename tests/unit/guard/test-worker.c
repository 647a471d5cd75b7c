/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One turn of a guard's thread, from a message of the kernel to the override in a mock tree. Without BPF,
 * which would be attached to the machine that we are on.
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

struct turn {
	struct mock *m;
	struct guard g;
	struct sysfs sysfs;
	struct worker *w;
	const char *device;
	int kernel; /* where messages go in */
};

/* In place of the C library's: what comes through a socket pair is the kernel's. */
ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
	ssize_t n = syscall(SYS_recvmsg, fd, m, flags);

	if (n >= 0) {
		memset(m->msg_name, 0, sizeof(struct sockaddr_nl));
		m->msg_namelen = sizeof(struct sockaddr_nl);
	}
	return n;
}

/* Without an override, as some kernels show it: a file that is written to keeps what stands behind. */
static const char *add(struct turn *t, const char *name, unsigned device, unsigned class)
{
	const char *devpath = mock_pci_add(t->m, name, NULL, 0x8086, device, class);

	mock_attr(t->m, devpath, "driver_override", "");
	return devpath;
}

/* The kernel's latest event has number 7. */
static void turn_new(struct turn *t, const char *policy)
{
	const char *number;
	int pair[2];

	*t = (struct turn){ .m = mock_new() };
	t->device = add(t, NAME, 0x10d3, 0x020000);
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
	/* As if another one waited, so that none is started. */
	atomic_store(&t->g.n_idle, 1);
	t->w = worker_new(&t->g);
	ck_assert(t->w && t->g.policy_snapshot && t->g.first_probe_watches);
}

static void turn_done(struct turn *t)
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

/* The kernel announces a device. */
static void tell(struct turn *t, const char *devpath, const char *modalias, unsigned seqnum)
{
	char text[1024];
	int n = snprintf(text, sizeof(text), "add@%s%cACTION=add%cSUBSYSTEM=pci%cMODALIAS=%s%cSEQNUM=%u",
			 devpath, 0, 0, 0, modalias, 0, seqnum);

	ck_assert_int_eq(send(t->kernel, text, (size_t)n + 1, 0), n + 1);
}

/* And the thread deals with it. Returns the override. */
static const char *announce(struct turn *t, const char *devpath, const char *modalias, unsigned seqnum)
{
	tell(t, devpath, modalias, seqnum);
	ck_assert_int_eq(worker_process_event(t->w), 0);
	return mock_override(t->m, devpath);
}

static const char card[] = "pci:v00008086d000010D3sv00001AF4sd00001100bc02sc00i00";
static const char another[] = "pci:v00001234d00005678sv00001AF4sd00001100bc02sc00i00";

START_TEST(override_is_written_and_recorded)
{
	struct record record;
	struct turn t;

	turn_new(&t, KEY_ID);
	ck_assert_str_eq(announce(&t, t.device, card, 7), "pci-stub");
	ck_assert(mock_record(t.m, t.device, &record));
	ck_assert_str_eq(record.owned_override, "pci-stub");
	ck_assert_str_eq(record.rule, "card");
	ck_assert(!intent_is_pending(t.m->settings.state_dir, "pci", NAME, "pci-stub"));
	turn_done(&t);
}
END_TEST

START_TEST(device_without_a_rule_is_not_touched)
{
	struct turn t;

	turn_new(&t, "[device other]\nName=0000:00:04.0\nDriver=vfio-pci\n");
	ck_assert_str_eq(announce(&t, t.device, card, 7), "");
	turn_done(&t);
}
END_TEST

START_TEST(override_of_the_kernel_stays)
{
	struct turn t;

	turn_new(&t, KEY_ID);
	mock_attr(t.m, t.device, "driver_override", "vfio-pci\n");
	ck_assert_str_eq(announce(&t, t.device, card, 7), "vfio-pci\n");
	turn_done(&t);
}
END_TEST

/* What is at that place by now may be something else than what was announced. */
START_TEST(old_event_is_not_believed)
{
	struct turn t;

	turn_new(&t, KEY_ID);
	ck_assert_str_eq(announce(&t, t.device, another, 6), "pci-stub");
	turn_done(&t);
	turn_new(&t, "[device gone]\nId=1234:5678\nDriver=pci-stub\n");
	ck_assert_str_eq(announce(&t, t.device, another, 6), "");
	turn_done(&t);
}
END_TEST

START_TEST(latest_event_is_believed)
{
	struct turn t;

	turn_new(&t, "[device announced]\nId=1234:5678\nDriver=pci-stub\n");
	ck_assert_str_eq(announce(&t, t.device, another, 7), "pci-stub");
	turn_done(&t);
}
END_TEST

/* A thread keeps its memory from device to device; nothing of one is left for the next. */
START_TEST(one_device_after_the_other)
{
	const char *v[20];
	struct turn t;

	turn_new(&t, "[device even]\nName=*0 *2 *4 *6\nDriver=pci-stub\n"
		     "[device odd]\nId=8086:10d5\nDriver=none\n");
	for (unsigned i = 0; i < ELEMENTSOF(v); i++)
		v[i] = add(&t, mock_printf(t.m, "0000:0%x:00.%u", 1 + i / 8, i % 8), 0x10d4 + i % 2,
			   0x020000);
	for (unsigned i = 0; i < ELEMENTSOF(v); i++)
		ck_assert_str_eq(announce(&t, v[i], another, 6), i % 2 ? "none" : "pci-stub");
	ck_assert_uint_eq(atomic_load(&t.g.n_added), ELEMENTSOF(v));
	turn_done(&t);
}
END_TEST

START_TEST(companion_is_given_what_its_group_says)
{
	const char *member, *bridge;
	struct turn t;

	turn_new(&t, "[device card]\nName=0000:00:03.1\nDriver=vfio-pci\nGroup=none\n");
	member = add(&t, "0000:00:03.1", 0x10d3, 0x020000);
	bridge = add(&t, "0000:00:02.0", 0x1901, 0x060400);
	mock_group(t.m, 1, t.device, member, bridge, NULL);
	ck_assert_str_eq(announce(&t, t.device, card, 7), "none");
	ck_assert_str_eq(announce(&t, bridge, "pci:v00008086d00001901sv00001AF4sd00001100bc06sc04i00", 7),
			 "");
	turn_done(&t);
}
END_TEST

/* It came first, and waits for the one whose rule decides about it. */
START_TEST(companion_that_is_here_is_decided_with_the_member)
{
	static const char *const groups[] = { "none", "leave" };

	for (size_t i = 0; i < ELEMENTSOF(groups); i++) {
		const char *member;
		struct turn t;

		turn_new(&t, i == 0 ? "[device card]\nName=0000:00:03.1\nDriver=vfio-pci\nGroup=none\n"
				    : "[device card]\nName=0000:00:03.1\nDriver=vfio-pci\nGroup=leave\n"
				      "[device other]\nName=0000:00:04.0\nDriver=vfio-pci\nGroup=none\n");
		member = add(&t, "0000:00:03.1", 0x10d3, 0x020000);
		mock_group(t.m, 1, t.device, member, NULL);
		ck_assert_str_eq(announce(&t, member, card, 7), "vfio-pci");
		ck_assert_str_eq(mock_override(t.m, t.device), streq(groups[i], "none") ? "none" : "");
		turn_done(&t);
	}
}
END_TEST

/* Nothing was written, and nothing is on its way. */
START_TEST(companion_that_cannot_be_read_is_not_claimed)
{
	struct record record;
	const char *member;
	struct turn t;

	turn_new(&t, "[device card]\nName=0000:00:03.1\nDriver=vfio-pci\nGroup=none\n");
	member = add(&t, "0000:00:03.1", 0x10d3, 0x020000);
	mock_group(t.m, 1, t.device, member, NULL);
	mock_attr_link(t.m, t.device, "driver_override", "/proc/self/mem"); /* EIO at its beginning */
	ck_assert_str_eq(announce(&t, member, card, 7), "vfio-pci");
	ck_assert(!mock_record(t.m, t.device, &record));
	ck_assert(!intent_is_pending(t.m->settings.state_dir, "pci", NAME, "none"));
	turn_done(&t);
}
END_TEST

/* It is held like any other until its bus is known to be none of ours, but not to the limit. */
START_TEST(device_without_the_file_is_let_go)
{
	const char *devpath;
	uint64_t ticket;
	struct turn t;

	turn_new(&t, "[device all]\nName=*\nDriver=none\n");
	devpath = mock_pci_add(t.m, "0000:00:04.0", NULL, 0x8086, 0x10d3, 0x020000);
	ck_assert_int_eq(unlink(mock_path(t.m, devpath, "driver_override")), 0);
	ticket = fake_hold_issue(t.g.hold, "pci", "0000:00:04.0");
	tell(&t, devpath, card, 6);
	ck_assert_int_eq(worker_process_event(t.w), 0);
	ck_assert_int_eq(fake_hold_mark(t.g.hold, ticket), HOLD_DECIDED);
	/* Others of this bus have the file. */
	ck_assert(!atomic_load(&t.g.buses_changed));
	ck_assert_int_eq(unlink(mock_path(t.m, t.device, "driver_override")), 0);
	tell(&t, devpath, card, 6);
	ck_assert_int_eq(worker_process_event(t.w), 0);
	ck_assert(atomic_load(&t.g.buses_changed));
	turn_done(&t);
}
END_TEST

/* The message is of a device that has gone; the next of its name has a ticket, but not all its files. */
START_TEST(device_that_is_not_whole_yet_waits_for_its_own_message)
{
	uint64_t ticket;
	struct turn t;

	turn_new(&t, "[device other]\nName=0000:00:04.0\nDriver=vfio-pci\n");
	ticket = fake_hold_issue(t.g.hold, "pci", NAME);
	ck_assert_int_eq(unlink(mock_path(t.m, t.device, "subsystem")), 0);
	(void)announce(&t, t.device, card, 6);
	ck_assert_int_eq(fake_hold_mark(t.g.hold, ticket), HOLD_WAITS);
	(void)announce(&t, t.device, card, 7);
	ck_assert_int_eq(fake_hold_mark(t.g.hold, ticket), HOLD_DECIDED);
	turn_done(&t);
}
END_TEST

/* A driver is just leaving the companion, so that it looks as if it had none, and does not come back from
 * that. */
START_TEST(companion_that_hangs_does_not_keep_the_device)
{
	static struct turn t; /* its threads end with this process */
	const char *member;
	uint64_t ticket;

	turn_new(&t, "[device card]\nName=0000:00:03.1\nDriver=vfio-pci\nGroup=none\n");
	member = add(&t, "0000:00:03.1", 0x10d3, 0x020000);
	mock_group(t.m, 1, t.device, member, NULL);
	mock_attr_hangs(t.m, member, "driver_override");
	ticket = fake_hold_issue(t.g.hold, "pci", NAME);
	ck_assert_int_eq(workers_start(&t.g), 0);
	tell(&t, t.device, card, 7);
	while (fake_hold_mark(t.g.hold, ticket) != HOLD_DECIDED)
		(void)usleep(10000);
	ck_assert_str_eq(mock_override(t.m, t.device), "none");
}
END_TEST

/* Its first probe is to come, and what has been written stands before it. */
START_TEST(companion_that_waits_is_let_go_with_its_override)
{
	const char *member;
	uint64_t tickets[2];
	struct turn t;

	turn_new(&t, "[device card]\nName=0000:00:03.1\nDriver=vfio-pci\nGroup=none\n");
	member = add(&t, "0000:00:03.1", 0x10d3, 0x020000);
	mock_group(t.m, 1, t.device, member, NULL);
	tickets[0] = fake_hold_issue(t.g.hold, "pci", NAME);
	tickets[1] = fake_hold_issue(t.g.hold, "pci", "0000:00:03.1");
	ck_assert_str_eq(announce(&t, member, card, 7), "vfio-pci");
	ck_assert_str_eq(mock_override(t.m, t.device), "none");
	for (size_t i = 0; i < ELEMENTSOF(tickets); i++)
		ck_assert_int_eq(fake_hold_mark(t.g.hold, tickets[i]), HOLD_DECIDED);
	turn_done(&t);
}
END_TEST

static void *write_a_little_later(void *userdata)
{
	struct turn *t = userdata;

	(void)usleep(20000);
	mock_attr(t->m, t->device, "driver_override", "pci-stub");
	return NULL;
}

/* A thread that stands by has the same device in hand. */
START_TEST(who_finds_another_at_the_device_lets_him)
{
	struct turn t;
	struct intent *other;
	struct record record;
	pthread_t thread;

	turn_new(&t, KEY_ID);
	t.w->recheck_delay_usec = 500000;
	other = intent_begin(t.g.intents, "pci", NAME, "pci-stub");
	ck_assert_int_eq(pthread_create(&thread, NULL, write_a_little_later, &t), 0);
	ck_assert_str_eq(announce(&t, t.device, card, 7), "pci-stub");
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert(mock_record(t.m, t.device, &record));
	ck_assert_str_eq(record.owned_override, ""); /* that is for the other to say */
	mock_attr(t.m, t.device, "driver_override", "");
	/* One who is stuck is not waited for. */
	t.w->recheck_delay_usec = 1000;
	ck_assert_str_eq(announce(&t, t.device, card, 7), "pci-stub");
	ck_assert(mock_record(t.m, t.device, &record));
	ck_assert_str_eq(record.owned_override, "pci-stub");
	intent_end(other);
	turn_done(&t);
}
END_TEST

/* More of them than there are threads at first. */
START_TEST(devices_that_hang_delay_no_other)
{
	static struct turn t; /* the threads cannot be stopped, and end with this process */
	const char *last;

	turn_new(&t, "[device all]\nBus=pci\nDriver=none\n");
	atomic_store(&t.g.n_idle, 0);
	ck_assert_int_eq(workers_start(&t.g), 0);
	for (unsigned i = 0; i < 16; i++) {
		const char *name = mock_printf(t.m, "0000:0%u:00.%u", 1 + i / 8, i % 8);
		const char *devpath = add(&t, name, 0x10d3, 0x020000);

		mock_attr_hangs(t.m, devpath, "driver_override");
		tell(&t, devpath, card, 7);
	}
	last = add(&t, "0000:03:00.0", 0x10d3, 0x020000);
	tell(&t, last, card, 7);
	while (!streq(mock_override(t.m, last), "none"))
		(void)usleep(10000);
	ck_assert_int_gt(atomic_load(&t.g.n_workers), 16);
}
END_TEST

SUITE_MAIN("turn", 30, override_is_written_and_recorded, device_without_a_rule_is_not_touched,
	   override_of_the_kernel_stays, old_event_is_not_believed, latest_event_is_believed,
	   one_device_after_the_other, companion_is_given_what_its_group_says,
	   companion_that_is_here_is_decided_with_the_member, companion_that_cannot_be_read_is_not_claimed,
	   device_without_the_file_is_let_go, device_that_is_not_whole_yet_waits_for_its_own_message,
	   companion_that_hangs_does_not_keep_the_device, companion_that_waits_is_let_go_with_its_override,
	   who_finds_another_at_the_device_lets_him, devices_that_hang_delay_no_other)
