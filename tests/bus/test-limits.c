/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A user, however many calls it makes and however many connections it has, keeps no other from being served.
 */
#include "base/macro.h"
#include "base/text.h"
#include "tests/bus/harness.h"

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

static struct harness *begin(void)
{
	struct harness *h = harness_new();

	ck_assert_msg(geteuid() == 0, "only root can call as another user");
	three_devices(h);
	return h;
}

static int lock_what_can_be_opened(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	(void)st;
	(void)type;
	(void)ftw;
	if (fd >= 0)
		(void)flock(fd, LOCK_EX | LOCK_NB);
	return 0;
}

/* A process of the user nobody that locks whatever it may open below a folder, and keeps it locked. */
static pid_t start_locking_all(const char *dir)
{
	int fds[2];
	pid_t pid;
	char done;

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (setgid(SOMEBODY) < 0 || setuid(SOMEBODY) < 0 ||
		    nftw(dir, lock_what_can_be_opened, 16, FTW_PHYS) < 0 || write(fds[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			(void)pause();
	}
	(void)close(fds[1]);
	ck_assert_int_eq(read(fds[0], &done, 1), 1);
	(void)close(fds[0]);
	return pid;
}

START_TEST(no_user_can_hold_a_lock_that_writers_wait_for)
{
	struct harness *h = begin();
	const char *staging = mock_printf(h->m, "%s/staging", h->m->state);
	struct stat st;
	pid_t pid;

	/* As an older version has left it, whose writers locked it. */
	make_dirs(staging);
	ck_assert_int_eq(chmod(staging, 0755), 0);
	ck_assert_int_eq(chmod(h->m->root, 0755), 0);
	ck_assert_int_eq(chmod(suite_dir, 0755), 0);
	service_start(h);
	ck_assert_int_eq(stat(staging, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0700);
	ck_assert_str_eq(set(h, "pci", DISK, "vfio-pci"), "enforced"); /* every lock has its file now */
	pid = start_locking_all(h->m->state);
	ck_assert_str_eq(set(h, "pci", CARD, "vfio-pci"), "enforced");
	ck_assert_str_eq(clear(h, "pci", CARD), "unmanaged");
	(void)kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	harness_free(h);
}
END_TEST

#define FLOOD_CONNECTIONS 20U

/* Calls of the user nobody from many connections; nobody reads the replies before flood_end(). */
struct flood {
	sd_bus *bus[FLOOD_CONNECTIONS];
};

static void flood_begin(struct harness *h, struct flood *f)
{
	for (size_t i = 0; i < FLOOD_CONNECTIONS; i++)
		f->bus[i] = connect_as(h, SOMEBODY);
}

static void flood_end(struct flood *f)
{
	for (size_t i = 0; i < FLOOD_CONNECTIONS; i++)
		(void)sd_bus_flush_close_unref(f->bus[i]);
}

static const char *apply_dry(struct harness *h, sd_bus *bus, const char *name)
{
	return outcome(h, call_on(h, bus, ROOT_PATH, MANAGER, "Apply", "ssa{sv}", "pci", name, 1, "dry-run",
				  "b", 1));
}

START_TEST(dry_runs_of_one_user_leave_places_for_root_and_for_another)
{
	struct harness *h = begin();
	struct flood flood;
	sd_bus *other;

	faults(h, "pci/" CARD " slow\n");
	service_start(h);
	other = connect_as(h, 1);
	flood_begin(h, &flood);
	for (size_t i = 0; i < FLOOD_CONNECTIONS; i++)
		for (unsigned k = 0; k < 10; k++) {
			send_call(flood.bus[i], "Apply", "ssa{sv}", "pci", CARD, 1, "dry-run", "b", 1);
			send_call(flood.bus[i], "SetOverride", "sssa{sv}", "pci", CARD, "vfio-pci", 1,
				  "dry-run", "b", 1);
		}
	WAIT_UNTIL(calls(h, "dry-run") >= 2);
	ck_assert_str_eq(set(h, "pci", DISK, "vfio-pci"), "enforced");
	ck_assert_str_eq(set_with(h, "pci", DISK, "none", "dry-run", "b", 1, NULL), "enforced");
	ck_assert_str_eq(apply_dry(h, other, DISK), "enforced");
	/* One user's are few at once, whatever the number of its connections. */
	ck_assert_uint_le(calls(h, CARD " dry-run"), 4);
	faults(h, "");
	flood_end(&flood);
	(void)sd_bus_flush_close_unref(other);
	harness_free(h);
}
END_TEST

START_TEST(explanations_of_one_user_leave_places_for_root_and_for_another)
{
	struct harness *h = begin();
	struct flood flood;
	sd_bus *other;

	(void)mock_policy(h->m, MOCK_ETC, "10-x.conf", "[device x]\nAttr.slow=x\nDriver=none\n");
	mock_attr(h->m, PATH_OF(CARD), "slow", "y\n");
	service_start(h);
	other = connect_as(h, 1);
	mock_attr_hangs(h->m, PATH_OF(CARD), "slow");
	flood_begin(h, &flood);
	for (size_t i = 0; i < FLOOD_CONNECTIONS; i++)
		send_call(flood.bus[i], "Explain", "ss", "pci", CARD);
	for (size_t i = 0; i < FLOOD_CONNECTIONS; i++)
		ck_assert_int_ge(sd_bus_flush(flood.bus[i]), 0);
	/* All of them have come. */
	(void)manager_property(h, "Version", "s");
	ck_assert_ptr_nonnull(strchr(outcome(h, call(h, "Explain", "ss", "pci", DISK)), '{'));
	ck_assert_ptr_nonnull(
		strchr(outcome(h, call_on(h, other, ROOT_PATH, MANAGER, "Explain", "ss", "pci", DISK)), '{'));
	mock_attr_comes_back(h->m, PATH_OF(CARD), "slow", "y\n");
	flood_end(&flood);
	(void)sd_bus_flush_close_unref(other);
	harness_free(h);
}
END_TEST

/* A dry run costs its caller a message, and the machine some processes. */
START_TEST(one_user_may_have_so_many_processes_started_in_a_time)
{
	struct harness *h = begin();
	uint64_t before = clock_usec(), seconds;
	unsigned n, refused = 0;
	sd_bus *user;

	service_start(h);
	user = connect_as(h, SOMEBODY);
	for (unsigned i = 0; i < 150; i++) {
		refused += streq(apply_dry(h, user, DISK), "!LimitsExceeded");
		(void)sd_bus_message_unref(
			call_on(h, user, ROOT_PATH, MANAGER, "Explain", "ss", "pci", CARD));
	}
	n = calls(h, "dry-run");
	seconds = (clock_usec() - before) / 1000000 + 1;
	/* 40 at once and ten in a second, explanations included. */
	ck_assert_uint_le(n, 40 + 10 * seconds);
	ck_assert_uint_eq(n + refused, 150);
	/* Root is not kept waiting, and neither is another user. */
	for (unsigned i = 0; i < 60; i++)
		ck_assert_str_eq(apply_with(h, "pci", DISK, "dry-run", "b", 1, NULL), "unmanaged");
	(void)sd_bus_flush_close_unref(user);
	user = connect_as(h, 1);
	ck_assert_str_eq(apply_dry(h, user, DISK), "unmanaged");
	(void)sd_bus_flush_close_unref(user);
	harness_free(h);
}
END_TEST

/*
 * Where a killed process stays in the kernel, each would be one more for ever. The test cannot have such a
 * kernel, but sees that no second process is started.
 */
START_TEST(a_device_that_hangs_is_read_by_one_process_whoever_asks)
{
	struct harness *h = begin();
	sd_bus *user;

	h->read_timeout = "500";
	service_start(h);
	user = connect_as(h, SOMEBODY);
	mock_attr_hangs(h->m, PATH_OF(CARD), "driver_override");
	ck_assert_str_eq(outcome(h, call_on(h, user, ROOT_PATH, MANAGER, "Explain", "ss", "pci", CARD)),
			 "!Stuck");
	ck_assert_ptr_nonnull(strstr(h->error.message, "timed out"));
	/* Everybody is told, and nobody has it read once more. */
	wait_property(h, "pci", CARD, "State", "stuck");
	for (unsigned i = 0; i < 60; i++) {
		bool explain = i % 2;

		ck_assert_str_eq(explain ? outcome(h, call_on(h, user, ROOT_PATH, MANAGER, "Explain", "ss",
							      "pci", CARD))
					 : apply_dry(h, user, CARD),
				 "!Stuck");
		ck_assert_ptr_nonnull(strstr(h->error.message, "is stuck"));
	}
	ck_assert_uint_eq(calls(h, "dry-run"), 0);
	/* Another device has its explanation. */
	ck_assert_ptr_nonnull(
		strchr(outcome(h, call_on(h, user, ROOT_PATH, MANAGER, "Explain", "ss", "pci", DISK)), '{'));
	mock_attr_comes_back(h->m, PATH_OF(CARD), "driver_override", "(null)\n");
	wait_property(h, "pci", CARD, "State", "unmanaged");
	ck_assert_ptr_nonnull(
		strchr(outcome(h, call_on(h, user, ROOT_PATH, MANAGER, "Explain", "ss", "pci", CARD)), '{'));
	(void)sd_bus_flush_close_unref(user);
	harness_free(h);
}
END_TEST

/* The enforcer has left its child behind, which holds the lock that says so. Here the test has it. */
START_TEST(a_dry_run_that_hangs_is_the_last_one_of_its_device)
{
	struct harness *h = begin();
	const char *locks = mock_printf(h->m, "%s/dry-run", h->m->state);
	sd_bus *user;
	int lock;

	make_dirs(locks);
	lock = open(mock_printf(h->m, "%s/pci:" CARD, locks), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_ge(lock, 0);
	ck_assert_int_eq(flock(lock, LOCK_SH), 0);
	service_start(h);
	user = connect_as(h, SOMEBODY);
	faults(h, "pci/" CARD " Stuck it sleeps\n");
	ck_assert_str_eq(apply_dry(h, user, CARD), "!Stuck");
	wait_property(h, "pci", CARD, "State", "stuck");
	for (unsigned i = 0; i < 20; i++)
		ck_assert_str_eq(apply_dry(h, user, CARD), "!Stuck");
	ck_assert_uint_eq(calls(h, CARD " dry-run"), 1);
	ck_assert_str_eq(apply_dry(h, user, DISK), "unmanaged");
	faults(h, "");
	(void)close(lock);
	wait_property(h, "pci", CARD, "State", "unmanaged");
	ck_assert_str_eq(apply_dry(h, user, CARD), "unmanaged");
	(void)sd_bus_flush_close_unref(user);
	harness_free(h);
}
END_TEST

SUITE_MAIN("bus-limits", 570, no_user_can_hold_a_lock_that_writers_wait_for,
	   dry_runs_of_one_user_leave_places_for_root_and_for_another,
	   explanations_of_one_user_leave_places_for_root_and_for_another,
	   one_user_may_have_so_many_processes_started_in_a_time,
	   a_device_that_hangs_is_read_by_one_process_whoever_asks,
	   a_dry_run_that_hangs_is_the_last_one_of_its_device)
