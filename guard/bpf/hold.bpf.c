/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
/*
 * The hold: between a device's `add` uevent and its first probe the kernel waits until the guard has decided.
 *
 *   device_add()
 *     bus_add_device()        <- here a ticket is issued, for buses that the policy can match
 *     kobject_uevent(add)        the guard hears it, writes the override, marks the ticket
 *     bus_probe_device()      <- here the kernel waits for the mark; on PCI, where drivers are looked at
 * later, pci_bus_add_device()      <- here
 *
 * A ticket has a number of its own, so that a mark is for this device and not for the next one of its name.
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
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#include "guard/bpf/hold-abi.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Of the kernel's types only what is used here; libbpf finds the fields where this kernel has them. */
struct kobject {
	const char *name;
	unsigned int uevent_suppress : 1;
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
__u64 issued;		/* numbers of tickets, from 1 */
__u64 released;		/* up to this number nobody waits any more: the guard has lost messages */

/*
 * What is known of each ticket, HOLD_WORD(number, mark), at the place of its number; the latest
 * HOLD_TICKETS_MAX of them. Whoever changes one compares: the guard marks it, really_probe() finds a race,
 * the hold ends.
 */
__u64 words[HOLD_TICKETS_MAX];

/* Names of buses that the policy can match. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, HOLD_BUSES_MAX);
	__type(key, struct hold_bus);
	__type(value, __u8);
} buses SEC(".maps");

/* The tickets of devices between bus_add_device() and their first probe. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, HOLD_TICKETS_MAX);
	__type(key, struct hold_key);
	__type(value, __u64);
} tickets SEC(".maps");

/* Devices that wait for longer than usual: whoever of the guard can still run shall decide. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, HOLD_LATE_BYTES);
} late SEC(".maps");

/* The length of the name with its NUL; 0: it is on no bus. */
static __always_inline long make_key(struct device *dev, struct hold_key *key)
{
	const struct bus_type *bus = dev->bus;

	__builtin_memset(key, 0, sizeof(*key));
	if (!bus)
		return 0;
	bpf_probe_read_kernel_str(key->bus.name, sizeof(key->bus.name), bus->name);
	return bpf_probe_read_kernel_str(key->name, sizeof(key->name), dev->kobj.name);
}

static __always_inline void take_back(struct hold_key *key)
{
	if (bpf_map_delete_elem(&tickets, key) == 0)
		__sync_fetch_and_add(&waiting, -1);
}

static __always_inline void issue_ticket(struct device *dev)
{
	struct hold_key key;
	__u64 number;

	/* A device of which no message is sent (amba, while it cannot be identified) nobody could decide
	 * about. */
	if (make_key(dev, &key) <= 0 || !bpf_map_lookup_elem(&buses, &key.bus) ||
	    BPF_CORE_READ_BITFIELD(&dev->kobj, uevent_suppress))
		return;
	take_back(&key);
	if (expired_in_a_row >= give_up_after)
		return;
	number = __sync_fetch_and_add(&issued, 1) + 1;
	words[number % HOLD_TICKETS_MAX] = HOLD_WORD(number, HOLD_WAITS);
	if (bpf_map_update_elem(&tickets, &key, &number, BPF_ANY) < 0)
		__sync_fetch_and_add(&counters.no_room, 1);
	else
		__sync_fetch_and_add(&waiting, 1);
}

/* 0: none. */
static __always_inline __u64 ticket_of(const struct hold_key *key)
{
	const __u64 *number = bpf_map_lookup_elem(&tickets, key);

	return number ? *number : 0;
}

static __always_inline __u32 mark_of(__u64 number)
{
	__u64 word = words[number % HOLD_TICKETS_MAX];

	if (word == HOLD_WORD(number, HOLD_WAITS))
		return number <= released ? HOLD_EXPIRED : HOLD_WAITS;
	/* Of another: so many came in the meantime that nobody knows any more. */
	return HOLD_NUMBER(word) == number ? HOLD_MARK(word) : HOLD_EXPIRED;
}

/* True: it was `from`. */
static __always_inline bool change_mark(__u64 number, __u32 from, __u32 to)
{
	__u64 before = HOLD_WORD(number, from);

	return __sync_val_compare_and_swap(&words[number % HOLD_TICKETS_MAX], before,
					   HOLD_WORD(number, to)) == before;
}

struct wait {
	struct hold_key *key;
	__u64 number, start, now;
	__u32 mark;
	__u32 function; /* where in the name its number stands; 0: not PCI */
	bool told;
};

static __always_inline bool another_waits(const struct wait *w)
{
	struct hold_key key = *w->key;

	/* Linux 6.1 takes no loop in a callback. */
#pragma unroll
	for (char f = '0'; f < '8'; f++) {
		__u64 number;

		key.name[w->function & (sizeof(key.name) - 1)] = f;
		number = ticket_of(&key);
		if (number && mark_of(number) == HOLD_WAITS)
			return true;
	}
	return false;
}

/* One look at the ticket; 1 ends the loop. */
static long look(__u32 i, struct wait *w)
{
	(void)i;
	/* Several times over: the most turns that a loop may have would be over in a fifth of a second on a
	 * fast machine, with one each. */
#pragma unroll
	for (int n = 0; n < 8; n++)
		w->now = bpf_ktime_get_ns();
	w->mark = mark_of(w->number);
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
	struct hold_key key;
	struct wait w = { .key = &key };
	long key_length;

	if (waiting <= 0)
		return;
	key_length = make_key(dev, &key);
	if (key_length < 2)
		return;
	w.number = ticket_of(&key);
	if (!w.number)
		return;
	if (pci)
		w.function = key_length - 2; /* "0000:01:00.0": the last before the NUL */
	w.start = w.now = bpf_ktime_get_ns();
	if (expired_in_a_row < give_up_after) {
		/* The most turns there may be, and once more where a machine is so fast. */
		bpf_loop(1 << 23, look, &w, 0);
		if (w.mark == HOLD_WAITS && w.now - w.start < limit_ns)
			bpf_loop(1 << 23, look, &w, 0);
	}

	__sync_fetch_and_add(&counters.holds, 1);
	if (w.now - w.start > counters.longest_ns)
		counters.longest_ns = w.now - w.start;
	if (w.mark != HOLD_WAITS) {
		expired_in_a_row = 0;
	} else {
		__sync_fetch_and_add(&counters.expired, 1);
		__sync_fetch_and_add(&expired_in_a_row, 1);
	}
	/* One that lost a race stays so. */
	if (!change_mark(w.number, HOLD_DECIDED, HOLD_PASSED))
		change_mark(w.number, HOLD_WAITS, HOLD_EXPIRED);
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
 * on PCI, where these are not yet to be looked at). That cannot be held up here, but it is not passed over:
 * whoever probes a device before its hold has ended may have matched it before the mark.
 */
#define RACE(n)                                                                                              \
	SEC("fentry/really_probe")                                                                           \
	int BPF_PROG(on_really_probe_##n, struct device *dev)                                                \
	{                                                                                                    \
		struct hold_key key;                                                                         \
		__u64 number;                                                                                \
                                                                                                             \
		if (waiting <= 0 || make_key(dev, &key) <= 0)                                                \
			return 0;                                                                            \
		number = ticket_of(&key);                                                                    \
		if (number && !change_mark(number, HOLD_WAITS, HOLD_PROBED_EARLY))                           \
			change_mark(number, HOLD_DECIDED, HOLD_PROBED_EARLY);                                \
		return 0;                                                                                    \
	}

RACE(1)
RACE(2)

/* Also of a device whose addition failed: nobody else takes its ticket back. */
SEC("fentry/bus_remove_device")
int BPF_PROG(on_bus_remove_device, struct device *dev)
{
	struct hold_key key;

	if (waiting > 0 && make_key(dev, &key) > 0)
		take_back(&key);
	return 0;
}
