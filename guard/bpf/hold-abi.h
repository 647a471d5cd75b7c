/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
/* What the BPF programs of the hold and the guard share: keys and values of the maps, marks of tickets. */
#pragma once

#ifndef __bpf__
#include <linux/types.h>
#endif

#define HOLD_BUSES_MAX 64
#define HOLD_TICKETS_MAX 4096
#define HOLD_LATE_BYTES (64 * 1024) /* a power of two, of whole pages on every machine */

struct hold_bus {
	char name[16];
};

/* A device. Longer names are cut off, on both sides alike. */
struct hold_key {
	struct hold_bus bus;
	char name[64];
};

/* What is known about a ticket. */
enum hold_mark {
	HOLD_WAITS,	   /* the guard has not decided about the device yet */
	HOLD_DECIDED,	   /* the guard has decided; the device may go on */
	HOLD_PASSED,	   /* it went on after the decision, before any driver looked at it */
	HOLD_EXPIRED,	   /* it went on without a decision: the limit came first, or messages were lost */
	HOLD_PROBED_EARLY, /* a driver that was just registered probed it before the hold had ended */
};

/* A ticket's number and its mark in one word, which changes atomically. */
#define HOLD_WORD(number, mark) ((__u64)(number) << 3 | (mark))
#define HOLD_NUMBER(word) ((word) >> 3)
#define HOLD_MARK(word) ((__u32)((word)&7))

struct hold_counters {
	__u64 holds;
	__u64 expired;
	__u64 no_room;
	__u64 longest_ns;
};
