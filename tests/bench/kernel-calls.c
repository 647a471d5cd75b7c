/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guard's path, seen from outside; see kernel-calls.h. */
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

double written_usec, released_usec;
unsigned long allocations;
static bool watching, written;
static unsigned n_tickets_asked;

void watch_start(void)
{
	allocations = 0;
	written = false;
	n_tickets_asked = 0;
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
 * Asking for a ticket is one system call, with a key and a number as its answer. BPF must not be loaded into
 * the machine that this runs on, so another call that copies as many bytes takes its place.
 */
uint64_t hold_ticket(struct hold *h, const char *bus, const char *name)
{
	struct hold_key key = {};

	(void)strncpy(key.bus.name, bus, sizeof(key.bus.name) - 1);
	(void)strncpy(key.name, name, sizeof(key.name) - 1);
	if (syscall(SYS_pwrite64, h->memory, &key, sizeof(key), (off_t)0) < 0)
		die("pwrite");
	/* The device's own ticket is asked for first; no companion is held. */
	return n_tickets_asked++ ? 0 : 1;
}

/* Marking a ticket is a store into memory. */
bool hold_release(struct hold *h, uint64_t ticket)
{
	(void)h;
	if (ticket) {
		released_usec = clock_usec();
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

/* A socket pair differs from the kernel's socket only by the sender's address. */
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

/* Visible to the C library as well, so that what opendir() or strdup() allocates is counted. */
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
