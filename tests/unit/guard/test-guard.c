/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The main thread: what it does when other threads ask for it, and when a hold that was given up is resumed.
 */
#include "guard/guard.h"
#include "base/macro.h"
#include "base/time.h"
#include "policy/policy-watch.h"
#include "state/boot-devices.h"
#include "state/intent.h"
#include "tests/unit/fixtures/fake-hold.h"
#include "tests/unit/fixtures/mock-sysfs.h"
#include "tests/unit/fixtures/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct fixture {
	struct mock *m;
	struct guard g;
	struct sysfs sysfs;
	int signals; /* where the kernel's signals go in */
	pthread_t thread;
};

/* The sweep notes that it has run and how it was called, and ends when the test has made a file. */
static void make_enforcer(struct fixture *f)
{
	const char *path = mock_printf(f->m, "%s/enforcer", f->m->root);
	const char *script = mock_printf(
		f->m, "#!/bin/sh\necho \"$*\" >>%s/swept\nwhile ! [ -e %s/go-on ]; do sleep 0.01; done\n",
		f->m->root, f->m->root);

	make_file(path, script, strlen(script));
	ck_assert_int_eq(chmod(path, 0755), 0);
	f->g.loop.enforcer = path;
}

static void fixture_new(struct fixture *f)
{
	int fds[2];

	*f = (struct fixture){ .m = mock_new() };
	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	f->signals = fds[1];
	f->g.settings = &f->m->settings;
	f->g.loop.signals = fds[0];
	f->g.main_wakeup = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	f->g.hold = hold_new(1000);
	f->g.policy_snapshot = policy_snapshot_load(&f->m->settings);
	ck_assert_int_eq(priority_lock_init(&f->g.policy_lock), 0);
	sysfs_init(&f->sysfs, &f->m->settings);
	f->g.first_probe_watches = first_probe_watches_new(&f->sysfs, f->g.hold);
	ck_assert_int_eq(intents_open(f->m->settings.state_dir, &f->g.intents), 0);
	make_enforcer(f);
	ck_assert(f->g.policy_snapshot && f->g.first_probe_watches);
}

static void kernel_signals(struct fixture *f, int number)
{
	const struct signalfd_siginfo info = { .ssi_signo = (uint32_t)number };

	ck_assert_int_eq(write(f->signals, &info, sizeof(info)), sizeof(info));
}

static void *run_guard(void *userdata)
{
	struct fixture *f = userdata;

	ck_assert_int_eq(guard_run(&f->g), 0);
	return NULL;
}

static void fixture_start(struct fixture *f)
{
	fixture_new(f);
	ck_assert_int_eq(pthread_create(&f->thread, NULL, run_guard, f), 0);
}

static void fixture_stop(struct fixture *f)
{
	if (!f->thread)
		return;
	kernel_signals(f, SIGTERM);
	ck_assert_int_eq(pthread_join(f->thread, NULL), 0);
	f->thread = 0;
}

static void fixture_done(struct fixture *f)
{
	fixture_stop(f);
	policy_watch_free(f->g.loop.watch);
	first_probe_watches_free(f->g.first_probe_watches);
	policy_snapshot_unref(f->g.policy_snapshot);
	hold_free(f->g.hold);
	mock_free(f->m);
}

/* Waits until a file below the fixture's folder is there and has this text in it. */
static void wait_for_text(struct fixture *f, const char *name, const char *text)
{
	const char *path = mock_printf(f->m, "%s/%s", f->m->root, name);

	while (access(path, F_OK) < 0 || !strstr(mock_read(f->m, path), text))
		(void)usleep(10000);
}

static void wait_for_status(struct fixture *f, const char *line)
{
	const char *path = mock_printf(f->m, "%s/guard", f->m->state);

	while (access(path, F_OK) < 0 || !strstr(mock_read(f->m, path), line))
		(void)usleep(10000);
}

static unsigned n_sweeps(struct fixture *f)
{
	const char *text = mock_read(f->m, mock_printf(f->m, "%s/swept", f->m->root));
	unsigned n = 0;

	while ((text = strchr(text, '\n'))) {
		text++;
		n++;
	}
	return n;
}

START_TEST(status_is_written_when_the_main_thread_is_woken)
{
	struct fixture f;

	fixture_start(&f);
	atomic_store(&f.g.n_synthetic, 3);
	guard_wake_main(&f.g);
	wait_for_status(&f, "\nSYNTHETIC=3\n");
	wait_for_status(&f, "\nHOLD=active, not yet seen to hold\n");
	wait_for_status(&f, "\nPOLICY_LOADED=0\n");
	fixture_done(&f);
}
END_TEST

START_TEST(policy_is_read_again_when_the_buses_have_changed)
{
	struct fixture f;

	fixture_start(&f);
	mock_policy(f.m, MOCK_ETC, "50.conf", "[device d]\nName=x\nDriver=none\n");
	atomic_store(&f.g.buses_changed, true);
	guard_wake_main(&f.g);
	wait_for_status(&f, "\nPOLICY_LOADED=1\n");
	fixture_done(&f);
}
END_TEST

START_TEST(policy_is_read_again_when_a_file_has_changed)
{
	struct policy_snapshot *p;
	struct fixture f;
	size_t n_rules;

	fixture_new(&f);
	ck_assert_int_eq(policy_watch_new(f.g.settings, &f.g.loop.watch), 0);
	ck_assert_int_eq(pthread_create(&f.thread, NULL, run_guard, &f), 0);
	mock_policy(f.m, MOCK_ETC, "50.conf", "[device d]\nName=x\nDriver=none\n");
	do {
		(void)usleep(10000);
		p = guard_get_policy(&f.g);
		n_rules = p->policy->n_rules;
		policy_snapshot_unref(p);
	} while (n_rules != 1);
	fixture_done(&f);
}
END_TEST

static bool guard_says_present(struct fixture *f, uint64_t inode)
{
	struct policy_snapshot *p = guard_get_policy(&f->g);
	int r = boot_devices_find(&p->present, inode);

	policy_snapshot_unref(p);
	return r == 1;
}

/* Threads that wait for the kernel's next event know of it then. */
START_TEST(the_end_of_the_boot_is_heard_of)
{
	static const uint64_t inodes[] = { 7 };
	struct fixture f;

	fixture_new(&f);
	f.g.loop.boot_watch = boot_devices_watch(f.m->state);
	ck_assert_int_gt(f.g.loop.boot_watch, 0);
	ck_assert_int_eq(pthread_create(&f.thread, NULL, run_guard, &f), 0);
	ck_assert_int_eq(boot_devices_write(f.m->state, inodes, 1, false), 1);
	while (!guard_says_present(&f, 8))
		(void)usleep(10000);
	ck_assert_int_eq(boot_devices_write(f.m->state, inodes, 1, true), 1);
	while (guard_says_present(&f, 8))
		(void)usleep(10000);
	ck_assert(guard_says_present(&f, 7));
	/* That is no other policy. */
	guard_wake_main(&f.g);
	wait_for_status(&f, "\nPOLICY_LOADED=0\n");
	/* The list will never change again. */
	fixture_stop(&f);
	ck_assert_int_eq(f.g.loop.boot_watch, 0);
	fixture_done(&f);
}
END_TEST

/* It hears of what is renamed in that folder, and its own status is. */
START_TEST(the_guard_is_not_woken_up_by_its_own_status)
{
	struct stat before, now;
	struct fixture f;
	const char *path;

	fixture_new(&f);
	f.g.loop.boot_watch = boot_devices_watch(f.m->state);
	ck_assert_int_gt(f.g.loop.boot_watch, 0);
	ck_assert_int_eq(pthread_create(&f.thread, NULL, run_guard, &f), 0);
	guard_wake_main(&f.g);
	wait_for_status(&f, "\nPOLICY_LOADED=0\n");
	path = mock_printf(f.m, "%s/guard", f.m->state);
	do {
		ck_assert_int_eq(stat(path, &before), 0);
		(void)usleep(200000);
		ck_assert_int_eq(stat(path, &now), 0);
	} while (now.st_mtim.tv_sec != before.st_mtim.tv_sec ||
		 now.st_mtim.tv_nsec != before.st_mtim.tv_nsec);
	fixture_done(&f);
}
END_TEST

/* A guard that reads at once would find what is in the file so far. */
START_TEST(file_that_is_being_written_is_read_when_it_has_been_left_alone)
{
	struct policy_snapshot *p;
	struct fixture f;
	size_t n_rules;

	fixture_new(&f);
	ck_assert_int_eq(policy_watch_new(f.g.settings, &f.g.loop.watch), 0);
	ck_assert_int_eq(pthread_create(&f.thread, NULL, run_guard, &f), 0);
	make_file(mock_printf(f.m, "%s/50.conf", f.m->conf[MOCK_ETC]), "[device d]\nName=x\nDriver=none\n",
		  strlen("[device d]\nName=x\nDriver=none\n"));
	do {
		(void)usleep(10000);
		p = guard_get_policy(&f.g);
		n_rules = p->policy->n_rules;
		policy_snapshot_unref(p);
	} while (n_rules != 1);
	ck_assert_uint_eq(policy_settles_in(f.g.settings), 0);
	fixture_done(&f);
}
END_TEST

START_TEST(lost_messages_start_a_sweep_with_the_same_folders)
{
	struct fixture f;

	fixture_start(&f);
	atomic_store(&f.g.messages_lost, true);
	guard_wake_main(&f.g);
	wait_for_text(&f, "swept",
		      mock_printf(f.m, "--sysfs %s --state-dir %s sweep\n", f.m->sysfs, f.m->state));
	ck_assert_uint_eq(n_sweeps(&f), 1);
	make_file(mock_printf(f.m, "%s/go-on", f.m->root), "", 0);
	fixture_done(&f);
}
END_TEST

/* What was lost while a sweep was running, it may have passed already. */
START_TEST(messages_lost_during_a_sweep_start_another_one_after_it)
{
	struct fixture f;

	fixture_start(&f);
	for (int i = 0; i < 2; i++) {
		atomic_store(&f.g.messages_lost, true);
		guard_wake_main(&f.g);
		while (atomic_load(&f.g.messages_lost))
			(void)usleep(10000);
		wait_for_text(&f, "swept", "sweep\n");
	}
	ck_assert_uint_eq(n_sweeps(&f), 1);
	make_file(mock_printf(f.m, "%s/go-on", f.m->root), "", 0);
	do {
		kernel_signals(&f, SIGCHLD);
		(void)usleep(10000);
	} while (n_sweeps(&f) < 2);
	fixture_done(&f);
}
END_TEST

START_TEST(a_guard_that_ends_waits_for_the_devices_that_are_held)
{
	struct fixture f;

	fixture_new(&f);
	fake_hold_set_waits(f.g.hold, 3);
	guard_finish(&f.g);
	ck_assert_uint_eq(fake_hold_waits_left(f.g.hold), 0);
	/* A device that never comes to its first probe does not keep it. */
	fake_hold_set_waits(f.g.hold, UINT_MAX);
	guard_finish(&f.g);
	ck_assert_uint_gt(fake_hold_waits_left(f.g.hold), 0);
	fixture_done(&f);
}
END_TEST

START_TEST(a_guard_that_ends_takes_its_own_status_away_and_no_other_guards)
{
	struct fixture f;
	const char *path;

	fixture_new(&f);
	path = mock_printf(f.m, "%s/guard", f.m->state);
	make_file(path, "VERSION=1\nPID=1\n", strlen("VERSION=1\nPID=1\n"));
	guard_withdraw_status(&f.g);
	ck_assert_int_eq(access(path, F_OK), 0);
	guard_report_status(&f.g);
	guard_withdraw_status(&f.g);
	ck_assert_int_lt(access(path, F_OK), 0);
	fixture_done(&f);
}
END_TEST

/* In a process of its own, which ends over it. */
static void previous_guard_dies(struct fixture *f)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct intents *intents;

		if (intents_open(f->m->settings.state_dir, &intents) < 0 ||
		    !intent_begin(intents, "pci", "0000:00:05.0", "none"))
			_exit(1);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert(intent_is_pending(f->m->settings.state_dir, "pci", "0000:00:05.0", "none"));
}

/* The sweep has decided about all devices by then, so the records say what is ours. */
START_TEST(intents_of_a_previous_guard_end_with_the_sweep)
{
	struct intent *own;
	struct fixture f;

	fixture_new(&f);
	previous_guard_dies(&f);
	own = intent_begin(f.g.intents, "pci", "0000:00:04.0", "none");
	kernel_signals(&f, SIGCHLD);
	kernel_signals(&f, SIGINT);
	ck_assert_int_eq(guard_run(&f.g), 0);
	ck_assert(!intent_is_pending(f.m->settings.state_dir, "pci", "0000:00:05.0", "none"));
	ck_assert(intent_is_pending(f.m->settings.state_dir, "pci", "0000:00:04.0", "none"));
	intent_end(own);
	fixture_done(&f);
}
END_TEST

START_TEST(a_policy_that_is_read_again_leaves_copies_of_its_files)
{
	char copy[PATH_MAX];
	const char *path;
	struct fixture f;

	fixture_start(&f);
	path = mock_policy(f.m, MOCK_ETC, "50.conf", "[device d]\nName=x\nDriver=none\n");
	ck_assert_int_eq(policy_copy_path(f.m->state, path, copy, sizeof(copy)), 0);
	atomic_store(&f.g.buses_changed, true);
	guard_wake_main(&f.g);
	while (access(copy, F_OK) < 0)
		(void)usleep(10000);
	fixture_done(&f);
}
END_TEST

START_TEST(expired_holds_are_logged_once)
{
	struct fixture f;
	const char *log, *first;
	int fd;

	fixture_new(&f);
	log = mock_printf(f.m, "%s/log", f.m->root);
	fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	ck_assert_int_ge(dup2(fd, STDERR_FILENO), 0);
	fake_hold_set_expired(f.g.hold, 3);
	ck_assert_int_eq(pthread_create(&f.thread, NULL, run_guard, &f), 0);
	for (unsigned i = 1; i <= 2; i++) {
		atomic_store(&f.g.n_synthetic, i);
		guard_wake_main(&f.g);
		wait_for_status(&f, mock_printf(f.m, "\nSYNTHETIC=%u\n", i));
	}
	fixture_stop(&f);
	first = strstr(mock_read(f.m, log), "3 holds reached the limit");
	ck_assert_ptr_nonnull(first);
	ck_assert_ptr_null(strstr(strchr(first, '\n'), "holds reached the limit"));
	fixture_done(&f);
}
END_TEST

START_TEST(a_hold_that_was_given_up_is_resumed_five_times)
{
	unsigned long long last;
	struct fixture f;

	fixture_new(&f);
	for (int i = 0; i < 5; i++) {
		fake_hold_give_up(f.g.hold);
		ck_assert_ptr_nonnull(strstr(guard_hold_text(&f.g), "given up until the guard's next event"));
		guard_rearm_hold(&f.g);
		ck_assert_str_eq(guard_hold_text(&f.g), "active, not yet seen to hold");
	}
	last = atomic_load(&f.g.last_rearm_usec);
	(void)usleep(1000);
	fake_hold_give_up(f.g.hold);
	guard_rearm_hold(&f.g);
	ck_assert(hold_has_given_up(f.g.hold));
	/* The quarter of an hour begins with the last time that it was resumed. */
	ck_assert_uint_eq(atomic_load(&f.g.last_rearm_usec), last);
	ck_assert_ptr_nonnull(strstr(guard_hold_text(&f.g), "given up for a quarter of an hour"));
	/* A quarter of an hour later. */
	atomic_store(&f.g.last_rearm_usec, 0);
	if (now_usec() > 15ULL * 60 * 1000000) {
		guard_rearm_hold(&f.g);
		ck_assert(!hold_has_given_up(f.g.hold));
	}
	fixture_done(&f);
}
END_TEST

START_TEST(a_hold_that_is_active_is_not_counted_as_resumed)
{
	struct fixture f;

	fixture_new(&f);
	guard_rearm_hold(&f.g);
	ck_assert_uint_eq(atomic_load(&f.g.n_rearms), 0);
	fixture_done(&f);
}
END_TEST

/* A worker may still use the policy when another one is put in force. */
START_TEST(a_policy_that_is_in_use_outlives_its_successor)
{
	struct policy_snapshot *old;
	struct fixture f;

	fixture_new(&f);
	mock_policy(f.m, MOCK_ETC, "50.conf", "[device d]\nName=x\nDriver=none\n");
	guard_set_policy(&f.g, policy_snapshot_load(&f.m->settings));
	old = guard_get_policy(&f.g);
	ck_assert_int_eq(atomic_load(&old->n_refs), 2);
	guard_set_policy(&f.g, policy_snapshot_load(&f.m->settings));
	ck_assert_ptr_ne(f.g.policy_snapshot, old);
	ck_assert_int_eq(atomic_load(&old->n_refs), 1);
	ck_assert_uint_eq(old->policy->n_rules, 1);
	policy_snapshot_unref(old);
	fixture_done(&f);
}
END_TEST

SUITE_MAIN("guard", 30, status_is_written_when_the_main_thread_is_woken,
	   policy_is_read_again_when_the_buses_have_changed, policy_is_read_again_when_a_file_has_changed,
	   file_that_is_being_written_is_read_when_it_has_been_left_alone, the_end_of_the_boot_is_heard_of,
	   the_guard_is_not_woken_up_by_its_own_status, lost_messages_start_a_sweep_with_the_same_folders,
	   messages_lost_during_a_sweep_start_another_one_after_it,
	   a_guard_that_ends_waits_for_the_devices_that_are_held,
	   a_guard_that_ends_takes_its_own_status_away_and_no_other_guards,
	   intents_of_a_previous_guard_end_with_the_sweep, a_hold_that_was_given_up_is_resumed_five_times,
	   a_policy_that_is_read_again_leaves_copies_of_its_files, expired_holds_are_logged_once,
	   a_hold_that_is_active_is_not_counted_as_resumed, a_policy_that_is_in_use_outlives_its_successor)
