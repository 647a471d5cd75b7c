/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The hold, as the guard uses it: loads the BPF programs, tells them the buses, marks tickets, reads how
 * holds ended. bpf/hold.bpf.c says what the programs do. Where there is no hold every call is harmless, and
 * hold_why_not() tells the reason.
 */
#pragma once

#include "guard/bpf/hold-abi.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hold;
struct hold_filter;

/*
 * Loads and attaches the programs. limit_usec: how long the kernel waits for one device at most; 0: nothing
 * is loaded, the kernel never waits. NULL only without memory; hold_why_not() says whether there is a hold.
 */
struct hold *hold_new(uint64_t limit_usec);

/* Detaches the programs: the kernel goes on at once. */
struct hold *hold_free(struct hold *hold);

/* The guard is about to end: devices that are held go on at once, and no more are held. */
void hold_let_go(struct hold *hold);

/*
 * From now on the kernel waits so long for a guard that has been told to end by SIGTERM or SIGINT;
 * HOLD_GRACE_USEC before that is called. A guard that is killed is not waited for.
 */
#define HOLD_GRACE_USEC 5000U
void hold_set_grace(struct hold *hold, uint64_t grace_usec);

/* From now on the kernel waits so long for one device at most. */
void hold_set_limit(struct hold *hold, uint64_t limit_usec);

/*
 * How long the longest hold has lasted until the guard's decision, or would have had to last. Not where only
 * the hold itself kept the guard from deciding.
 */
uint64_t hold_needed_usec(const struct hold *hold);

/* NULL: there is a hold. Else the reason why not, for people. */
const char *hold_why_not(const struct hold *hold);

/* What the hold cannot do on this kernel, as the rest of a sentence; "": nothing. */
const char *hold_reservation(const struct hold *hold);

/*
 * From now on the kernel waits for devices on the buses of the filter, and on no others; of devices that are
 * added from now on it waits only for those that the filter does not spare. NULL: for no device.
 */
void hold_set_filter(struct hold *hold, const struct hold_filter *filter);

/* From now on no device is spared, until the next filter is set. To be called before another policy is in
 * force. */
void hold_suspend_filter(struct hold *hold);

/*
 * The ticket of a device that is being added. 0: it has none, because the kernel does not wait for it, or no
 * longer. A caller must ask before it finds out anything else about the device: if another device takes the
 * name later, what was found out may be about that one, and this ticket is not its ticket.
 */
uint64_t hold_ticket(struct hold *hold, const char *bus, const char *name);

/*
 * Lets the device with this ticket go on to its first probe. True: no driver has looked at it until now.
 * Ticket 0 does nothing. From any thread.
 */
bool hold_release(struct hold *hold, uint64_t ticket);

/*
 * The first driver that probed the device with this ticket, "" while none has. 0; -ENOENT: that is not known.
 * Names of 32 bytes and more are cut off.
 */
int hold_first_driver(struct hold *hold, uint64_t ticket, char *driver, size_t size);

/* Whether another function of a PCI device's slot is being added as well, and has not been probed yet. */
bool hold_siblings_wait(struct hold *hold, const char *bus, const char *name);

/* Whether the kernel waits for devices now, or will. */
bool hold_is_waiting(struct hold *hold);

/* Releases every device that has a ticket now: messages were lost, so some of them will not be decided. */
void hold_release_all(struct hold *hold);

/*
 * How the hold of a device on this bus ended: HOLD_PASSED, HOLD_EXPIRED, HOLD_PROBED_EARLY or HOLD_SPARED.
 * -EAGAIN: it has not ended yet; -ENOENT: that is not known.
 */
int hold_outcome(struct hold *hold, const char *bus, uint64_t ticket);

/*
 * Closes the descriptors that keep the programs attached, in the calling thread's own table of descriptors.
 * A thread that sleeps in the kernel outlives the guard with all that its table has open, and the kernel must
 * not wait for a guard that is dead. To be called once per table: see thread_start(), the only caller.
 */
void hold_disown(struct hold *hold);

/* Counters since the start; zeros without a hold. */
void hold_count(const struct hold *hold, struct hold_counters *ret);

/* Whether the programs do not wait any more: holds have reached the limit again and again, or kept out the
 * guard. */
bool hold_has_given_up(const struct hold *hold);

/* Whether they do not because a hold kept the guard itself from running: it was runnable, but not elsewhere.
 */
bool hold_keeps_guard_out(const struct hold *hold);

/* Whether they do not because user space is frozen, for suspend or hibernation. */
bool hold_is_frozen(const struct hold *hold);

/* What the first hold that reached its limit saw. False: none has. */
bool hold_first_expiry(const struct hold *hold, struct hold_expiry *ret);

/*
 * Where the guard's threads are now, a line each: its number, state and CPU, its priority in the kernel, and
 * the kernel functions that it is in, the innermost first. 0 or negative errno. For the main thread.
 */
int hold_show_guard(struct hold *hold, char *text, size_t size);

/* Makes programs that have given up wait again, because the guard is awake. */
void hold_rearm(struct hold *hold);

/* A listener for devices whose hold takes longer than usual. All listeners share the devices. */
struct hold_late;

/* NULL: there is no hold, or no memory. */
struct hold_late *hold_late_new(struct hold *hold);

/* Waits for a late device. 1: *ret names it; 0: another listener has taken it; negative errno. */
int hold_late_wait(struct hold_late *late, struct hold_late_device *ret);
