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

SUITE_MAIN("bus-limits", 570, no_user_can_hold_a_lock_that_writers_wait_for)
