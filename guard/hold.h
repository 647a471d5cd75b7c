/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The hold, as the guard uses it: load the BPF programs, say which buses, mark tickets, read how holds ended.
 * Where it cannot be had every call is harmless, and hold_why_not() says why.
 */
#pragma once

#include "guard/bpf/hold-abi.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hold;

/*
 * Loads and attaches. Always returns an object (NULL only without memory); whether it holds says
 * hold_why_not(). limit_usec: how long the kernel waits at most; 0: nothing is loaded, the kernel never
 * waits.
 */
struct hold *hold_new(uint64_t limit_usec);

/* Detaches: the kernel runs free at once. */
struct hold *hold_free(struct hold *hold);

/* NULL: holding. Else the reason, for people. */
const char *hold_why_not(const struct hold *hold);

/* The buses that are waited for from now on, in place of those before. */
void hold_set_buses(struct hold *hold, const char *const *buses, size_t n);

/*
 * The ticket of a device that is just being added: its number; 0: there is none, the device is not waited
 * for, or not any more. To be asked before anything else is, so that what is found out then is of this device
 * or of a later one, for which this ticket does not stand.
 */
uint64_t hold_ticket(struct hold *hold, const char *bus, const char *name);

/*
 * Lets the device of this ticket go on to its first probe. True: until now no driver has looked at it. From
 * any thread; with 0 for the ticket nothing happens.
 */
bool hold_release(struct hold *hold, uint64_t ticket);

/* Whether another function of a PCI device's slot is being added, too, and has not come to its first probe.
 */
bool hold_siblings_wait(struct hold *hold, const char *bus, const char *name);

/* Lets all of them go: after lost messages, when nobody knows who waits. */
void hold_release_all(struct hold *hold);

/*
 * What became of a ticket for a device of this bus: HOLD_PASSED, HOLD_LET_GO, HOLD_RACED; -EAGAIN: its first
 * probe is still to come; -ENOENT: nobody knows.
 */
int hold_outcome(struct hold *hold, const char *bus, uint64_t ticket);

/*
 * For a thread that has taken a table of descriptors of its own: gives up its share in what keeps the
 * programs attached. One that sleeps in the kernel outlives the guard, and the kernel shall not wait for a
 * guard that is dead.
 */
void hold_disown(struct hold *hold);

/* Counters since the start; zeros where there is no hold. */
void hold_count(const struct hold *hold, struct hold_counters *ret);

/* So many holds in a row have reached the limit that the programs wait no more. */
bool hold_has_given_up(const struct hold *hold);

/* The guard is awake: programs that gave up waiting for it wait again. */
void hold_rearm(struct hold *hold);

/* Hears of devices whose hold takes longer than usual; each listener hears of all. */
struct hold_late;

/* NULL: there is no hold, or no memory. */
struct hold_late *hold_late_new(struct hold *hold);

/* Waits until one is late. 1: it is *ret; 0: another listener has taken it up; negative errno. */
int hold_late_wait(struct hold_late *late, struct hold_key *ret);
