/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Loads the hold and talks to it through its maps; see hold.h, and hold.bpf.c for what it does. */
#include "guard/hold.h"
#include "base/errno.h"
#include "base/macro.h"
#include "base/text.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wcast-qual" /* generated */
#include "hold.skel.h"
#pragma GCC diagnostic pop

struct hold {
	struct hold_bpf *bpf;
	int tickets, buses;
	unsigned without; /* programs that this kernel has no function for */
	char why_not[160];
};

static int quiet(enum libbpf_print_level level, const char *format, va_list ap)
{
	(void)level;
	(void)format;
	(void)ap;
	return 0;
}

/* [confidentiality] in /sys/kernel/security/lockdown: BPF may not read kernel memory then. */
static bool is_locked_down(void)
{
	_cleanup_(closep) int fd = open("/sys/kernel/security/lockdown", O_RDONLY | O_CLOEXEC);
	char text[128];
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;

	text[n > 0 ? n : 0] = '\0';
	return strstr(text, "[confidentiality]") != NULL;
}

static void why(struct hold *h, const char *what, int r)
{
	if (access("/sys/kernel/btf/vmlinux", F_OK) < 0)
		(void)snprintf(h->why_not, sizeof(h->why_not),
			       "the kernel has no BTF (CONFIG_DEBUG_INFO_BTF)");
	else if (is_locked_down())
		(void)snprintf(h->why_not, sizeof(h->why_not), "the kernel is locked down (confidentiality)");
	else if (r == -EPERM || r == -EACCES)
		(void)snprintf(h->why_not, sizeof(h->why_not), "%s: not permitted to use BPF", what);
	else if (r == -524) /* ENOTSUPP, which is the kernel's own */
		(void)snprintf(h->why_not, sizeof(h->why_not),
			       "%s: this kernel cannot trace its functions by BPF on this machine", what);
	else
		(void)snprintf(h->why_not, sizeof(h->why_not), "%s: %s (bpf_loop needs Linux 5.17)", what,
			       strerror(-r));
}

/* As libbpf says that the kernel has no such function. */
static bool is_missing(int r)
{
	return r == -ENOENT || r == -ESRCH;
}

/* Programs that a kernel may have no function for. */
enum { WITHOUT_PCI = 1, WITHOUT_REALLY_PROBE = 2 };

static int load(struct hold *h, uint64_t limit_usec, unsigned without)
{
	int r;

	h->bpf = hold_bpf__open();
	if (!h->bpf) {
		r = negative_errno();
		why(h, "opening the BPF object", r);
		return r;
	}
	h->bpf->rodata->limit_ns = limit_usec * 1000;
	if (without & WITHOUT_PCI) {
		(void)bpf_program__set_autoload(h->bpf->progs.on_pci_bus_add_device_1, false);
		(void)bpf_program__set_autoload(h->bpf->progs.on_pci_bus_add_device_2, false);
		(void)bpf_program__set_autoload(h->bpf->progs.on_pci_bus_add_device_3, false);
	}
	if (without & WITHOUT_REALLY_PROBE) {
		(void)bpf_program__set_autoload(h->bpf->progs.on_really_probe_1, false);
		(void)bpf_program__set_autoload(h->bpf->progs.on_really_probe_2, false);
	}
	r = hold_bpf__load(h->bpf);
	if (r < 0)
		why(h, "loading the BPF programs", r);
	else {
		r = hold_bpf__attach(h->bpf);
		if (r < 0)
			why(h, "attaching to the kernel's functions", r);
	}
	if (r < 0)
		hold_bpf__destroy(TAKE_PTR(h->bpf));
	return r;
}

struct hold *hold_new(uint64_t limit_usec)
{
	struct hold *h = calloc(1, sizeof(*h));
	int r = -ENOENT;

	if (!h)
		return NULL;
	if (limit_usec == 0) {
		(void)strcpy(h->why_not, "turned off by --no-hold");
		return h;
	}
	(void)libbpf_set_print(quiet);
	/*
	 * A kernel without PCI needs no programs for it, and without the one that looks for races the hold is
	 * as good, but nobody would notice one. Tried, not asked: each look into the kernel's types takes as
	 * long as loading everything.
	 */
	for (unsigned without = 0; without <= (WITHOUT_PCI | WITHOUT_REALLY_PROBE) && is_missing(r);
	     without++) {
		r = load(h, limit_usec, without);
		h->without = without;
	}
	if (r < 0)
		return h;
	if ((h->without & WITHOUT_PCI) && access("/sys/bus/pci", F_OK) >= 0)
		(void)strcpy(h->why_not, "not for PCI: this kernel's pci_bus_add_device cannot be traced");
	else
		h->why_not[0] = '\0';
	h->tickets = bpf_map__fd(h->bpf->maps.tickets);
	h->buses = bpf_map__fd(h->bpf->maps.buses);
	(void)malloc_trim(0); /* of the kernel's types, before somebody locks the memory */
	return h;
}

struct hold *hold_free(struct hold *h)
{
	if (h)
		hold_bpf__destroy(h->bpf);
	free(h);
	return NULL;
}

const char *hold_why_not(const struct hold *h)
{
	return h->bpf && !h->why_not[0] ? NULL : h->why_not;
}

static void make_key(struct hold_key *key, const char *bus, const char *name)
{
	memset(key, 0, sizeof(*key));
	(void)strncpy(key->bus.name, bus, sizeof(key->bus.name) - 1);
	(void)strncpy(key->name, name, sizeof(key->name) - 1);
}

void hold_set_buses(struct hold *h, const char *const *buses, size_t n)
{
	struct hold_bus key, next;
	const __u8 one = 1;

	if (!h->bpf)
		return;
	for (void *previous = NULL; bpf_map_get_next_key(h->buses, previous, &next) == 0;) {
		bool wanted = false;

		key = next;
		previous = &key;
		for (size_t i = 0; i < n; i++)
			wanted = wanted || strncmp(buses[i], key.name, sizeof(key.name) - 1) == 0;
		if (!wanted) {
			(void)bpf_map_delete_elem(h->buses, &key);
			previous = NULL;
		}
	}
	for (size_t i = 0; i < n; i++) {
		/* Its tickets would never be taken back. */
		if ((h->without & WITHOUT_PCI) && streq(buses[i], "pci"))
			continue;
		memset(&key, 0, sizeof(key));
		(void)strncpy(key.name, buses[i], sizeof(key.name) - 1);
		(void)bpf_map_update_elem(h->buses, &key, &one, BPF_ANY);
	}
}

uint64_t hold_ticket(struct hold *h, const char *bus, const char *name)
{
	struct hold_key key;
	__u64 number;

	/* None at all is told without a system call. */
	if (!h->bpf || __atomic_load_n(&h->bpf->bss->waiting, __ATOMIC_ACQUIRE) <= 0)
		return 0;
	make_key(&key, bus, name);
	return bpf_map_lookup_elem(h->tickets, &key, &number) == 0 ? number : 0;
}

static __u64 *word_of(struct hold *h, uint64_t ticket)
{
	return &h->bpf->bss->words[ticket % HOLD_TICKETS_MAX];
}

bool hold_release(struct hold *h, uint64_t ticket)
{
	__u64 expected = HOLD_WORD(ticket, HOLD_WAITS);

	if (!h->bpf || !ticket)
		return false;
	return __atomic_compare_exchange_n(word_of(h, ticket), &expected, HOLD_WORD(ticket, HOLD_DECIDED),
					   false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) ||
	       expected == HOLD_WORD(ticket, HOLD_DECIDED);
}

bool hold_siblings_wait(struct hold *h, const char *bus, const char *name)
{
	struct hold_key key;
	__u64 number;
	size_t n = strlen(name);

	/* Mostly it is alone, which is told without a system call. */
	if (!h->bpf || h->bpf->bss->waiting <= 1 || !streq(bus, "pci") || n == 0 || n >= sizeof(key.name))
		return false;
	make_key(&key, bus, name);
	for (int f = '0'; f < '8'; f++) {
		key.name[n - 1] = (char)f;
		if (f != name[n - 1] && bpf_map_lookup_elem(h->tickets, &key, &number) == 0)
			return true; /* decided or not: it has not been probed while its ticket is there */
	}
	return false;
}

void hold_release_all(struct hold *h)
{
	__u64 now, before;

	if (!h->bpf)
		return;
	now = __atomic_load_n(&h->bpf->bss->issued, __ATOMIC_SEQ_CST);
	before = __atomic_load_n(&h->bpf->bss->released, __ATOMIC_SEQ_CST);
	/* Never back: another thread may have seen a later one. */
	while (before < now && !__atomic_compare_exchange_n(&h->bpf->bss->released, &before, now, false,
							    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		;
}

int hold_outcome(struct hold *h, const char *bus, uint64_t ticket)
{
	__u64 word;

	if (!h->bpf || !ticket)
		return -ENOENT;
	word = __atomic_load_n(word_of(h, ticket), __ATOMIC_SEQ_CST);
	if (HOLD_NUMBER(word) != ticket)
		return -ENOENT; /* so many came after it */
	switch ((enum hold_mark)HOLD_MARK(word)) {
	case HOLD_WAITS:
	case HOLD_DECIDED:
		return -EAGAIN;
	case HOLD_PASSED:
		/* That no driver had come before it nobody would have noticed; on PCI none can. */
		return (h->without & WITHOUT_REALLY_PROBE) && !streq(bus, "pci") ? -ENOENT : HOLD_PASSED;
	case HOLD_EXPIRED:
		return HOLD_EXPIRED;
	case HOLD_PROBED_EARLY:
		return HOLD_PROBED_EARLY;
	}
	return -ENOENT;
}

void hold_disown(struct hold *h)
{
	if (h->bpf)
		for (int i = 0; i < h->bpf->skeleton->prog_cnt; i++)
			if (*h->bpf->skeleton->progs[i].link)
				(void)close(bpf_link__fd(*h->bpf->skeleton->progs[i].link));
}

void hold_count(const struct hold *h, struct hold_counters *ret)
{
	*ret = (struct hold_counters){};
	if (h->bpf)
		*ret = h->bpf->bss->counters;
}

bool hold_has_given_up(const struct hold *h)
{
	return h->bpf && h->bpf->bss->expired_in_a_row >= h->bpf->rodata->give_up_after;
}

void hold_rearm(struct hold *h)
{
	if (h->bpf)
		h->bpf->bss->expired_in_a_row = 0;
}

struct hold_late {
	struct ring_buffer *ring; /* each listener's own view of the one ring */
	struct hold_key key;
};

/* One listener at a time takes from the ring. */
static pthread_mutex_t late_lock = PTHREAD_MUTEX_INITIALIZER;

/* A negative answer ends the round, so that one device is taken and the next left for another listener. */
static int take_late(void *userdata, void *data, size_t size)
{
	struct hold_late *late = userdata;

	if (size < sizeof(late->key))
		return 0;
	memcpy(&late->key, data, sizeof(late->key));
	return -ECANCELED;
}

struct hold_late *hold_late_new(struct hold *h)
{
	struct hold_late *late = h->bpf ? calloc(1, sizeof(*late)) : NULL;

	if (!late)
		return NULL;
	late->ring = ring_buffer__new(bpf_map__fd(h->bpf->maps.late), take_late, late, NULL);
	if (!late->ring) {
		free(late);
		return NULL;
	}
	return late;
}

int hold_late_wait(struct hold_late *late, struct hold_key *ret)
{
	struct epoll_event event;
	int r;

	if (epoll_wait(ring_buffer__epoll_fd(late->ring), &event, 1, -1) < 0)
		return errno == EINTR ? 0 : negative_errno();
	(void)pthread_mutex_lock(&late_lock);
	r = ring_buffer__consume(late->ring);
	(void)pthread_mutex_unlock(&late_lock);
	if (r != -ECANCELED)
		return r < 0 ? r : 0;
	*ret = late->key;
	ret->bus.name[sizeof(ret->bus.name) - 1] = '\0';
	ret->name[sizeof(ret->name) - 1] = '\0';
	return 1;
}
