/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
/*
 * The hold: between a device's `add` uevent and its first probe the kernel waits until the guard has decided.
 *
 *   device_add()
 *     bus_add_device()        <- here a ticket is put into the map, for buses that the policy can match
 *     kobject_uevent(add)        the guard hears it, writes the override, marks the ticket
 *     bus_probe_device()      <- here the kernel waits for the mark; on PCI, where drivers are looked at
 * later, pci_bus_add_device()      <- here
 *
 * PCI functions of one slot wait for one another's marks: they often share an IOMMU group, all of them have
 * been announced before the first is looked at, and a later one may decide about an earlier one.
 *
 * It waits with no device lock held, for `limit_ns` at most, and not at all once `give_up_after` holds in a
 * row have reached that limit: then the guard is stopped or gone, and the kernel goes on as without us. When
 * the guard ends, its links close and these programs are gone.
 */
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "hold.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Of the kernel's types only what is used here; libbpf finds the fields where this kernel has them. */
struct kobject {
	const char *name;
} __attribute__((preserve_access_index));

struct bus_type {
	const char *name;
} __attribute__((preserve_access_index));

struct device {
	struct kobject kobj;
	const struct bus_type *bus;
} __attribute__((preserve_access_index));

struct pci_dev {
	struct device dev;
} __attribute__((preserve_access_index));

/* Settings, by the guard before it attaches. */
const volatile __u64 limit_ns = 1000000000;
const volatile __u64 late_ns = 50000000;
const volatile __u32 give_up_after = 3;

struct hold_counters counters;
__s32 waiting;		/* tickets in the map */
__u32 expired_in_a_row; /* set back by the guard when it is awake again */

/* Names of buses that the policy can match. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, HOLD_BUSES_MAX);
	__type(key, struct hold_bus);
	__type(value, __u8);
} buses SEC(".maps");

/* Devices between bus_add_device() and their first probe: not yet marked, or marked by the guard. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, HOLD_TICKETS_MAX);
	__type(key, struct hold_key);
	__type(value, struct hold_ticket);
} tickets SEC(".maps");

/* How the hold of each device that is there ended, for the guard to read. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, HOLD_TICKETS_MAX);
	__type(key, struct hold_key);
	__type(value, struct hold_outcome);
} outcomes SEC(".maps");

/* Devices that wait for longer than usual: whoever of the guard can still run shall decide. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, HOLD_LATE_BYTES);
} late SEC(".maps");

/* The length of the name with its NUL; 0: its bus is not waited for. */
static __always_inline long make_key(struct device *dev, struct hold_key *key)
{
	const struct bus_type *bus = dev->bus;

	__builtin_memset(key, 0, sizeof(*key));
	if (!bus)
		return 0;
	bpf_probe_read_kernel_str(key->bus.name, sizeof(key->bus.name), bus->name);
	if (!bpf_map_lookup_elem(&buses, &key->bus))
		return 0;
	return bpf_probe_read_kernel_str(key->name, sizeof(key->name), dev->kobj.name);
}

static __always_inline void take_back(struct hold_key *key)
{
	if (bpf_map_delete_elem(&tickets, key) == 0)
		__sync_fetch_and_add(&waiting, -1);
}

static __always_inline void issue_ticket(struct device *dev)
{
	struct hold_ticket ticket = {};
	struct hold_key key;

	if (make_key(dev, &key) <= 0)
		return;
	/* What became of another device of this name is not to be taken for what becomes of this one. */
	bpf_map_delete_elem(&outcomes, &key);
	take_back(&key);
	if (expired_in_a_row >= give_up_after)
		return;
	if (bpf_map_update_elem(&tickets, &key, &ticket, BPF_ANY) < 0)
		__sync_fetch_and_add(&counters.no_room, 1);
	else
		__sync_fetch_and_add(&waiting, 1);
}

struct wait {
	struct hold_key *key;
	__u64 start, now;
	__u32 mark;
	__u32 function; /* where in the name its number stands; 0: not PCI */
	bool told;
};

static __always_inline bool another_waits(const struct wait *w)
{
	struct hold_key key = *w->key;

	for (char f = '0'; f < '8'; f++) {
		const struct hold_ticket *ticket;

		key.name[w->function & (sizeof(key.name) - 1)] = f;
		ticket = bpf_map_lookup_elem(&tickets, &key);
		if (ticket && ticket->mark == HOLD_WAITS)
			return true;
	}
	return false;
}

/* One look at the ticket; 1 ends the loop. */
static long look(__u32 i, struct wait *w)
{
	const struct hold_ticket *ticket = NULL;

	(void)i;
	/* Several times over: the most turns that a loop may have would be over in some 0.4 s on a fast
	 * machine, with one each, and the limit is longer. */
#pragma unroll
	for (int n = 0; n < 6; n++)
		ticket = bpf_map_lookup_elem(&tickets, w->key);
	w->now = bpf_ktime_get_ns();
	w->mark = ticket ? ticket->mark : HOLD_LET_GO;
	if (w->mark == HOLD_DECIDED && w->function && another_waits(w))
		w->mark = HOLD_WAITS;
	/*
	 * Where the kernel does not preempt itself, the thread that has the device in hand may have been
	 * woken on the very CPU that waits here: it gets no time before the wait is over. One on another CPU
	 * does.
	 */
	if (w->mark == HOLD_WAITS && !w->told && w->now - w->start >= late_ns)
		w->told = bpf_ringbuf_output(&late, w->key, sizeof(*w->key), BPF_RB_FORCE_WAKEUP) == 0;
	return w->mark != HOLD_WAITS || w->now - w->start >= limit_ns;
}

static __always_inline void hold(struct device *dev, bool pci)
{
	struct hold_outcome outcome = {};
	struct hold_key key;
	struct wait w = { .key = &key };
	long key_length;

	key_length = make_key(dev, &key);
	if (key_length < 2 || !bpf_map_lookup_elem(&tickets, &key))
		return;
	if (pci)
		w.function = key_length - 2; /* "0000:01:00.0": the last before the NUL */
	w.start = w.now = bpf_ktime_get_ns();
	if (expired_in_a_row < give_up_after)
		bpf_loop(1 << 23, look, &w, 0); /* the most there may be */

	outcome.waited_ns = w.now - w.start;
	outcome.mark = w.mark;
	__sync_fetch_and_add(&counters.holds, 1);
	if (outcome.waited_ns > counters.longest_ns)
		counters.longest_ns = outcome.waited_ns;
	if (w.mark != HOLD_WAITS) {
		expired_in_a_row = 0;
	} else {
		__sync_fetch_and_add(&counters.expired, 1);
		__sync_fetch_and_add(&expired_in_a_row, 1);
	}
	/* One that is there already is HOLD_RACED: the ticket has gone with it, not with a decision. */
	bpf_map_update_elem(&outcomes, &key, &outcome, BPF_NOEXIST);
	take_back(&key);
}

static __always_inline bool is_pci(struct device *dev)
{
	char name[5] = {}; /* one more than "pci" has: "pci_express" is another bus */

	bpf_probe_read_kernel_str(name, sizeof(name), dev->bus->name);
	return name[0] == 'p' && name[1] == 'c' && name[2] == 'i' && name[3] == '\0';
}

/*
 * The kernel runs no program a second time on a CPU while it is running there (a miss in its recursion
 * counter), and one that adds a device may be preempted by another that does. So each comes in copies: one
 * that finds no ticket any more does nothing, and one that issues it again changes nothing.
 */
#define TICKET(n)                                                                                            \
	SEC("fentry/bus_add_device")                                                                         \
	int BPF_PROG(on_bus_add_device_##n, struct device *dev)                                              \
	{                                                                                                    \
		issue_ticket(dev);                                                                           \
		return 0;                                                                                    \
	}

#define HOLD_ON_BUS(n)                                                                                       \
	SEC("fentry/bus_probe_device")                                                                       \
	int BPF_PROG(on_bus_probe_device_##n, struct device *dev)                                            \
	{                                                                                                    \
		/* PCI drivers match from pci_bus_add_device() on only; what this call would find is         \
		 * nothing. */                                                                               \
		if (dev->bus && !is_pci(dev))                                                                \
			hold(dev, false);                                                                    \
		return 0;                                                                                    \
	}

#define HOLD_ON_PCI(n)                                                                                       \
	SEC("fentry/pci_bus_add_device")                                                                     \
	int BPF_PROG(on_pci_bus_add_device_##n, struct pci_dev *pdev)                                        \
	{                                                                                                    \
		hold(&pdev->dev, true);                                                                      \
		return 0;                                                                                    \
	}

TICKET(1)
TICKET(2)
HOLD_ON_BUS(1)
HOLD_ON_BUS(2)
HOLD_ON_BUS(3)
HOLD_ON_PCI(1)
HOLD_ON_PCI(2)
HOLD_ON_PCI(3)

/*
 * A driver that is registered meanwhile looks at all devices of its bus, also at those whose adder waits (not
 * on PCI, where these are not yet to be looked at). That cannot be held up here, but it is not passed over.
 */
SEC("fentry/really_probe")
int BPF_PROG(on_really_probe, struct device *dev)
{
	struct hold_outcome outcome = { .mark = HOLD_RACED };
	const struct hold_ticket *ticket;
	struct hold_key key;

	if (make_key(dev, &key) <= 0)
		return 0;
	ticket = bpf_map_lookup_elem(&tickets, &key);
	if (!ticket || ticket->mark == HOLD_DECIDED)
		return 0;
	bpf_map_update_elem(&outcomes, &key, &outcome, BPF_ANY);
	take_back(&key);
	return 0;
}

/* Also of a device whose addition failed: nobody else takes its ticket back. */
SEC("fentry/bus_remove_device")
int BPF_PROG(on_bus_remove_device, struct device *dev)
{
	struct hold_key key;

	if (make_key(dev, &key) <= 0)
		return 0;
	take_back(&key);
	bpf_map_delete_elem(&outcomes, &key);
	return 0;
}
