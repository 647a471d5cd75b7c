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

/*
 * Loads and attaches the programs. limit_usec: how long the kernel waits for one device at most; 0: nothing
 * is loaded, the kernel never waits. NULL only without memory; hold_why_not() says whether there is a hold.
 */
struct hold *hold_new(uint64_t limit_usec);

/* Detaches the programs: the kernel goes on at once. */
struct hold *hold_free(struct hold *hold);

/* NULL: there is a hold. Else the reason why not, for people. */
const char *hold_why_not(const struct hold *hold);

/* From now on the kernel waits for devices on these buses, and on no others. */
void hold_set_buses(struct hold *hold, const char *const *buses, size_t n);

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

/* Whether another function of a PCI device's slot is being added as well, and has not been probed yet. */
bool hold_siblings_wait(struct hold *hold, const char *bus, const char *name);

/* Whether the kernel waits for devices now, or will. */
bool hold_is_waiting(struct hold *hold);

/* Releases every device that has a ticket now: messages were lost, so some of them will not be decided. */
void hold_release_all(struct hold *hold);

/*
 * How the hold of a device on this bus ended: HOLD_PASSED, HOLD_EXPIRED or HOLD_PROBED_EARLY. -EAGAIN: it has
 * not ended yet; -ENOENT: that is not known.
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

/* Whether so many holds in a row have reached the limit that the programs do not wait any more. */
bool hold_has_given_up(const struct hold *hold);

/* Makes programs that have given up wait again, because the guard is awake. */
void hold_rearm(struct hold *hold);

/* A listener for devices whose hold takes longer than usual. All listeners share the devices. */
struct hold_late;

/* NULL: there is no hold, or no memory. */
struct hold_late *hold_late_new(struct hold *hold);

/* Waits for a late device. 1: *ret names it; 0: another listener has taken it; negative errno. */
int hold_late_wait(struct hold_late *late, struct hold_key *ret);
