/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
/*
 * Tickets: each device that is added on a bus that the policy can match gets one.
 *
 * Each ticket has its own number, so that a mark is for this device and not for the next one with its name.
 * A ticket stays when its hold has ended, so that the first driver which probes the device can be noted,
 * until the device goes or HOLD_TICKETS_KEPT newer ones have been issued.
 */
#pragma once

#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#include "guard/bpf/hold-abi.h"
#include "guard/bpf/kernel-types.bpf.h"

struct hold_counters counters;
__s32 tickets_held;   /* how many belong to devices whose hold has not ended */
__u64 last_ticket;    /* the number that was issued last; the first is 1 */
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

/* The devices of the latest HOLD_TICKETS_KEPT tickets, by number. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, HOLD_TICKETS_KEPT);
	__type(key, __u32);
	__type(value, struct hold_key);
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

/* Its device is not held any more. */
static __always_inline void ticket_end_hold(struct hold_ticket *ticket)
{
	if (__sync_val_compare_and_swap(&ticket->is_held, 1, 0) == 1)
		__sync_fetch_and_add(&tickets_held, -1);
}

static __always_inline void ticket_drop(struct hold_key *key)
{
	struct hold_ticket *ticket = bpf_map_lookup_elem(&tickets, key);

	if (!ticket)
		return;
	ticket_end_hold(ticket);
	bpf_map_delete_elem(&tickets, key);
}

/* Notes the device of a new ticket, in the place of the one that was issued so many tickets before. */
static __always_inline void ticket_keep(__u64 number, const struct hold_key *key)
{
	__u32 slot = number % HOLD_TICKETS_KEPT;
	struct hold_key *old = bpf_map_lookup_elem(&kept, &slot);
	const struct hold_ticket *ticket;

	if (!old)
		return;
	ticket = bpf_map_lookup_elem(&tickets, old);
	if (ticket && !ticket->is_held && ticket->number + HOLD_TICKETS_KEPT == number)
		bpf_map_delete_elem(&tickets, old);
	*old = *key;
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

/* True: the mark was `from`, and is `to` now. */
static __always_inline bool ticket_change_mark(__u64 number, __u32 from, __u32 to)
{
	__u64 before = HOLD_WORD(number, from);

	return __sync_val_compare_and_swap(&ticket_words[number % HOLD_TICKETS_MAX], before,
					   HOLD_WORD(number, to)) == before;
}

/* Whether another copy of the same program has issued this device's ticket just now. */
static __always_inline bool ticket_is_of(const struct hold_ticket *ticket, struct device___local *dev)
{
	return ticket->device == (__u64)dev && ticket->adder == (__u32)bpf_get_current_pid_tgid() &&
	       ticket->is_held && ticket_mark(ticket->number) == HOLD_WAITS;
}

/* The device goes on. A ticket that is not decided about gets this mark; HOLD_PROBED_EARLY stays. */
static __always_inline void ticket_pass(struct hold_key *key, __u64 number, __u32 undecided)
{
	struct hold_ticket *ticket;

	if (!ticket_change_mark(number, HOLD_DECIDED, HOLD_PASSED))
		ticket_change_mark(number, HOLD_WAITS, undecided);
	ticket = bpf_map_lookup_elem(&tickets, key);
	if (!ticket || ticket->number != number)
		return;
	ticket_end_hold(ticket);
	if (ticket->number + HOLD_TICKETS_KEPT <= last_ticket)
		bpf_map_delete_elem(&tickets, key);
}

/* may_wait: the kernel waits for devices just now. */
static __always_inline void ticket_issue(struct device___local *dev, bool may_wait)
{
	struct hold_ticket ticket = { .device = (__u64)dev, .is_held = 1 };
	const struct hold_ticket *before;
	struct hold_key key;

	/* No message is sent about some devices (amba, while it cannot be identified), so none would be
	 * decided about. */
	if (key_of_device(dev, &key) <= 0 || !bpf_map_lookup_elem(&buses, &key.bus) ||
	    BPF_CORE_READ_BITFIELD(&dev->kobj, uevent_suppress))
		return;
	before = bpf_map_lookup_elem(&tickets, &key);
	if (before && ticket_is_of(before, dev))
		return;
	__sync_fetch_and_add(&counters.added, 1);
	ticket_drop(&key);
	if (!may_wait)
		return;
	ticket.number = __sync_fetch_and_add(&last_ticket, 1) + 1;
	ticket.adder = (__u32)bpf_get_current_pid_tgid();
	ticket_words[ticket.number % HOLD_TICKETS_MAX] = HOLD_WORD(ticket.number, HOLD_WAITS);
	ticket_keep(ticket.number, &key);
	if (bpf_map_update_elem(&tickets, &key, &ticket, BPF_ANY) < 0)
		__sync_fetch_and_add(&counters.no_room, 1);
	else
		__sync_fetch_and_add(&tickets_held, 1);
}

/*
 * A driver probes a device. Before its hold has ended that is a race: the driver was registered just now, and
 * may have matched the device before the mark.
 */
static __always_inline void ticket_note_probe(struct device___local *dev,
					      struct device_driver___local *driver)
{
	struct hold_ticket *ticket;
	struct hold_key key;

	if (!last_ticket || key_of_device(dev, &key) <= 0)
		return;
	ticket = bpf_map_lookup_elem(&tickets, &key);
	if (!ticket)
		return;
	if (!ticket->driver[0])
		bpf_probe_read_kernel_str(ticket->driver, sizeof(ticket->driver), driver->name);
	if (!ticket_change_mark(ticket->number, HOLD_WAITS, HOLD_PROBED_EARLY))
		ticket_change_mark(ticket->number, HOLD_DECIDED, HOLD_PROBED_EARLY);
}
