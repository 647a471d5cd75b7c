/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* flock(2) with and without a deadline; see lock.h. */
#include "base/lock.h"
#include "base/errno.h"
#include "base/time.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

int lock_open(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct stat st;
	int r = 0;

	if (fd < 0)
		return negative_errno();
	if (fstat(fd, &st) < 0 || ((st.st_mode & 077) && fchmod(fd, 0600) < 0))
		r = negative_errno();
	if (r < 0)
		(void)close(fd);
	return r < 0 ? r : fd;
}

static int lock_try(int fd, const struct flock *byte)
{
	return byte ? fcntl(fd, F_OFD_SETLK, byte) : flock(fd, LOCK_EX | LOCK_NB);
}

/* byte: NULL: the file as a whole. */
static int lock_try_until(int fd, const struct flock *byte, uint64_t deadline, uint64_t retry_usec)
{
	while (lock_try(fd, byte) < 0) {
		if (errno != EWOULDBLOCK && errno != EACCES && errno != EINTR)
			return negative_errno();
		if (now_usec() >= deadline)
			return -ETIMEDOUT;
		sleep_usec(retry_usec);
	}
	return 0;
}

int lock_acquire(int fd, uint64_t deadline, uint64_t retry_usec)
{
	return lock_try_until(fd, NULL, deadline, retry_usec);
}

int lock_acquire_byte(int fd, uint64_t byte, uint64_t deadline, uint64_t retry_usec)
{
	const struct flock at = { .l_type = F_WRLCK,
				  .l_whence = SEEK_SET,
				  .l_start = (off_t)(byte & UINT64_MAX >> 2),
				  .l_len = 1 };

	return lock_try_until(fd, &at, deadline, retry_usec);
}

int lock_wait(int fd, bool shared)
{
	while (flock(fd, shared ? LOCK_SH : LOCK_EX) < 0)
		if (errno != EINTR)
			return negative_errno();
	return 0;
}

int lock_share(int fd)
{
	return flock(fd, LOCK_SH | LOCK_NB) < 0 ? negative_errno() : 0;
}
