/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
/* What the BPF programs of the hold and the guard share: the forms of the maps. */
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

/* A device. Longer names than these are cut, on both sides alike. */
struct hold_key {
	struct hold_bus bus;
	char name[64];
};

struct hold_ticket {
	__u32 mark; /* enum hold_mark */
};

enum hold_mark {
	HOLD_WAITS,   /* not yet; as an outcome: the limit came first */
	HOLD_DECIDED, /* the guard has decided about this device */
	HOLD_LET_GO,  /* let go without a decision: messages were lost */
	HOLD_RACED,   /* as an outcome only: a driver that was just registered came before the decision */
};

struct hold_outcome {
	__u64 waited_ns;
	__u32 mark; /* enum hold_mark */
	__u32 pad;
};

struct hold_counters {
	__u64 holds;
	__u64 expired;
	__u64 no_room;
	__u64 longest_ns;
};
