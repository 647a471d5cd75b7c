/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The hold, as the guard uses it: load the BPF programs, say which buses, mark tickets, read how holds ended.
 * Where it cannot be had every call is harmless, and hold_why_not() says why.
 */
#pragma once

#include "hold.h"

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

/* Lets a device go on to its first probe. From any thread. */
void hold_release(struct hold *hold, const char *bus, const char *name);

/* Whether another function of a PCI device's slot is being added, too, and has not come to its first probe.
 */
bool hold_siblings_wait(struct hold *hold, const char *bus, const char *name);

/* Lets all of them go: after lost messages, when nobody knows who waits. */
void hold_release_all(struct hold *hold);

/*
 * How the hold of a device ended, as long as the device is there. An enum hold_mark; -EAGAIN: it has not
 * ended, or is still to come; -ENOENT: it was not held.
 */
int hold_outcome(struct hold *hold, const char *bus, const char *name, uint64_t *ret_waited_ns);

/* Whether the device's first probe is still to come and is held, or will be. */
bool hold_awaits(struct hold *hold, const char *bus, const char *name);

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
