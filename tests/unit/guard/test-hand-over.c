/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One guard takes over from another: the program itself, on a mock tree, without BPF, and with a socket on
 * which the kernel tells nothing.
 */
#include "base/system.h"
#include "guard/boot-wait.h"
#include "guard/guard.h"
#include "guard/hand-over.h"
#include "policy/policy-digest.h"
#include "state/boot-devices.h"
#include "state/boot-over.h"
#include "state/state-file.h"
#include "tests/unit/fixtures/mock-sysfs.h"
#include "tests/unit/fixtures/suite.h"

#include <linux/netlink.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define PASSED_FD 3

struct fixture {
	struct mock *m;
	int notified; /* what systemd is told */
	struct sockaddr_un address;
};

static void fixture_new(struct fixture *f)
{
	*f = (struct fixture){ .m = mock_new(), .address.sun_family = AF_UNIX };
	(void)snprintf(f->address.sun_path, sizeof(f->address.sun_path), "%s/notify", f->m->root);
	f->notified = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(f->notified, (struct sockaddr *)(void *)&f->address, sizeof(f->address)), 0);
}

static void fixture_done(struct fixture *f)
{
	(void)close(f->notified);
	mock_free(f->m);
}

/* In a new process: the guard. */
static void guard_exec(const struct fixture *f, const char *option)
{
	const char *guard = getenv("DRIVER_OVERRIDE_GUARD");
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);
	char pid[16];

	(void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
	(void)setenv("LISTEN_PID", pid, 1);
	(void)setenv("LISTEN_FDS", "1", 1);
	(void)setenv("NOTIFY_SOCKET", f->address.sun_path, 1);
	if (!guard || fd < 0 || (fd == PASSED_FD ? 0 : dup2(fd, PASSED_FD)) < 0)
		_exit(126);
	(void)alarm(50);
	(void)execl(guard, guard, "--no-hold", "--sysfs", f->m->sysfs, "--state-dir", f->m->state,
		    "--conf-dir", f->m->conf[MOCK_ETC], "--enforcer", "/bin/false", option, NULL);
	_exit(127);
}

/* Until a guard has said this. */
static void wait_notified(const struct fixture *f, const char *text)
{
	char said[1024];
	ssize_t n;

	do {
		n = recv(f->notified, said, sizeof(said) - 1, 0);
		ck_assert_int_gt(n, 0);
		said[n] = '\0';
	} while (!strstr(said, text));
}

static pid_t guard_begin(const struct fixture *f, const char *option)
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		guard_exec(f, option);
	return pid;
}

static pid_t guard_begin_ready(const struct fixture *f, const char *option)
{
	pid_t pid = guard_begin(f, option);

	wait_notified(f, "READY=1");
	return pid;
}

static int guard_status(pid_t pid)
{
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

static void guard_end(pid_t pid)
{
	ck_assert_int_eq(kill(pid, SIGTERM), 0);
	ck_assert_int_eq(guard_status(pid), 0);
}

static bool status_file_has(const struct fixture *f, pid_t pid)
{
	const char *path = mock_printf(f->m, "%s/guard", f->m->state);

	return access(path, F_OK) == 0 &&
	       strstr(mock_read(f->m, path), mock_printf(f->m, "\nPID=%d\n", (int)pid));
}

START_TEST(the_old_guard_ends_when_the_new_one_is_ready_and_the_status_is_the_new_ones)
{
	struct fixture f;
	pid_t old, new;

	fixture_new(&f);
	old = guard_begin_ready(&f, NULL);
	ck_assert(status_file_has(&f, old));
	new = guard_begin_ready(&f, NULL);
	ck_assert_int_eq(guard_status(old), 0);
	/* The old one has ended, whether before or after the new one has looked for its own file. */
	while (!status_file_has(&f, new))
		(void)usleep(10000);
	guard_end(new);
	ck_assert(!status_file_has(&f, new));
	fixture_done(&f);
}
END_TEST

START_TEST(a_relief_is_followed_by_a_guard_and_a_guard_by_a_relief)
{
	struct fixture f;
	pid_t image, real, relief;

	fixture_new(&f);
	image = guard_begin_ready(&f, "--relief");
	real = guard_begin_ready(&f, NULL);
	ck_assert_int_eq(guard_status(image), 0);
	relief = guard_begin_ready(&f, "--relief");
	ck_assert_int_eq(guard_status(real), 0);
	guard_end(relief);
	fixture_done(&f);
}
END_TEST

START_TEST(an_old_guard_that_is_stopped_is_killed)
{
	struct fixture f;
	pid_t old, new;
	int status;

	fixture_new(&f);
	old = guard_begin_ready(&f, NULL);
	ck_assert_int_eq(kill(old, SIGSTOP), 0);
	new = guard_begin_ready(&f, NULL);
	status = guard_status(old);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	guard_end(new);
	fixture_done(&f);
}
END_TEST

START_TEST(a_guard_that_was_killed_leaves_nothing_for_which_the_next_one_waits)
{
	struct hand_over h;
	struct fixture f;
	pid_t old;

	fixture_new(&f);
	old = guard_begin_ready(&f, NULL);
	ck_assert_int_eq(kill(old, SIGKILL), 0);
	(void)guard_status(old);
	ck_assert_int_eq(hand_over_join(f.m->state, &h), 0);
	ck_assert_uint_eq(h.n_predecessors, 0);
	(void)close(h.locks);
	fixture_done(&f);
}
END_TEST

/* Of join_as_process(): how long the process lasts when it was told to end, in microseconds. */
static unsigned ending_usec;

/* It is ended by SIGTERM, after ending_usec. */
static _Noreturn void wait_for_end(const sigset_t *sigterm)
{
	int ignored;

	/* The test framework's handler would end the test. */
	(void)signal(SIGTERM, SIG_DFL);
	if (ending_usec > 0) {
		(void)sigwait(sigterm, &ignored);
		(void)usleep(ending_usec);
		(void)raise(SIGTERM);
		(void)sigprocmask(SIG_UNBLOCK, sigterm, NULL);
	}
	for (;;)
		(void)pause();
}

/* Joins as another process, and stays until it is told to end. */
static pid_t join_as_process(const struct fixture *f)
{
	sigset_t set;
	struct hand_over h;
	char byte;
	int ends[2];
	pid_t pid;

	ck_assert_int_eq(pipe(ends), 0);
	pid = fork();
	if (pid == 0) {
		(void)sigemptyset(&set);
		(void)sigaddset(&set, SIGTERM);
		(void)sigprocmask(ending_usec > 0 ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
		byte = hand_over_join(f->m->state, &h) < 0;
		(void)!write(ends[1], &byte, 1);
		wait_for_end(&set);
	}
	ck_assert_int_eq(read(ends[0], &byte, 1), 1);
	ck_assert_int_eq(byte, 0);
	(void)close(ends[0]);
	(void)close(ends[1]);
	return pid;
}

START_TEST(of_many_guards_each_dismisses_all_before_it_and_none_after_it)
{
	struct hand_over h;
	struct fixture f;
	pid_t before[4], after;
	int status;

	fixture_new(&f);
	for (size_t i = 0; i < 4; i++)
		before[i] = join_as_process(&f);
	ck_assert_int_eq(hand_over_join(f.m->state, &h), 0);
	after = join_as_process(&f);
	ck_assert_uint_eq(h.n_predecessors, 4);
	hand_over_dismiss(&h);
	ck_assert_uint_eq(hand_over_wait(&h, 20000000), 0);
	for (size_t i = 0; i < 4; i++) {
		status = guard_status(before[i]);
		ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	}
	ck_assert_int_eq(waitpid(after, &status, WNOHANG), 0);
	ck_assert_int_eq(kill(after, SIGKILL), 0);
	(void)guard_status(after);
	(void)close(h.locks);
	fixture_done(&f);
}
END_TEST

#define WAITS_FOR_BOOT "STATUS=the guard of the boot image holds until the boot is over"

/* A guard that says that it holds, by this policy; NULL: by that of the machine. */
static pid_t stand_in_begin(const struct fixture *f, const char *from_image, const char *digest)
{
	char own[POLICY_DIGEST_SIZE];
	pid_t pid;

	mock_policy(f->m, MOCK_ETC, "50.conf", "[device d]\nName=x\nDriver=none\n");
	ck_assert_int_eq(policy_digest_find(&f->m->settings, POLICY_OF_NOW, own), 0);
	pid = join_as_process(f);
	ck_assert_int_eq(state_write(f->m->state, "guard",
				     mock_printf(f->m,
						 "VERSION=1\nPID=%d\nFROM_IMAGE=%s\nHOLD=active, not yet "
						 "seen to hold\nPOLICY=%s\n",
						 (int)pid, from_image, digest ? digest : own)),
			 0);
	return pid;
}

/* A guard that waits for the end of the boot, beside that of an image. */
static pid_t guard_begin_beside_image(const struct fixture *f, pid_t *ret_image)
{
	pid_t real;

	*ret_image = stand_in_begin(f, "yes", NULL);
	real = guard_begin(f, NULL);
	wait_notified(f, WAITS_FOR_BOOT);
	return real;
}

/* It has taken over; ends it. */
static void guard_end_when_it_tells(const struct fixture *f, pid_t pid)
{
	while (!status_file_has(f, pid))
		(void)usleep(10000);
	guard_end(pid);
}

static void was_told_to_end(pid_t pid)
{
	int status = guard_status(pid);

	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

START_TEST(
	while_another_guard_holds_by_the_same_policy_the_new_one_is_ready_at_once_and_takes_over_after_the_boot)
{
	struct fixture f;
	pid_t image, real;
	int status;

	fixture_new(&f);
	real = guard_begin_beside_image(&f, &image);
	wait_notified(&f, "READY=1");
	ck_assert_int_eq(waitpid(image, &status, WNOHANG), 0);
	ck_assert(status_file_has(&f, image));
	/* What else is written there is not the end of the boot. */
	ck_assert_int_eq(state_write(f.m->state, "other", "text"), 0);
	ck_assert_int_eq(boot_over_note(f.m->state), 0);
	was_told_to_end(image);
	guard_end_when_it_tells(&f, real);
	fixture_done(&f);
}
END_TEST

START_TEST(
	a_guard_takes_over_at_once_where_the_other_is_of_no_image_or_has_another_policy_or_the_boot_is_over)
{
	struct fixture f;
	pid_t other, real;

	fixture_new(&f);
	for (unsigned i = 0; i < 3; i++) {
		other = stand_in_begin(&f, i == 0 ? "no" : "yes", i == 1 ? "0123456789abcdef" : NULL);
		if (i == 2)
			ck_assert_int_eq(boot_over_note(f.m->state), 0);
		real = guard_begin(&f, NULL);
		was_told_to_end(other);
		guard_end(real);
	}
	fixture_done(&f);
}
END_TEST

START_TEST(a_guard_that_waits_takes_over_when_the_other_is_killed)
{
	struct fixture f;
	pid_t image, real;

	fixture_new(&f);
	real = guard_begin_beside_image(&f, &image);
	ck_assert_int_eq(kill(image, SIGKILL), 0);
	guard_end_when_it_tells(&f, real);
	(void)guard_status(image);
	fixture_done(&f);
}
END_TEST

/* The other guard's status, of which only this is looked at while it is waited for. */
static void stand_in_says(const struct fixture *f, pid_t pid, const char *hold)
{
	ck_assert_int_eq(state_write(f->m->state, "guard",
				     mock_printf(f->m, "VERSION=1\nPID=%d\nFROM_IMAGE=yes\nHOLD=%s\n",
						 (int)pid, hold)),
			 0);
}

START_TEST(a_guard_that_waits_takes_over_when_the_other_does_not_hold_any_more_but_not_when_it_pauses)
{
	static const char *const pauses[] = {
		"not while user space is frozen",
		"given up until the guard's next event: holds reached the limit",
		"active",
	};
	struct fixture f;
	pid_t image, real;
	int status;

	fixture_new(&f);
	real = guard_begin_beside_image(&f, &image);
	for (size_t i = 0; i < ELEMENTSOF(pauses); i++) {
		stand_in_says(&f, image, pauses[i]);
		(void)usleep(200000); /* a guard that takes over would have been quicker */
		ck_assert_int_eq(waitpid(image, &status, WNOHANG), 0);
		ck_assert(status_file_has(&f, image));
	}
	stand_in_says(&f, image, "not holding: 2 devices were added");
	was_told_to_end(image);
	guard_end_when_it_tells(&f, real);
	fixture_done(&f);
}
END_TEST

START_TEST(what_was_announced_while_a_guard_waits_is_left_to_the_other)
{
	static struct guard g;
	struct fixture f;
	pid_t image, boot;

	fixture_new(&f);
	image = stand_in_begin(&f, "yes", NULL);
	g.settings = &f.m->settings;
	ck_assert_int_eq(hand_over_join(f.m->state, &g.loop.hand_over), 0);
	g.loop.boot_watch = boot_devices_watch(f.m->state);
	g.loop.signals = eventfd(0, EFD_CLOEXEC);
	make_dirs(mock_printf(f.m, "%s/kernel", f.m->sysfs));
	make_file(mock_printf(f.m, "%s/kernel/uevent_seqnum", f.m->sysfs), "41\n", 3);
	(void)setenv("NOTIFY_SOCKET", f.address.sun_path, 1);
	boot = fork();
	if (boot == 0) {
		wait_notified(&f, "READY=1");
		_exit(boot_over_note(f.m->state) < 0);
	}
	ck_assert_int_eq(guard_wait_for_boot(&g), 1);
	ck_assert_uint_eq(atomic_load(&g.inherited_seqnum), 42);
	ck_assert_int_eq(guard_status(boot), 0);
	(void)unsetenv("NOTIFY_SOCKET");
	ck_assert_int_eq(kill(image, SIGKILL), 0);
	(void)guard_status(image);
	fixture_done(&f);
}
END_TEST

/* `systemctl stop` means that there is to be none. */
START_TEST(a_guard_that_is_stopped_while_it_waits_ends_the_other_as_well)
{
	struct hand_over h;
	struct fixture f;
	pid_t image, real;

	fixture_new(&f);
	ending_usec = 300000;
	real = guard_begin_beside_image(&f, &image);
	guard_end(real);
	/* Nobody who is started next finds it. */
	ck_assert_int_eq(hand_over_join(f.m->state, &h), 0);
	ck_assert_uint_eq(h.n_predecessors, 0);
	(void)close(h.locks);
	was_told_to_end(image);
	fixture_done(&f);
}
END_TEST

START_TEST(the_guard_of_an_image_without_systemd_is_a_process_of_its_own_when_its_start_returns)
{
	struct fixture f;
	const char *cmdline;
	pid_t starter, guard = 0;

	fixture_new(&f);
	(void)unsetenv("NOTIFY_SOCKET");
	starter = fork();
	if (starter == 0) {
		/* Nothing is passed to it: the id of the process that listens is not known here. */
		const char *program = getenv("DRIVER_OVERRIDE_GUARD");

		if (!program)
			_exit(127);
		(void)execl(program, program, "--no-hold", "--sysfs", f.m->sysfs, "--state-dir", f.m->state,
			    "--conf-dir", f.m->conf[MOCK_ETC], "--enforcer", "/bin/false", "--boot-image",
			    NULL);
		_exit(127);
	}
	ck_assert_int_eq(guard_status(starter), 0);
	/* It is ready: it has said who it is. */
	ck_assert_int_eq(sscanf(strstr(mock_read(f.m, mock_printf(f.m, "%s/guard", f.m->state)), "PID="),
				"PID=%d", &guard),
			 1);
	ck_assert_int_ne(guard, starter);
	cmdline = mock_read(f.m, mock_printf(f.m, "/proc/%d/cmdline", (int)guard));
	ck_assert_int_eq(cmdline[0], '@');
	ck_assert_int_eq(getsid(guard), guard);
	ck_assert_int_eq(kill(guard, SIGTERM), 0);
	while (kill(guard, 0) == 0 && status_file_has(&f, guard))
		(void)usleep(10000);
	fixture_done(&f);
}
END_TEST

SUITE_MAIN(
	"hand-over", 60, the_old_guard_ends_when_the_new_one_is_ready_and_the_status_is_the_new_ones,
	a_relief_is_followed_by_a_guard_and_a_guard_by_a_relief, an_old_guard_that_is_stopped_is_killed,
	a_guard_that_was_killed_leaves_nothing_for_which_the_next_one_waits,
	of_many_guards_each_dismisses_all_before_it_and_none_after_it,
	while_another_guard_holds_by_the_same_policy_the_new_one_is_ready_at_once_and_takes_over_after_the_boot,
	a_guard_takes_over_at_once_where_the_other_is_of_no_image_or_has_another_policy_or_the_boot_is_over,
	a_guard_that_waits_takes_over_when_the_other_is_killed,
	a_guard_that_waits_takes_over_when_the_other_does_not_hold_any_more_but_not_when_it_pauses,
	what_was_announced_while_a_guard_waits_is_left_to_the_other,
	a_guard_that_is_stopped_while_it_waits_ends_the_other_as_well,
	the_guard_of_an_image_without_systemd_is_a_process_of_its_own_when_its_start_returns)
