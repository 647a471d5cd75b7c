/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Loads the BPF programs and shares memory with them; see hold.h, and bpf/hold.bpf.c for what they do. */
#include "guard/hold.h"
#include "base/errno.h"
#include "base/macro.h"
#include "base/system.h"
#include "base/text.h"
#include "guard/hold-filter.h"
#include "guard/hold-load.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

/* So soon after the end of a hold a decision comes that the hold itself has kept up. */
#define HOLD_OWN_FAULT_NS 20000000U
/* So late that no limit would be long enough. */
#define HOLD_HOPELESS_NS 1000000000U

struct hold *hold_new(uint64_t limit_usec)
{
	struct hold *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->tickets = h->buses = h->kept = h->filter_keys = h->late = h->show_guard = -EBADF;
	if (limit_usec == 0) {
		(void)strcpy(h->why_not, "turned off by --no-hold");
		return h;
	}
	if (hold_load(h, limit_usec) < 0)
		return h;
	/* Gives back what libbpf read about the kernel's types, before the guard locks its memory. */
	system_trim_memory();
	return h;
}

struct hold *hold_free(struct hold *h)
{
	if (h)
		hold_unload(h);
	free(h);
	return NULL;
}

void hold_let_go(struct hold *h)
{
	if (h->bss)
		__atomic_store_n(&h->bss->has_ended, 1, __ATOMIC_SEQ_CST);
}

void hold_set_grace(struct hold *h, uint64_t grace_usec)
{
	if (h->bss)
		__atomic_store_n(&h->bss->grace_ns, grace_usec * 1000, __ATOMIC_SEQ_CST);
}

void hold_set_limit(struct hold *h, uint64_t limit_usec)
{
	if (h->bss)
		__atomic_store_n(&h->bss->limit_ns, limit_usec * 1000, __ATOMIC_SEQ_CST);
}

uint64_t hold_needed_usec(const struct hold *h)
{
	uint64_t decided, late;

	if (!h->bss)
		return 0;
	decided = h->bss->counters.longest_decided_ns;
	late = __atomic_load_n(&h->late_ns, __ATOMIC_SEQ_CST);
	return (decided > late ? decided : late) / 1000;
}

const char *hold_why_not(const struct hold *h)
{
	return h->bss && !h->why_not[0] ? NULL : h->why_not;
}

const char *hold_reservation(const struct hold *h)
{
	if (!h->bss)
		return "";
	if (h->without & WITHOUT_EXIT)
		return ", but goes on to the limit when the guard is killed";
	if (h->without & WITHOUT_FREEZER)
		return ", but goes on to the limit while user space is frozen";
	if (h->without & WITHOUT_REALLY_PROBE)
		return ", but does not see which driver probes first";
	return "";
}

static void hold_make_key(struct hold_key *key, const char *bus, const char *name)
{
	memset(key, 0, sizeof(*key));
	(void)strncpy(key->bus.name, bus, sizeof(key->bus.name) - 1);
	(void)strncpy(key->name, name, sizeof(key->name) - 1);
}

static void hold_set_buses(struct hold *h, const struct hold_filter *filter)
{
	struct hold_bus key, next;

	for (void *previous = NULL; bpf_map_get_next_key(h->buses, previous, &next) == 0;) {
		bool wanted = false;

		key = next;
		previous = &key;
		for (size_t i = 0; i < filter->n_buses; i++)
			wanted =
				wanted || strncmp(filter->buses[i].name, key.name, sizeof(key.name) - 1) == 0;
		if (!wanted) {
			(void)bpf_map_delete_elem(h->buses, &key);
			previous = NULL;
		}
	}
	for (size_t i = 0; i < filter->n_buses; i++) {
		const struct hold_filter_bus *bus = &filter->buses[i];

		/* Tickets for PCI would never be taken back. */
		if ((h->without & WITHOUT_PCI) && streq(bus->name, "pci"))
			continue;
		memset(&key, 0, sizeof(key));
		(void)strncpy(key.name, bus->name, sizeof(key.name) - 1);
		(void)bpf_map_update_elem(h->buses, &key, &bus->flags, BPF_ANY);
	}
}

/* False: not all of them are there. */
static bool hold_set_filter_keys(struct hold *h, const struct hold_filter *filter)
{
	const int map = h->filter_keys;
	const __u8 one = 1;
	bool all = true;
	__u64 key;

	while (bpf_map_get_next_key(map, NULL, &key) == 0)
		if (bpf_map_delete_elem(map, &key) < 0)
			return false;
	for (size_t i = 0; i < filter->n_keys; i++)
		all = bpf_map_update_elem(map, &filter->keys[i], &one, BPF_ANY) >= 0 && all;
	return all;
}

void hold_suspend_filter(struct hold *h)
{
	if (!h->bss)
		return;
	__atomic_store_n(&h->bss->filter_from, 0, __ATOMIC_SEQ_CST);
	/* A program that sees a change that comes after this sees this, too. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void hold_set_filter(struct hold *h, const struct hold_filter *filter)
{
	static const struct hold_filter nothing;
	__u64 last;

	if (!h->bss)
		return;
	hold_suspend_filter(h);
	hold_set_buses(h, filter ? filter : &nothing);
	if (!filter || !hold_set_filter_keys(h, filter))
		return;
	/* A program whose ticket is not counted here yet sees all keys. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	/* Who decides about a ticket of a higher number has the policy that this filter was made of, or a
	 * later one. */
	last = __atomic_load_n(&h->bss->last_ticket, __ATOMIC_SEQ_CST);
	__atomic_store_n(&h->bss->filter_from, last + 1, __ATOMIC_SEQ_CST);
}

/*
 * The hold has ended at its limit, and the guard is done only now: how long it would have had to last. A
 * decision that comes as soon as the hold has ended was kept up by the hold itself, by a lock or by a CPU,
 * and a longer one would not have helped. One that comes much later is that of a guard which was stopped.
 */
static void hold_note_lateness(struct hold *h, uint64_t ticket)
{
	struct hold_bpf__bss *bss = h->bss;
	struct timespec now;
	uint64_t start, end, now_ns, before;

	if (__atomic_load_n(&bss->expired_number, __ATOMIC_SEQ_CST) != ticket)
		return;
	start = bss->expired_start_ns;
	end = bss->expired_end_ns;
	if (__atomic_load_n(&bss->expired_number, __ATOMIC_SEQ_CST) != ticket)
		return; /* written anew meanwhile */
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	now_ns = (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
	if (now_ns < end + HOLD_OWN_FAULT_NS)
		return;
	/* Once is enough. Another hold's end may be noted at this moment: then its lateness is lost. */
	__atomic_store_n(&bss->expired_number, 0, __ATOMIC_SEQ_CST);
	if (now_ns > start + HOLD_HOPELESS_NS)
		return;
	before = __atomic_load_n(&h->late_ns, __ATOMIC_SEQ_CST);
	while (before < now_ns - start &&
	       !__atomic_compare_exchange_n(&h->late_ns, &before, now_ns - start, false, __ATOMIC_SEQ_CST,
					    __ATOMIC_SEQ_CST))
		;
}

static __u64 *hold_ticket_word(struct hold *h, uint64_t ticket)
{
	return &h->bss->ticket_words[ticket % HOLD_TICKETS_MAX];
}

/* Whether its device is held, decided about or not. */
static bool hold_number_is_held(struct hold *h, uint64_t ticket)
{
	const __u64 word = __atomic_load_n(hold_ticket_word(h, ticket), __ATOMIC_SEQ_CST);

	return HOLD_NUMBER(word) == ticket && hold_mark_is_held(HOLD_MARK(word));
}

uint64_t hold_ticket(struct hold *h, const char *bus, const char *name)
{
	struct hold_ticket ticket;
	struct hold_key key;

	/* That no device is held at all, is known without a system call. */
	if (!h->bss || (__atomic_load_n(&h->bss->tickets_held, __ATOMIC_ACQUIRE) <= 0 &&
			!__atomic_load_n(&h->bss->expired_number, __ATOMIC_SEQ_CST)))
		return 0;
	hold_make_key(&key, bus, name);
	if (bpf_map_lookup_elem(h->tickets, &key, &ticket) < 0)
		return 0;
	if (hold_number_is_held(h, ticket.number))
		return ticket.number;
	hold_note_lateness(h, ticket.number);
	return 0;
}

int hold_first_driver(struct hold *h, uint64_t ticket, char *driver, size_t size)
{
	struct hold_kept kept;
	__u32 slot = (__u32)(ticket % HOLD_TICKETS_KEPT);

	if (!h->bss || !ticket || (h->without & WITHOUT_REALLY_PROBE) ||
	    bpf_map_lookup_elem(h->kept, &slot, &kept) < 0 ||
	    __atomic_load_n(&h->bss->last_ticket, __ATOMIC_SEQ_CST) >= ticket + HOLD_TICKETS_KEPT)
		return -ENOENT;
	(void)snprintf(driver, size, "%.*s", kept.probed_number == ticket ? (int)sizeof(kept.driver) : 0,
		       kept.driver);
	return 0;
}

bool hold_release(struct hold *h, uint64_t ticket)
{
	__u64 expected = HOLD_WORD(ticket, HOLD_WAITS);

	if (!h->bss || !ticket)
		return false;
	if (__atomic_compare_exchange_n(hold_ticket_word(h, ticket), &expected,
					HOLD_WORD(ticket, HOLD_DECIDED), false, __ATOMIC_SEQ_CST,
					__ATOMIC_SEQ_CST) ||
	    expected == HOLD_WORD(ticket, HOLD_DECIDED))
		return true;
	if (expected == HOLD_WORD(ticket, HOLD_EXPIRED))
		hold_note_lateness(h, ticket);
	return false;
}

bool hold_siblings_wait(struct hold *h, const char *bus, const char *name)
{
	struct hold_ticket ticket;
	struct hold_key key;
	size_t n = strlen(name);

	/* Mostly the device is the only one that is held, which is known without a system call. */
	if (!h->bss || h->bss->tickets_held <= 1 || !streq(bus, "pci") || n == 0 || n >= sizeof(key.name))
		return false;
	hold_make_key(&key, bus, name);
	for (int f = '0'; f < '8'; f++) {
		key.name[n - 1] = (char)f;
		if (f != name[n - 1] && bpf_map_lookup_elem(h->tickets, &key, &ticket) == 0 &&
		    hold_number_is_held(h, ticket.number))
			return true; /* decided about or not: it is probed only when its hold has ended */
	}
	return false;
}

bool hold_is_waiting(struct hold *h)
{
	return h->bss && __atomic_load_n(&h->bss->tickets_held, __ATOMIC_ACQUIRE) > 0;
}

void hold_release_all(struct hold *h)
{
	__u64 now, before;

	if (!h->bss)
		return;
	now = __atomic_load_n(&h->bss->last_ticket, __ATOMIC_SEQ_CST);
	before = __atomic_load_n(&h->bss->released_up_to, __ATOMIC_SEQ_CST);
	/* Only ever upwards: another thread may have seen a later ticket. */
	while (before < now && !__atomic_compare_exchange_n(&h->bss->released_up_to, &before, now, false,
							    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		;
}

int hold_outcome(struct hold *h, const char *bus, uint64_t ticket)
{
	__u64 word;

	if (!h->bss || !ticket)
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
	case HOLD_PASSED_EARLY:
		return HOLD_PROBED_EARLY;
	case HOLD_SPARED:
		return HOLD_SPARED;
	}
	return -ENOENT;
}

void hold_disown(struct hold *h)
{
	for (size_t i = 0; i < h->n_links; i++)
		(void)close(h->links[i]);
}

void hold_count(const struct hold *h, struct hold_counters *ret)
{
	*ret = (struct hold_counters){};
	if (h->bss)
		*ret = h->bss->counters;
}

bool hold_has_given_up(const struct hold *h)
{
	return h->bss &&
	       (h->bss->is_kept_out || h->bss->spent_ns >= HOLD_LIMITS_SPENT_MAX * h->bss->limit_ns);
}

bool hold_keeps_guard_out(const struct hold *h)
{
	return h->bss && h->bss->is_kept_out;
}

bool hold_is_frozen(const struct hold *h)
{
	return h->bss && h->bss->is_frozen;
}

void hold_rearm(struct hold *h)
{
	if (h->bss) {
		h->bss->spent_ns = 0;
		h->bss->is_kept_out = 0;
	}
}

bool hold_first_expiry(const struct hold *h, struct hold_expiry *ret)
{
	if (!h->bss || !__atomic_load_n(&h->bss->first_expiry.is_complete, __ATOMIC_ACQUIRE))
		return false;
	*ret = h->bss->first_expiry;
	ret->key.bus.name[sizeof(ret->key.bus.name) - 1] = '\0';
	ret->key.name[sizeof(ret->key.name) - 1] = '\0';
	return true;
}

int hold_show_guard(struct hold *h, char *text, size_t size)
{
	_cleanup_(closep) int fd = -EBADF;
	size_t n = 0;
	ssize_t r;

	if (!h->bss || h->show_guard < 0)
		return -ENOENT;
	fd = bpf_iter_create(h->show_guard);
	if (fd < 0)
		return negative_errno();
	while (n + 1 < size && (r = read(fd, text + n, size - 1 - n)) > 0)
		n += (size_t)r;
	text[n] = '\0';
	return 0;
}

struct hold_late {
	struct ring_buffer *ring; /* each listener's own view of the one ring */
	struct hold_late_device device;
};

/* Only one listener at a time may consume the ring. */
static pthread_mutex_t hold_late_lock = PTHREAD_MUTEX_INITIALIZER;

/* The negative result ends the round, so that one device is taken and the next is left to another listener.
 */
static int hold_late_take(void *userdata, void *data, size_t size)
{
	struct hold_late *late = userdata;

	if (size < sizeof(late->device))
		return 0;
	memcpy(&late->device, data, sizeof(late->device));
	return -ECANCELED;
}

struct hold_late *hold_late_new(struct hold *h)
{
	struct hold_late *late = h->bss ? calloc(1, sizeof(*late)) : NULL;

	if (!late)
		return NULL;
	late->ring = ring_buffer__new(h->late, hold_late_take, late, NULL);
	if (!late->ring) {
		free(late);
		return NULL;
	}
	return late;
}

int hold_late_wait(struct hold_late *late, struct hold_late_device *ret)
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
	*ret = late->device;
	ret->key.bus.name[sizeof(ret->key.bus.name) - 1] = '\0';
	ret->key.name[sizeof(ret->key.name) - 1] = '\0';
	return 1;
}
