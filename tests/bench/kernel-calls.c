/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guard's path, watched from outside; see kernel-calls.h. */
#include "tests/bench/kernel-calls.h"
#include "tests/bench/bench.h"
#include "guard/hold.h"

#include <errno.h>
#include <linux/netlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

double written_usec, let_go_usec;
unsigned long allocations;
static bool watching, written;
static unsigned asked; /* for tickets */

void watch_start(void)
{
	allocations = 0;
	written = false;
	asked = 0;
	watching = true;
}

struct hold {
	int memory;
};

struct hold *hold_new(uint64_t limit_usec)
{
	struct hold *h = calloc(1, sizeof(*h));

	(void)limit_usec;
	if (h)
		h->memory = memfd_create("mark", MFD_CLOEXEC);
	return h;
}

struct hold *hold_free(struct hold *h)
{
	(void)close(h->memory);
	free(h);
	return NULL;
}

/*
 * Asking for a ticket is one system call that hands over a key and gets a number. BPF is not for the machine
 * that we are on, so another call that copies as many bytes stands in for it.
 */
uint64_t hold_ticket(struct hold *h, const char *bus, const char *name)
{
	struct hold_key key = {};

	(void)strncpy(key.bus.name, bus, sizeof(key.bus.name) - 1);
	(void)strncpy(key.name, name, sizeof(key.name) - 1);
	if (syscall(SYS_pwrite64, h->memory, &key, sizeof(key), (off_t)0) < 0)
		die("pwrite");
	/* The device's own comes first; no companion waits. */
	return asked++ ? 0 : 1;
}

/* Marking it is a store into memory. */
bool hold_release(struct hold *h, uint64_t ticket)
{
	(void)h;
	if (ticket) {
		let_go_usec = clock_usec();
		watching = false;
	}
	return ticket != 0;
}

int hold_outcome(struct hold *h, const char *bus, uint64_t ticket)
{
	(void)h;
	(void)bus;
	(void)ticket;
	return HOLD_PASSED;
}

/* A socket pair, told from the kernel's only by the sender's address. */
ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
	ssize_t n = syscall(SYS_recvmsg, fd, m, flags);

	if (n >= 0 && m->msg_name) {
		memset(m->msg_name, 0, sizeof(struct sockaddr_nl));
		m->msg_namelen = sizeof(struct sockaddr_nl);
	}
	return n;
}

ssize_t pwrite(int fd, const void *buf, size_t size, off_t offset)
{
	ssize_t n = syscall(SYS_pwrite64, fd, buf, size, offset);

	if (watching && !written)
		written_usec = clock_usec();
	written = written || watching;
	return n;
}

/* Seen by the C library, too: what opendir() or strdup() allocate comes here. */
#pragma GCC visibility push(default)
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t size);

void *malloc(size_t size)
{
	allocations += watching;
	return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	allocations += watching;
	return __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
	allocations += watching;
	return __libc_realloc(p, size);
}

#pragma GCC visibility pop
