/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
/*
 * Tickets: each device that is added on a bus that the policy can match gets one.
 *
 * Each ticket has its own number, so that a mark is for this device and not for the next one with its name.
 * A ticket stays when its hold has ended, so that the first driver which probes the device can be noted,
 * until the device goes or HOLD_TICKETS_KEPT newer ones have been issued.
 *
 * What was found in the map of tickets may be in use for another ticket a moment later. So what changes about
 * a ticket is elsewhere, by its number: its mark in ticket_words, its driver in kept. tests/unit searches all
 * orders in which these functions can run (test-hold-interleavings.c).
 */
#pragma once

#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#include "guard/bpf/hold-abi.h"
#include "guard/bpf/kernel-types.bpf.h"

struct hold_counters counters;
__s32 tickets_held;   /* how many holds have not ended: those of which hold_mark_is_held() */
__u64 last_ticket;    /* the number that was issued last; the first is 1 */
__u64 ticket_looks;   /* only for the order of reading */
__u64 released_up_to; /* tickets up to this number do not wait any more: the guard has lost messages */

/*
 * The number and the mark of each ticket, HOLD_WORD(number, mark), in the slot of its number; the latest
 * HOLD_TICKETS_MAX of them. Each change compares and swaps, since several sides change them: the guard marks
 * a ticket, the program in really_probe() notices a race, the hold ends.
 */
__u64 ticket_words[HOLD_TICKETS_MAX];

/* The buses that the policy can match, with enum hold_bus_flags. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, HOLD_BUSES_MAX);
	__type(key, struct hold_bus);
	__type(value, __u8);
} buses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, HOLD_TICKETS_MAX + HOLD_TICKETS_KEPT);
	__type(key, struct hold_key);
	__type(value, struct hold_ticket);
} tickets SEC(".maps");

/* The devices of the latest HOLD_TICKETS_KEPT tickets, by number, and the drivers that probed them first. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, HOLD_TICKETS_KEPT);
	__type(key, __u32);
	__type(value, struct hold_kept);
} kept SEC(".maps");

/* Fills in the key. The length of the device's name with its NUL; 0: it is on no bus. */
static __always_inline long key_of_device(struct device___local *dev, struct hold_key *key)
{
	const struct bus_type___local *bus = dev->bus;

	__builtin_memset(key, 0, sizeof(*key));
	if (!bus)
		return 0;
	bpf_probe_read_kernel_str(key->bus.name, sizeof(key->bus.name), bus->name);
	return bpf_probe_read_kernel_str(key->name, sizeof(key->name), dev->kobj.name);
}

/* True: the mark was `from`, and is `to` now. */
static __always_inline bool ticket_change_mark(__u64 number, __u32 from, __u32 to)
{
	__u64 before = HOLD_WORD(number, from);

	return __sync_val_compare_and_swap(&ticket_words[number % HOLD_TICKETS_MAX], before,
					   HOLD_WORD(number, to)) == before;
}

/* What follows is read after it: neither compiler nor processor changes the order at an addition of which the
 * result is used. */
static __always_inline __u64 ticket_read_number(const struct hold_ticket *ticket)
{
	const __u64 number = *(const volatile __u64 *)&ticket->number;

	return __sync_fetch_and_add(&ticket_looks, 1) != ~0ULL ? number : 0;
}

static __always_inline bool ticket_is_held(__u64 number)
{
	const __u64 word = ticket_words[number % HOLD_TICKETS_MAX];

	return HOLD_NUMBER(word) == number && hold_mark_is_held(HOLD_MARK(word));
}

/* Its device is not held any more. These are the marks that it may have, in the order in which it gets them.
 */
static __always_inline void ticket_end_hold(__u64 number, __u32 undecided, __u32 decided)
{
	if (ticket_change_mark(number, HOLD_WAITS, undecided) ||
	    ticket_change_mark(number, HOLD_DECIDED, decided) ||
	    ticket_change_mark(number, HOLD_PROBED_EARLY, HOLD_PASSED_EARLY))
		__sync_fetch_and_add(&tickets_held, -1);
}

/* device: only the ticket of this one; 0: whatever ticket there is of that name. */
static __always_inline void ticket_drop(struct hold_key *key, __u64 device)
{
	const struct hold_ticket *ticket = bpf_map_lookup_elem(&tickets, key);
	__u64 number;

	if (!ticket)
		return;
	number = ticket_read_number(ticket);
	if (device && ticket->device != device)
		return;
	/* If that was another one's number, it is not found by this name. */
	ticket = bpf_map_lookup_elem(&tickets, key);
	if (!ticket || ticket->number != number)
		return;
	ticket_end_hold(number, HOLD_EXPIRED, HOLD_EXPIRED);
	bpf_map_delete_elem(&tickets, key);
}

/* Notes the device of a new ticket, in the place of the one that was issued so many tickets before. */
static __always_inline void ticket_keep(__u64 number, const struct hold_key *key)
{
	__u32 slot = number % HOLD_TICKETS_KEPT;
	struct hold_kept *old = bpf_map_lookup_elem(&kept, &slot);
	const struct hold_ticket *ticket;
	__u64 old_number;

	if (!old)
		return;
	ticket = bpf_map_lookup_elem(&tickets, &old->key);
	old_number = ticket ? ticket->number : 0;
	if (ticket && old_number + HOLD_TICKETS_KEPT == number && !ticket_is_held(old_number))
		bpf_map_delete_elem(&tickets, &old->key);
	old->key = *key;
}

static __always_inline __u32 ticket_mark(__u64 number)
{
	__u64 word = ticket_words[number % HOLD_TICKETS_MAX];

	if (word == HOLD_WORD(number, HOLD_WAITS))
		return number <= released_up_to ? HOLD_EXPIRED : HOLD_WAITS;
	/* The slot was reused by a newer ticket (more than HOLD_TICKETS_MAX have been issued since), so this
	 * ticket's mark is lost. */
	return HOLD_NUMBER(word) == number ? HOLD_MARK(word) : HOLD_EXPIRED;
}

/* The number of the device's ticket; 0: it has none. */
static __always_inline __u64 ticket_number_of(const struct hold_key *key, const struct device___local *dev)
{
	const struct hold_ticket *ticket = bpf_map_lookup_elem(&tickets, key);
	__u64 number;

	if (!ticket)
		return 0;
	/* If that was another one's number, this is another one's device. */
	number = ticket_read_number(ticket);
	return ticket->device == (__u64)dev ? number : 0;
}

/* Whether another copy of the same program has issued this device's ticket just now. */
static __always_inline bool ticket_is_issued(const struct hold_key *key, const struct device___local *dev)
{
	const struct hold_ticket *ticket = bpf_map_lookup_elem(&tickets, key);

	return ticket && ticket->device == (__u64)dev && ticket->adder == (__u32)bpf_get_current_pid_tgid() &&
	       ticket_mark(ticket->number) == HOLD_WAITS;
}

/* The device goes on. A ticket that is not decided about gets this mark; HOLD_PROBED_EARLY is remembered. */
static __always_inline void ticket_pass(struct hold_key *key, __u64 number, __u32 undecided)
{
	const struct hold_ticket *ticket;

	ticket_end_hold(number, undecided, HOLD_PASSED);
	ticket = bpf_map_lookup_elem(&tickets, key);
	if (ticket && ticket->number == number && number + HOLD_TICKETS_KEPT <= last_ticket)
		bpf_map_delete_elem(&tickets, key);
}

/* The ticket has its mark from here on. */
static __always_inline void ticket_begin_hold(__u64 number)
{
	__u64 before;

	/* It is counted first: while there are none, nobody waits. */
	__sync_fetch_and_add(&tickets_held, 1);
	before = __sync_lock_test_and_set(&ticket_words[number % HOLD_TICKETS_MAX],
					  HOLD_WORD(number, HOLD_WAITS));
	/* So many tickets were issued since that one that its mark is lost, and with it its hold. */
	if (HOLD_NUMBER(before) && hold_mark_is_held(HOLD_MARK(before)))
		__sync_fetch_and_add(&tickets_held, -1);
}

/* may_wait: the kernel waits for devices just now. */
static __always_inline void ticket_issue(struct device___local *dev, bool may_wait)
{
	struct hold_ticket ticket = { .device = (__u64)dev };
	struct hold_key key;

	/* No message is sent about some devices (amba, while it cannot be identified), so none would be
	 * decided about. */
	if (key_of_device(dev, &key) <= 0 || !bpf_map_lookup_elem(&buses, &key.bus) ||
	    BPF_CORE_READ_BITFIELD(&dev->kobj, uevent_suppress))
		return;
	if (ticket_is_issued(&key, dev))
		return;
	__sync_fetch_and_add(&counters.added, 1);
	ticket_drop(&key, 0);
	if (!may_wait)
		return;
	ticket.number = __sync_fetch_and_add(&last_ticket, 1) + 1;
	ticket.adder = (__u32)bpf_get_current_pid_tgid();
	ticket_begin_hold(ticket.number);
	ticket_keep(ticket.number, &key);
	if (bpf_map_update_elem(&tickets, &key, &ticket, BPF_ANY) < 0) {
		__sync_fetch_and_add(&counters.no_room, 1);
		ticket_end_hold(ticket.number, HOLD_EXPIRED, HOLD_EXPIRED);
	}
}

/*
 * A driver probes a device. Before its hold has ended that is a race: the driver was registered just now, and
 * may have matched the device before the mark.
 */
static __always_inline void ticket_note_probe(struct device___local *dev,
					      struct device_driver___local *driver)
{
	struct hold_kept *noted;
	struct hold_key key;
	__u64 number;
	__u32 slot;

	if (!last_ticket || key_of_device(dev, &key) <= 0)
		return;
	number = ticket_number_of(&key, dev);
	if (!number)
		return;
	slot = number % HOLD_TICKETS_KEPT;
	noted = bpf_map_lookup_elem(&kept, &slot);
	if (noted && noted->probed_number != number) {
		bpf_probe_read_kernel_str(noted->driver, sizeof(noted->driver), driver->name);
		noted->probed_number = number;
	}
	if (!ticket_change_mark(number, HOLD_WAITS, HOLD_PROBED_EARLY))
		ticket_change_mark(number, HOLD_DECIDED, HOLD_PROBED_EARLY);
}
