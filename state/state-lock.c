/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The locks; see state-lock.h. */
#include "state/state-lock.h"
#include "base/errno.h"
#include "base/hash.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/path.h"
#include "base/time.h"
#include "state/state-file.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* How long a program waits for another one that replaces a file, and how often it tries. */
#define STATE_LOCK_USEC 200000U
/*
 * The same for the record of one device. A program may get no CPU for longer than writing takes, and who goes
 * on without the lock may undo what the other adds. But an event writes twice, and has 1.8 s for all.
 */
#define RECORD_LOCK_USEC 400000U
#define STATE_LOCK_RETRY_USEC 500U
/* How often the lock of a device is tried. */
#define DEVICE_LOCK_RETRY_USEC 20000U
/* How often the lock of the writers is tried. */
#define WRITER_LOCK_RETRY_USEC 10000U

int device_lock_path(const char *state_dir, const char *bus, const char *name, char *buf, size_t size)
{
	return state_device_path(state_dir, "/rebind/", bus, name, buf, size);
}

static int state_lock_open(const char *state_dir, char *path, size_t size)
{
	int fd;

	if (path_printf(path, size, "%s/lock", state_dir) < 0)
		return -ENAMETOOLONG;
	fd = lock_open(path);
	if (fd == -ENOENT && state_dir_make(state_dir, "devices") >= 0)
		fd = lock_open(path);
	return fd;
}

/* A stopped holder must not stop all others: losing a detail of a record is the lesser evil. */
static void state_lock_log(int r, const char *path)
{
	if (r < 0)
		log_line(LOG_WARNING, "%s was held too long; going on without it", path);
}

int state_lock_acquire(const char *state_dir)
{
	char path[PATH_MAX];
	int fd = state_lock_open(state_dir, path, sizeof(path));

	if (fd >= 0)
		state_lock_log(lock_acquire(fd, now_usec() + STATE_LOCK_USEC, STATE_LOCK_RETRY_USEC), path);
	return fd;
}

int record_lock_acquire(const char *state_dir, const char *bus, const char *name)
{
	/* Two devices that have the same byte only wait for each other. */
	const uint64_t byte = fnv1a(fnv1a(FNV_BASIS, bus, strlen(bus) + 1), name, strlen(name));
	char path[PATH_MAX];
	int fd = state_lock_open(state_dir, path, sizeof(path));

	if (fd >= 0)
		state_lock_log(
			lock_acquire_byte(fd, byte, now_usec() + RECORD_LOCK_USEC, STATE_LOCK_RETRY_USEC),
			path);
	return fd;
}

int device_lock_acquire(const char *state_dir, const char *bus, const char *name, uint64_t deadline)
{
	char path[PATH_MAX];
	_cleanup_(closep) int fd = -EBADF;
	int r = state_dir_make(state_dir, "rebind");

	if (r >= 0)
		r = device_lock_path(state_dir, bus, name, path, sizeof(path));
	if (r < 0)
		return r;
	fd = lock_open(path);
	if (fd < 0)
		return fd;
	r = lock_acquire(fd, deadline, DEVICE_LOCK_RETRY_USEC);
	return r < 0 ? r : TAKE_FD(fd);
}

int writer_lock_acquire(const char *state_dir, uint64_t deadline)
{
	_cleanup_(closep) int fd = -EBADF;
	char path[PATH_MAX];
	int r = path_printf(path, sizeof(path), "%s/writer", state_dir);

	if (r < 0)
		return r;
	fd = lock_open(path);
	if (fd < 0)
		return fd;
	r = lock_acquire(fd, deadline, WRITER_LOCK_RETRY_USEC);
	return r < 0 ? r : TAKE_FD(fd);
}

int device_look_lock_path(const char *state_dir, const char *bus, const char *name, char *buf, size_t size)
{
	return state_device_path(state_dir, "/dry-run/", bus, name, buf, size);
}

int device_look_lock_acquire(const char *state_dir, const char *bus, const char *name)
{
	char path[PATH_MAX];
	_cleanup_(closep) int fd = -EBADF;
	int r = state_dir_make(state_dir, "dry-run");

	if (r >= 0)
		r = device_look_lock_path(state_dir, bus, name, path, sizeof(path));
	if (r < 0)
		return r;
	fd = lock_open(path);
	if (fd < 0)
		return fd;
	r = lock_share(fd);
	return r < 0 ? r : TAKE_FD(fd);
}
