/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Locks with and without a deadline. */
#include "base/lock.h"
#include "base/path.h"
#include "base/time.h"
#include "tests/unit/fixtures/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *lock_file(void)
{
	static char path[PATH_MAX];

	ck_assert_int_eq(path_printf(path, sizeof(path), "%s/lock", suite_dir), 0);
	return path;
}

START_TEST(file_is_made_and_closed_to_others)
{
	struct stat st;
	int fd;

	(void)unlink(lock_file());
	fd = lock_open(lock_file());
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
	/* As an older version may have left it. */
	ck_assert_int_eq(fchmod(fd, 0644), 0);
	(void)close(fd);
	fd = lock_open(lock_file());
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	(void)close(fd);
	ck_assert_int_eq(unlink(lock_file()), 0);
	ck_assert_int_eq(symlink("/dev/null", lock_file()), 0);
	ck_assert_int_eq(lock_open(lock_file()), -ELOOP);
	ck_assert_int_eq(unlink(lock_file()), 0);
	ck_assert_int_eq(lock_open("/nonexistent/lock"), -ENOENT);
}
END_TEST

START_TEST(deadline_ends_the_wait)
{
	int mine = lock_open(lock_file()), other = lock_open(lock_file());
	uint64_t start = now_usec();

	ck_assert_int_eq(lock_acquire(mine, 0, 0), 0);
	ck_assert_int_eq(lock_acquire(mine, 0, 0), 0); /* mine already */
	ck_assert_int_eq(lock_acquire(other, 0, 1000000000), -ETIMEDOUT);
	ck_assert_int_eq(lock_acquire(other, start + 50000, 1000), -ETIMEDOUT);
	ck_assert_uint_ge(now_usec() - start, 50000);
	(void)close(mine);
	ck_assert_int_eq(lock_acquire(other, 0, 0), 0);
	mine = lock_open(lock_file());
	ck_assert_int_eq(lock_share(mine), -EWOULDBLOCK);
	(void)close(other);
	ck_assert_int_eq(lock_share(mine), 0);
	(void)close(mine);
	ck_assert_int_eq(lock_share(-1), -EBADF);
	ck_assert_int_eq(lock_acquire(-1, UINT64_MAX, 0), -EBADF);
	ck_assert_int_eq(lock_wait(-1, false), -EBADF);
}
END_TEST

START_TEST(bytes_are_locked_one_by_one)
{
	int mine = lock_open(lock_file()), other = lock_open(lock_file());

	ck_assert_int_eq(lock_acquire_byte(mine, 1, 0, 0), 0);
	ck_assert_int_eq(lock_acquire_byte(other, 1, 0, 0), -ETIMEDOUT);
	ck_assert_int_eq(lock_acquire_byte(other, 1, now_usec() + 20000, 1000), -ETIMEDOUT);
	ck_assert_int_eq(lock_acquire_byte(other, 2, 0, 0), 0);
	ck_assert_int_eq(lock_acquire_byte(other, UINT64_MAX, 0, 0), 0);
	ck_assert_int_eq(lock_acquire(other, 0, 0), 0);
	ck_assert_int_eq(close(mine), 0);
	ck_assert_int_eq(lock_acquire_byte(other, 1, 0, 0), 0);
	ck_assert_int_eq(lock_acquire_byte(-1, 1, UINT64_MAX, 0), -EBADF);
	ck_assert_int_eq(close(other), 0);
}
END_TEST

/* Lets the lock go as soon as somebody waits for it: /proc/locks has "->" in front of one that does. */
static void *let_go(void *userdata)
{
	bool waits = false;

	while (!waits) {
		FILE *f = fopen("/proc/locks", "re");
		char line[256], inode[32];
		struct stat st;

		ck_assert_ptr_nonnull(f);
		ck_assert_int_eq(fstat(*(int *)userdata, &st), 0);
		(void)snprintf(inode, sizeof(inode), ":%ju ", (uintmax_t)st.st_ino);
		while (fgets(line, sizeof(line), f))
			waits = waits || (strstr(line, "->") && strstr(line, inode));
		(void)fclose(f);
	}
	(void)flock(*(int *)userdata, LOCK_UN);
	return NULL;
}

START_TEST(wait_lasts_until_the_lock_is_free)
{
	for (int shared = 0; shared <= 1; shared++) {
		int mine = lock_open(lock_file()), other = lock_open(lock_file()),
		    third = lock_open(lock_file());
		pthread_t thread;

		ck_assert_int_eq(lock_acquire(mine, 0, 0), 0);
		ck_assert_int_eq(pthread_create(&thread, NULL, let_go, &mine), 0);
		ck_assert_int_eq(lock_wait(other, shared), 0);
		ck_assert_int_eq(pthread_join(thread, NULL), 0);
		ck_assert_int_eq(lock_acquire(third, 0, 0), -ETIMEDOUT);
		ck_assert_int_eq(flock(third, LOCK_SH | LOCK_NB), shared ? 0 : -1);
		(void)close(mine);
		(void)close(other);
		(void)close(third);
	}
}
END_TEST

SUITE_MAIN("lock", 20, file_is_made_and_closed_to_others, deadline_ends_the_wait, bytes_are_locked_one_by_one,
	   wait_lasts_until_the_lock_is_free)
