/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A hold without a kernel, in place of guard/holding.c: tickets are issued by the test, and what the kernel
 * would do when a device comes to its first probe, too.
 */
#pragma once

#include "holding.h"

/* A device is being added; its ticket. One of an earlier device of that name is void. */
uint64_t fake_hold_issue(struct hold *hold, const char *bus, const char *name);

/* What is known of a ticket. */
enum hold_mark fake_hold_mark(struct hold *hold, uint64_t ticket);

/* The hold ends: the device goes on to its first probe, decided about or not. */
void fake_hold_end(struct hold *hold, uint64_t ticket);

/* A driver that is just registered looks at the device. */
void fake_hold_race(struct hold *hold, uint64_t ticket);
