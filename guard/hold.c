/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Loads the BPF programs and shares memory with them; see hold.h, and bpf/hold.bpf.c for what they do. */
#include "guard/hold.h"
#include "base/errno.h"
#include "base/macro.h"
#include "base/text.h"
#include "base/system.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
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
	unsigned without; /* WITHOUT_…: programs that this kernel has no function for */
	char why_not[160];
};

static int libbpf_print_nothing(enum libbpf_print_level level, const char *format, va_list ap)
{
	(void)level;
	(void)format;
	(void)ap;
	return 0;
}

/* [confidentiality] in /sys/kernel/security/lockdown: BPF may not read kernel memory then. */
static bool kernel_is_locked_down(void)
{
	_cleanup_(closep) int fd = open("/sys/kernel/security/lockdown", O_RDONLY | O_CLOEXEC);
	char text[128];
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;

	text[n > 0 ? n : 0] = '\0';
	return strstr(text, "[confidentiality]") != NULL;
}

/* Puts the reason why there is no hold into words. */
static void hold_explain_failure(struct hold *h, const char *what, int r)
{
	if (access("/sys/kernel/btf/vmlinux", F_OK) < 0)
		(void)snprintf(h->why_not, sizeof(h->why_not),
			       "the kernel has no BTF (CONFIG_DEBUG_INFO_BTF)");
	else if (kernel_is_locked_down())
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

/* How libbpf says that the kernel has no such function. */
static bool is_missing_function(int r)
{
	return r == -ENOENT || r == -ESRCH;
}

/* Programs that may be left out. */
enum { WITHOUT_PCI = 1, WITHOUT_REALLY_PROBE = 2 };

static int hold_load(struct hold *h, uint64_t limit_usec, unsigned without)
{
	int r;

	h->bpf = hold_bpf__open();
	if (!h->bpf) {
		r = negative_errno();
		hold_explain_failure(h, "opening the BPF object", r);
		return r;
	}
	h->bpf->rodata->limit_ns = limit_usec * 1000;
	if (without & WITHOUT_PCI) {
		(void)bpf_program__set_autoload(h->bpf->progs.hold_on_pci_add_1, false);
		(void)bpf_program__set_autoload(h->bpf->progs.hold_on_pci_add_2, false);
		(void)bpf_program__set_autoload(h->bpf->progs.hold_on_pci_add_3, false);
	}
	if (without & WITHOUT_REALLY_PROBE) {
		(void)bpf_program__set_autoload(h->bpf->progs.race_on_really_probe_1, false);
		(void)bpf_program__set_autoload(h->bpf->progs.race_on_really_probe_2, false);
	}
	r = hold_bpf__load(h->bpf);
	if (r < 0)
		hold_explain_failure(h, "loading the BPF programs", r);
	else {
		r = hold_bpf__attach(h->bpf);
		if (r < 0)
			hold_explain_failure(h, "attaching to the kernel's functions", r);
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
	(void)libbpf_set_print(libbpf_print_nothing);
	/*
	 * A kernel without PCI needs no programs for PCI. Without the programs that notice races the hold
	 * works as well, but less can be claimed of a first probe. Each combination is simply tried, since
	 * looking into the kernel's types takes as long as loading everything.
	 */
	for (unsigned without = 0; without <= (WITHOUT_PCI | WITHOUT_REALLY_PROBE) && is_missing_function(r);
	     without++) {
		r = hold_load(h, limit_usec, without);
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
	/* Gives back what libbpf read about the kernel's types, before the guard locks its memory. */
	system_trim_memory();
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

static void hold_make_key(struct hold_key *key, const char *bus, const char *name)
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
		/* Tickets for PCI would never be taken back. */
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

	/* That no device is held at all, is known without a system call. */
	if (!h->bpf || __atomic_load_n(&h->bpf->bss->tickets_open, __ATOMIC_ACQUIRE) <= 0)
		return 0;
	hold_make_key(&key, bus, name);
	return bpf_map_lookup_elem(h->tickets, &key, &number) == 0 ? number : 0;
}

static __u64 *hold_ticket_word(struct hold *h, uint64_t ticket)
{
	return &h->bpf->bss->ticket_words[ticket % HOLD_TICKETS_MAX];
}

bool hold_release(struct hold *h, uint64_t ticket)
{
	__u64 expected = HOLD_WORD(ticket, HOLD_WAITS);

	if (!h->bpf || !ticket)
		return false;
	return __atomic_compare_exchange_n(hold_ticket_word(h, ticket), &expected,
					   HOLD_WORD(ticket, HOLD_DECIDED), false, __ATOMIC_SEQ_CST,
					   __ATOMIC_SEQ_CST) ||
	       expected == HOLD_WORD(ticket, HOLD_DECIDED);
}

bool hold_siblings_wait(struct hold *h, const char *bus, const char *name)
{
	struct hold_key key;
	__u64 number;
	size_t n = strlen(name);

	/* Mostly the device is the only one that is held, which is known without a system call. */
	if (!h->bpf || h->bpf->bss->tickets_open <= 1 || !streq(bus, "pci") || n == 0 ||
	    n >= sizeof(key.name))
		return false;
	hold_make_key(&key, bus, name);
	for (int f = '0'; f < '8'; f++) {
		key.name[n - 1] = (char)f;
		if (f != name[n - 1] && bpf_map_lookup_elem(h->tickets, &key, &number) == 0)
			return true; /* decided about or not: it is probed only when its ticket is gone */
	}
	return false;
}

bool hold_is_waiting(struct hold *h)
{
	return h->bpf && __atomic_load_n(&h->bpf->bss->tickets_open, __ATOMIC_ACQUIRE) > 0;
}

void hold_release_all(struct hold *h)
{
	__u64 now, before;

	if (!h->bpf)
		return;
	now = __atomic_load_n(&h->bpf->bss->last_ticket, __ATOMIC_SEQ_CST);
	before = __atomic_load_n(&h->bpf->bss->released_up_to, __ATOMIC_SEQ_CST);
	/* Only ever upwards: another thread may have seen a later ticket. */
	while (before < now && !__atomic_compare_exchange_n(&h->bpf->bss->released_up_to, &before, now, false,
							    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		;
}

int hold_outcome(struct hold *h, const char *bus, uint64_t ticket)
{
	__u64 word;

	if (!h->bpf || !ticket)
		return -ENOENT;
	word = __atomic_load_n(hold_ticket_word(h, ticket), __ATOMIC_SEQ_CST);
	if (HOLD_NUMBER(word) != ticket)
		return -ENOENT; /* a newer ticket has its word by now */
	switch ((enum hold_mark)HOLD_MARK(word)) {
	case HOLD_WAITS:
	case HOLD_DECIDED:
		return -EAGAIN;
	case HOLD_PASSED:
		/*
		 * Without the programs that notice races a driver may have come before the mark, except on
		 * PCI, where none can.
		 */
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

/* Only one listener at a time may consume the ring. */
static pthread_mutex_t hold_late_lock = PTHREAD_MUTEX_INITIALIZER;

/* The negative result ends the round, so that one device is taken and the next is left to another listener.
 */
static int hold_late_take(void *userdata, void *data, size_t size)
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
	late->ring = ring_buffer__new(bpf_map__fd(h->bpf->maps.late), hold_late_take, late, NULL);
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
	(void)pthread_mutex_lock(&hold_late_lock);
	r = ring_buffer__consume(late->ring);
	(void)pthread_mutex_unlock(&hold_late_lock);
	if (r != -ECANCELED)
		return r < 0 ? r : 0;
	*ret = late->key;
	ret->bus.name[sizeof(ret->bus.name) - 1] = '\0';
	ret->name[sizeof(ret->name) - 1] = '\0';
	return 1;
}
