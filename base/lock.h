/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * flock(2), which dies with its last open descriptor: the lock of a process that was killed is free, that of
 * one that is asleep in the kernel is not.
 */
#pragma once

#include "base/macro.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Opens a file to be locked, and makes it if need be. Its mode is made 0600 if it is wider: a user that may
 * open it, if only for reading, may hold the lock for ever. A file descriptor or negative errno.
 */
_must_check_ int lock_open(const char *path);

/*
 * Takes the lock for this process alone, trying every retry_usec until `deadline` (now_usec(); 0: once): for
 * a program that must not wait for ever. 0; -ETIMEDOUT; other negative errno.
 */
_must_check_ int lock_acquire(int fd, uint64_t deadline, uint64_t retry_usec);

/*
 * The same of one byte of the file, which need not be that long: whoever locks another byte, or the file as a
 * whole, is no hindrance. By the same process, a file that was opened twice is locked twice, too.
 */
_must_check_ int lock_acquire_byte(int fd, uint64_t byte, uint64_t deadline, uint64_t retry_usec);

/*
 * Waits for the lock, shared or for this process alone, for as long as it takes: only for a child for which
 * its parent does not wait so long. 0 or negative errno.
 */
_must_check_ int lock_wait(int fd, bool shared);

/* Shares the lock, unless another process has it for itself. 0, -EWOULDBLOCK, or other negative errno. */
_must_check_ int lock_share(int fd);
