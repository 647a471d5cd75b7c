/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * System calls, and habits of the GNU C library, that not every C library has (musl 1.2.3, glibc 2.34). As
 * the calls that they are named after: -1 and errno.
 */
#pragma once

#include <fcntl.h>
#include <malloc.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>
#ifndef STATX_TYPE
#include <linux/stat.h>
#endif

#ifndef AT_STATX_DONT_SYNC
#define AT_STATX_DONT_SYNC 0x4000
#endif

static inline int system_pidfd_open(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

static inline int system_pidfd_kill(int pidfd, int sig)
{
	return (int)syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0);
}

/* An entry of a folder, as getdents64(2) has it. */
struct system_dirent {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
};

static inline ssize_t system_getdents(int fd, void *buf, size_t size)
{
	return syscall(SYS_getdents64, fd, buf, size);
}

/* Closes first and all above it. */
static inline int system_close_from(unsigned first)
{
	return (int)syscall(SYS_close_range, first, ~0U, 0);
}

/* What is known of a file, without a question to a server that may not answer. */
static inline int system_statx_type(int dir, const char *name, struct statx *ret)
{
	return (int)syscall(SYS_statx, dir, name, AT_STATX_DONT_SYNC, STATX_TYPE, ret);
}

/* Gives memory back to the system that the start needed and the rest of the program's life does not. */
static inline void system_trim_memory(void)
{
#ifdef __GLIBC__
	(void)malloc_trim(0);
#endif
}

/* One malloc arena for all threads: one for each of them is 132 KiB, for little. musl has one only. */
static inline void system_share_arena(void)
{
#ifdef __GLIBC__
	(void)mallopt(M_ARENA_MAX, 1);
#endif
}
