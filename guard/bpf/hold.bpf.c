/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
/*
 * The hold: between a device's `add` uevent and its first probe the kernel waits until the guard has decided.
 *
 *   device_add()
 *     bus_add_device()        <- here a ticket is issued, if the policy can match the bus
 *     kobject_uevent(add)        the guard receives it, writes the override, marks the ticket
 *     bus_probe_device()      <- here the kernel waits for the mark
 *     really_probe()          <- here the first driver is noted
 *
 * PCI drivers are matched later, in pci_bus_add_device(), so devices on PCI wait there instead.
 *
 * PCI functions of one slot wait for one another's marks: they often share an IOMMU group, all of them have
 * been announced before the first is probed, and the decision about a later one may, through its group, be
 * one about an earlier one.
 *
 * Devices that no rule can match, by what they are or by their group, do not wait (filter.bpf.h).
 *
 * The kernel waits without the device's own lock, but other locks may be held: that of a physical function
 * while its virtual functions are made, of a parent that makes its children, of PCI's or ACPI's hot-plug. It
 * waits for `limit_ns` at most, and not at all
 * - once HOLD_LIMITS_SPENT_MAX limits were spent in all, on however many devices, without a decision: the
 *   guard is then stopped or gone, and the kernel goes on as if there were none;
 * - once the guard has ended, however it ended: waits that are going on end, too, although closing a link
 *   does not stop a program that runs; one that was told to end has `grace_ns` for what it has begun;
 * - while user space is frozen for suspend or hibernation, when nobody could decide;
 * - after a wait that kept the guard itself from running (one CPU, and a kernel that does not preempt).
 */
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#ifdef __bpf__ /* else the programs are functions, for tests */
#include <bpf/bpf_tracing.h>
#endif

#include "guard/bpf/filter.bpf.h"
#include "guard/bpf/hold-abi.h"
#include "guard/bpf/kernel-types.bpf.h"
#include "guard/bpf/ticket.bpf.h"
#include "guard/bpf/witness.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Settings; the guard may change them before it loads the programs. */
const volatile __u64 late_ns = 50000000;	/* after that the guard's standby threads are told */
const volatile __u64 late_again_ns = 200000000; /* and after that again, should one be stuck */

__u64 limit_ns; /* how long the kernel waits for one device at most; the guard may change it at any time */
__u64 spent_ns; /* how long it has waited since the guard decided last; the guard resets it to resume the hold
		 */
__u32 has_ended; /* the guard has, or is about to */
__u64 grace_ns; /* a guard that has been told to end is waited for so long: it decides about what it has begun
		 */
__u64 ends_at_ns;  /* when that time is over; 0: it has not been told */
__u32 is_frozen;   /* user space is */
__u32 is_kept_out; /* a hold kept the guard itself from running; the guard resets it to resume the hold */

/* The hold that has reached the limit last: how long it waited, so that the guard can tell how long it would
 * have needed. */
__u64 expired_number, expired_start_ns, expired_end_ns;

/* Devices that have waited for longer than usual: a standby thread of the guard must decide about them. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, HOLD_LATE_BYTES);
} late SEC(".maps");

static __always_inline bool hold_can_end(__u64 now)
{
	return !has_ended && !is_frozen && !is_kept_out && (!ends_at_ns || now < ends_at_ns);
}

static __always_inline bool hold_may_wait(__u64 now)
{
	return hold_can_end(now) && spent_ns < HOLD_LIMITS_SPENT_MAX * limit_ns;
}

/* Without a pointer: of what lies in memory, a function that is verified by itself knows numbers only. */
struct hold_wait {
	struct hold_late_device device;
	__u64 number, start, now;
	__u64 counted; /* up to then it is part of `spent_ns` */
	__u32 mark;
	__u32 function; /* where the name has the PCI function's number; 0: not on PCI */
	__u32 told;	/* how often the standby threads have been told */
	bool is_over;	/* it has lasted too long, or nobody can end it */
};

/*
 * Functions that are not static are verified once, by themselves, and not again for each way by which each
 * program can come to them: newer kernels would take half a minute and 100 MB for that, and go through what
 * bpf_loop() calls for each way out of its last round. Their pointers may be NULL, for all that is known.
 */

/*
 * Whether a function of the same slot, the device itself included, is not decided about yet. function: where
 * the name has its number.
 */
__noinline int hold_sibling_waits(const struct hold_key *own, __u32 function)
{
	struct hold_key key;

	if (!own)
		return 0;
	key = *own;
#pragma nounroll
	for (int f = '0'; f < '8'; f++) {
		const struct hold_ticket *ticket;

		key.name[function & (sizeof(key.name) - 1)] = (char)f;
		ticket = bpf_map_lookup_elem(&tickets, &key);
		if (ticket && ticket_mark(ticket->number) == HOLD_WAITS)
			return 1;
	}
	return 0;
}

/*
 * Without kernel preemption, the guard's thread that handles this device may have been woken on the very CPU
 * that waits here, and cannot run before the wait is over. A standby thread on another CPU can.
 */
static __always_inline void hold_tell_standby(struct hold_wait *w)
{
	const __u64 due_ns = w->told == 0 ? late_ns : late_again_ns;

	if (w->told > 1 || w->now - w->start < due_ns)
		return;
	w->device.again = w->told;
	if (bpf_ringbuf_output(&late, &w->device, sizeof(w->device), BPF_RB_FORCE_WAKEUP) == 0)
		w->told++;
}

/* Adds what was waited to what was spent, in steps: many CPUs may wait at the same time. */
static __always_inline void hold_spend(struct hold_wait *w, __u64 step_ns)
{
	if (w->now - w->counted < step_ns)
		return;
	__sync_fetch_and_add(&spent_ns, w->now - w->counted);
	w->counted = w->now;
}

/*
 * Eight times per iteration: bpf_loop() is limited to 1 << 23 iterations, which a fast CPU would finish in
 * 0.2 s.
 */
static __always_inline void hold_read_clock(struct hold_wait *w)
{
#pragma unroll
	for (int n = 0; n < 8; n++)
		w->now = bpf_ktime_get_ns();
}

/* Checks the ticket once. 1: the wait is over. */
__noinline int hold_check_ticket(struct hold_wait *w)
{
	if (!w)
		return 1;
	hold_read_clock(w);
	w->mark = ticket_mark(w->number);
	if (w->mark == HOLD_DECIDED && w->function && hold_sibling_waits(&w->device.key, w->function))
		w->mark = HOLD_WAITS;
	if (w->mark != HOLD_WAITS)
		return 1;
	hold_spend(w, 1000000);
	if (w->now - w->start >= limit_ns || !hold_may_wait(w->now)) {
		w->is_over = true;
		return 1;
	}
	hold_tell_standby(w);
	return 0;
}

/* Called by bpf_loop(). 1 ends the loop. */
static long hold_step(__u32 i, struct hold_wait *w)
{
	(void)i;
	return hold_check_ticket(w) != 0;
}

/* The kernel goes on without a decision. */
static __always_inline void hold_give_up(const struct hold_wait *w, const struct hold_key *key)
{
	if (!hold_can_end(w->now)) {
		__sync_fetch_and_add(&counters.let_go, 1);
		return;
	}
	__sync_fetch_and_add(&counters.expired, 1);
	expired_number = 0;
	expired_start_ns = w->start;
	expired_end_ns = w->now;
	expired_number = w->number;
	if (witness_expiry(key, w->number, w->now - w->start))
		is_kept_out = 1;
}

/* The wait is over: counts it and ends the hold. */
__noinline int hold_end(struct hold_wait *w)
{
	struct hold_key key;
	__u64 waited_ns;

	if (!w)
		return 0;
	key = w->device.key;
	waited_ns = w->now - w->start;
	__sync_fetch_and_add(&counters.holds, 1);
	__sync_fetch_and_add(&counters.waited_ns, waited_ns);
	if (waited_ns > counters.longest_ns)
		counters.longest_ns = waited_ns;
	if (w->mark == HOLD_WAITS) {
		hold_spend(w, 1);
		hold_give_up(w, &key);
	} else {
		spent_ns = 0;
		if (w->mark == HOLD_DECIDED && waited_ns > counters.longest_decided_ns)
			counters.longest_decided_ns = waited_ns;
	}
	ticket_pass(&key, w->number, HOLD_EXPIRED);
	return 0;
}

/* No rule can match the device: it goes on at once. */
__noinline int hold_spare(const struct hold_key *device, __u64 number)
{
	struct hold_key key;

	if (!device)
		return 0;
	key = *device;
	__sync_fetch_and_add(&counters.spared, 1);
	ticket_pass(&key, number, HOLD_SPARED);
	return 0;
}

static __always_inline void hold_device(struct device___local *dev, bool pci)
{
	struct hold_wait w = { .mark = HOLD_WAITS };
	struct filter_device filtered = { .address = (__u64)dev, .is_pci = pci };
	long key_length;

	if (tickets_held <= 0)
		return;
	key_length = key_of_device(dev, &w.device.key);
	if (key_length < 2)
		return;
	w.number = filtered.number = ticket_number_of(&w.device.key, dev);
	if (!w.number || !ticket_is_held(w.number))
		return;
	if (filter_spares(&w.device.key, &filtered)) {
		hold_spare(&w.device.key, w.number);
		return;
	}
	if (pci)
		w.function = key_length - 2; /* "0000:01:00.0": the last character */
	w.start = w.now = w.counted = bpf_ktime_get_ns();
	/* As many iterations as there may be, and as many again where the CPU is that fast. */
	bpf_loop(1 << 23, hold_step, &w, 0);
	if (w.mark == HOLD_WAITS && !w.is_over)
		bpf_loop(1 << 23, hold_step, &w, 0);
	hold_end(&w);
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
 * copies. A copy that finds the hold ended, or the ticket issued, does nothing.
 */
#define ISSUE_ON_BUS_ADD(n)                                                                                  \
	SEC("fentry/bus_add_device")                                                                         \
	int BPF_PROG(issue_on_bus_add_##n, struct device___local *dev)                                       \
	{                                                                                                    \
		ticket_issue(dev, hold_may_wait(bpf_ktime_get_ns()));                                        \
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
 * held (except on PCI, where these do not match yet). This cannot be held up here, but it is noticed. One
 * that has matched before the mark and probes later, asynchronously, is noticed as the first driver.
 */
#define NOTE_ON_REALLY_PROBE(n)                                                                              \
	SEC("fentry/really_probe")                                                                           \
	int BPF_PROG(note_on_really_probe_##n, struct device___local *dev,                                   \
		     struct device_driver___local *driver)                                                   \
	{                                                                                                    \
		ticket_note_probe(dev, driver);                                                              \
		return 0;                                                                                    \
	}

NOTE_ON_REALLY_PROBE(1)
NOTE_ON_REALLY_PROBE(2)

static __always_inline void ticket_drop_of(struct device___local *dev)
{
	struct hold_key key;

	if (last_ticket && key_of_device(dev, &key) > 0)
		ticket_drop(&key, (__u64)dev);
}

/* The addition of a device may fail after it was announced. */
SEC("fentry/bus_remove_device")
int BPF_PROG(drop_on_bus_remove, struct device___local *dev)
{
	ticket_drop_of(dev);
	return 0;
}

/* It may fail before that, too. Nobody would ever decide about this ticket, and functions of its slot would
 * wait. */
SEC("fexit/bus_add_device")
int BPF_PROG(drop_on_failed_add, struct device___local *dev, int error)
{
	if (error)
		ticket_drop_of(dev);
	return 0;
}

/*
 * The guard ends, however it was made to: by its first thread that exits once the whole process has been told
 * to, since others may sleep in the kernel for long; or by the last one. A thread that exits alone changes
 * nothing.
 */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(end_on_guard_exit, struct task_struct___local *task)
{
	if ((__u32)task->tgid == guard_tgid &&
	    ((task->signal->flags & SIGNAL_GROUP_EXIT___local) || task->signal->live.counter == 0))
		has_ended = 1;
	return 0;
}

/*
 * It is killed, or told to end. The first is its end whatever it is doing; the second leaves it some time, in
 * which it may not get to run where its CPU is busy.
 */
SEC("tp_btf/signal_generate")
int BPF_PROG(end_on_guard_signal, int number, void *info, struct task_struct___local *task)
{
	if ((__u32)task->tgid != guard_tgid)
		return 0;
	if (number == SIGKILL___local)
		has_ended = 1;
	else if ((number == SIGTERM___local || number == SIGINT___local) && !ends_at_ns)
		ends_at_ns = bpf_ktime_get_ns() + grace_ns;
	return 0;
}

SEC("fentry/freeze_processes")
int BPF_PROG(freeze_on_freeze_processes)
{
	is_frozen = 1;
	return 0;
}

/* It comes also when freezing has failed. */
SEC("fexit/thaw_processes")
int BPF_PROG(thaw_on_thaw_processes)
{
	is_frozen = 0;
	return 0;
}
