/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
/*
 * The hold: between a device's `add` uevent and its first probe the kernel waits until the guard has decided.
 *
 *   device_add()
 *     bus_add_device()        <- here a ticket is issued, if the policy can match the bus
 *     kobject_uevent(add)        the guard receives it, writes the override, marks the ticket
 *     bus_probe_device()      <- here the kernel waits for the mark
 *
 * PCI drivers are matched later, in pci_bus_add_device(), so devices on PCI wait there instead.
 *
 * Each ticket has its own number, so that a mark is for this device and not for the next one with its name.
 * PCI functions of one slot wait for one another's marks: they often share an IOMMU group, all of them have
 * been announced before the first is probed, and the decision about a later one may, through its group, be
 * one about an earlier one.
 *
 * The kernel waits with no device lock held, for `limit_ns` at most. It does not wait at all once
 * `give_up_after` holds in a row have reached that limit: the guard is then stopped or gone, and the kernel
 * goes on as if there were none. When the guard ends, its links close and these programs are removed.
 */
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#include "guard/bpf/hold-abi.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/*
 * The fields of the kernel's types that are used here. libbpf ignores what follows ___ in a type's name, and
 * finds the fields where the running kernel has them (CO-RE).
 */
struct kobject___local {
	const char *name;
	unsigned int uevent_suppress : 1;
} __attribute__((preserve_access_index));

struct bus_type___local {
	const char *name;
} __attribute__((preserve_access_index));

struct device___local {
	struct kobject___local kobj;
	const struct bus_type___local *bus;
} __attribute__((preserve_access_index));

struct pci_dev___local {
	struct device___local dev;
} __attribute__((preserve_access_index));

/* Settings; the guard may change them before it loads the programs. */
const volatile __u64 limit_ns = 1000000000; /* how long the kernel waits for one device at most */
const volatile __u64 late_ns = 50000000;    /* after that the guard's standby threads are told */
const volatile __u32 give_up_after = 3;	    /* holds in a row that reach the limit */

struct hold_counters counters;
__s32 tickets_open;	/* how many are in `tickets` */
__u32 expired_in_a_row; /* the guard resets it when it resumes the hold */
__u64 last_ticket;	/* the number that was issued last; the first is 1 */
__u64 released_up_to;	/* tickets up to this number do not wait any more: the guard has lost messages */

/*
 * The number and the mark of each ticket, HOLD_WORD(number, mark), in the slot of its number; the latest
 * HOLD_TICKETS_MAX of them. Each change compares and swaps, since several sides change them: the guard marks
 * a ticket, the program in really_probe() notices a race, the hold ends.
 */
__u64 ticket_words[HOLD_TICKETS_MAX];

/* The buses that the policy can match. */
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

/* Devices that have waited for longer than usual: a standby thread of the guard must decide about them. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, HOLD_LATE_BYTES);
} late SEC(".maps");

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

static __always_inline void ticket_drop(struct hold_key *key)
{
	if (bpf_map_delete_elem(&tickets, key) == 0)
		__sync_fetch_and_add(&tickets_open, -1);
}

static __always_inline void ticket_issue(struct device___local *dev)
{
	struct hold_key key;
	__u64 number;

	/* No message is sent about some devices (amba, while it cannot be identified), so none would be
	 * decided about. */
	if (key_of_device(dev, &key) <= 0 || !bpf_map_lookup_elem(&buses, &key.bus) ||
	    BPF_CORE_READ_BITFIELD(&dev->kobj, uevent_suppress))
		return;
	ticket_drop(&key);
	if (expired_in_a_row >= give_up_after)
		return;
	number = __sync_fetch_and_add(&last_ticket, 1) + 1;
	ticket_words[number % HOLD_TICKETS_MAX] = HOLD_WORD(number, HOLD_WAITS);
	if (bpf_map_update_elem(&tickets, &key, &number, BPF_ANY) < 0)
		__sync_fetch_and_add(&counters.no_room, 1);
	else
		__sync_fetch_and_add(&tickets_open, 1);
}

/* 0: the device has none. */
static __always_inline __u64 ticket_find(const struct hold_key *key)
{
	const __u64 *number = bpf_map_lookup_elem(&tickets, key);

	return number ? *number : 0;
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

struct hold_wait {
	struct hold_key *key;
	__u64 number, start, now;
	__u32 mark;
	__u32 function; /* where the name has the PCI function's number; 0: not on PCI */
	bool is_late;	/* the standby threads have been told */
};

/* Whether a function of the same slot, the device itself included, is not decided about yet. */
static __always_inline bool hold_sibling_waits(const struct hold_wait *w)
{
	struct hold_key key = *w->key;

	/* Linux 6.1 refuses loops in a callback of bpf_loop(). */
#pragma unroll
	for (char f = '0'; f < '8'; f++) {
		__u64 number;

		key.name[w->function & (sizeof(key.name) - 1)] = f;
		number = ticket_find(&key);
		if (number && ticket_mark(number) == HOLD_WAITS)
			return true;
	}
	return false;
}

/* Called by bpf_loop(): checks the ticket once. 1 ends the loop. */
static long hold_check_ticket(__u32 i, struct hold_wait *w)
{
	(void)i;
	/*
	 * Read the clock eight times per iteration: bpf_loop() is limited to 1 << 23 iterations, which a fast
	 * CPU would finish in 0.2 s, before `limit_ns`.
	 */
#pragma unroll
	for (int n = 0; n < 8; n++)
		w->now = bpf_ktime_get_ns();
	w->mark = ticket_mark(w->number);
	if (w->mark == HOLD_DECIDED && w->function && hold_sibling_waits(w))
		w->mark = HOLD_WAITS;
	/*
	 * Without kernel preemption, the guard's thread that handles this device may have been woken on the
	 * very CPU that waits here, and cannot run before the wait is over. A standby thread on another CPU
	 * can.
	 */
	if (w->mark == HOLD_WAITS && !w->is_late && w->now - w->start >= late_ns)
		w->is_late = bpf_ringbuf_output(&late, w->key, sizeof(*w->key), BPF_RB_FORCE_WAKEUP) == 0;
	return w->mark != HOLD_WAITS || w->now - w->start >= limit_ns;
}

static __always_inline void hold_device(struct device___local *dev, bool pci)
{
	struct hold_key key;
	struct hold_wait w = { .key = &key };
	long key_length;

	if (tickets_open <= 0)
		return;
	key_length = key_of_device(dev, &key);
	if (key_length < 2)
		return;
	w.number = ticket_find(&key);
	if (!w.number)
		return;
	if (pci)
		w.function = key_length - 2; /* "0000:01:00.0": the last character */
	w.start = w.now = bpf_ktime_get_ns();
	if (expired_in_a_row < give_up_after) {
		/* As many iterations as there may be, and as many again where the CPU is that fast. */
		bpf_loop(1 << 23, hold_check_ticket, &w, 0);
		if (w.mark == HOLD_WAITS && w.now - w.start < limit_ns)
			bpf_loop(1 << 23, hold_check_ticket, &w, 0);
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
	/* HOLD_PROBED_EARLY stays. */
	if (!ticket_change_mark(w.number, HOLD_DECIDED, HOLD_PASSED))
		ticket_change_mark(w.number, HOLD_WAITS, HOLD_EXPIRED);
	ticket_drop(&key);
}

static __always_inline bool device_is_pci(struct device___local *dev)
{
	char name[5] = {}; /* one character more than "pci", since "pci_express" is another bus */

	bpf_probe_read_kernel_str(name, sizeof(name), dev->bus->name);
	return name[0] == 'p' && name[1] == 'c' && name[2] == 'i' && name[3] == '\0';
}

/*
 * The kernel does not run a program a second time on a CPU where it is already running (it counts a miss),
 * and a thread that adds a device may be preempted by another thread that adds one. So each program has
 * copies. A copy that finds no ticket any more does nothing, and a copy that issues the same ticket again
 * changes nothing.
 */
#define ISSUE_ON_BUS_ADD(n)                                                                                  \
	SEC("fentry/bus_add_device")                                                                         \
	int BPF_PROG(issue_on_bus_add_##n, struct device___local *dev)                                       \
	{                                                                                                    \
		ticket_issue(dev);                                                                           \
		return 0;                                                                                    \
	}

#define HOLD_ON_BUS_PROBE(n)                                                                                 \
	SEC("fentry/bus_probe_device")                                                                       \
	int BPF_PROG(hold_on_bus_probe_##n, struct device___local *dev)                                      \
	{                                                                                                    \
		/* On PCI no driver matches before pci_bus_add_device(), so this call does not probe. */     \
		if (dev->bus && !device_is_pci(dev))                                                         \
			hold_device(dev, false);                                                             \
		return 0;                                                                                    \
	}

#define HOLD_ON_PCI_ADD(n)                                                                                   \
	SEC("fentry/pci_bus_add_device")                                                                     \
	int BPF_PROG(hold_on_pci_add_##n, struct pci_dev___local *pdev)                                      \
	{                                                                                                    \
		hold_device(&pdev->dev, true);                                                               \
		return 0;                                                                                    \
	}

ISSUE_ON_BUS_ADD(1)
ISSUE_ON_BUS_ADD(2)
HOLD_ON_BUS_PROBE(1)
HOLD_ON_BUS_PROBE(2)
HOLD_ON_BUS_PROBE(3)
HOLD_ON_PCI_ADD(1)
HOLD_ON_PCI_ADD(2)
HOLD_ON_PCI_ADD(3)

/*
 * A driver that is registered during a hold is matched with all devices of its bus, also with those that are
 * held (except on PCI, where these do not match yet). This cannot be held up here, but it is noticed: a
 * driver that probes a device before its hold has ended may have matched it before the mark.
 */
#define RACE_ON_REALLY_PROBE(n)                                                                              \
	SEC("fentry/really_probe")                                                                           \
	int BPF_PROG(race_on_really_probe_##n, struct device___local *dev)                                   \
	{                                                                                                    \
		struct hold_key key;                                                                         \
		__u64 number;                                                                                \
                                                                                                             \
		if (tickets_open <= 0 || key_of_device(dev, &key) <= 0)                                      \
			return 0;                                                                            \
		number = ticket_find(&key);                                                                  \
		if (number && !ticket_change_mark(number, HOLD_WAITS, HOLD_PROBED_EARLY))                    \
			ticket_change_mark(number, HOLD_DECIDED, HOLD_PROBED_EARLY);                         \
		return 0;                                                                                    \
	}

RACE_ON_REALLY_PROBE(1)
RACE_ON_REALLY_PROBE(2)

/* The addition of a device may fail after its ticket was issued; then only this program drops the ticket. */
SEC("fentry/bus_remove_device")
int BPF_PROG(drop_on_bus_remove, struct device___local *dev)
{
	struct hold_key key;

	if (tickets_open > 0 && key_of_device(dev, &key) > 0)
		ticket_drop(&key);
	return 0;
}
