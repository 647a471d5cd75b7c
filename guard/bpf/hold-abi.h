/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-or-later */
/* What the BPF programs of the hold and the guard share: keys and values of the maps, marks of tickets. */
#pragma once

#ifndef __bpf__
#include <linux/types.h>
#endif

#define HOLD_BUSES_MAX 64
#define HOLD_TICKETS_MAX 4096	    /* devices that are being added at the same time */
#define HOLD_TICKETS_KEPT 1024	    /* tickets that stay after their hold, for the first driver that probes */
#define HOLD_LATE_BYTES (64 * 1024) /* a power of two, of whole pages on every machine */
/* Holds that reach the limit, one after the other or at the same time, may cost so many limits in all. */
#define HOLD_LIMITS_SPENT_MAX 3

/* Values by which some rule may match a device; more of them, and every device waits. */
#define HOLD_FILTER_KEYS_MAX 1024

struct hold_bus {
	char name[16];
};

/* For which devices of a bus the kernel waits: the value of a bus. */
enum hold_bus_flags {
	HOLD_EVERY = 1,	 /* for every one */
	HOLD_GROUPS = 2, /* for those whose IOMMU group has a member that a rule may match; and else for those
			  * that have one of these values among the filter's keys: */
	HOLD_NAMES = 4,	 /* the name */
	HOLD_HEADS = 8,	 /* the first HOLD_HEAD characters of the name */
	HOLD_IDS = 16,	 /* PCI's vendor and device */
	HOLD_VENDORS = 32, /* PCI's vendor */
	HOLD_CLASSES = 64, /* PCI's class, or the two or four digits that it begins with */
};
#define HOLD_HEAD 8

/* A key of the filter: which flag it is for, and the value in the 56 bits below. */
#define HOLD_FILTER_KEY(flag, value) ((__u64)(flag) << 56 | ((__u64)(value)&0xffffffffffffffULL))
#define HOLD_FILTER_ID(vendor, device) HOLD_FILTER_KEY(HOLD_IDS, (__u64)(vendor) << 16 | (device))
#define HOLD_FILTER_VENDOR(vendor) HOLD_FILTER_KEY(HOLD_VENDORS, vendor)
/* value: of the first so many digits. */
#define HOLD_FILTER_CLASS(digits, value) HOLD_FILTER_KEY(HOLD_CLASSES, (__u64)(digits) << 24 | (value))

/* A device. Longer names are cut off, on both sides alike. Aligned, since programs copy it. */
struct hold_key {
	struct hold_bus bus;
	char name[64];
} __attribute__((aligned(8)));

/* The key of eight characters of a name, of either case: that two differ by case alone makes no difference.
 */
static inline __attribute__((always_inline)) __u64 hold_filter_mix(__u64 hash, const char *eight)
{
	__u64 word;

	__builtin_memcpy(&word, eight, sizeof(word));
	hash = (hash ^ (word | 0x2020202020202020ULL)) * 0x9e3779b97f4a7c15ULL;
	return hash ^ hash >> 32;
}

/* name: of a hold_key, filled up with NULs. Two names with one key do no harm: then a device waits that need
 * not.
 */
static inline __attribute__((always_inline)) __u64 hold_filter_name(const char *name)
{
	__u64 hash = 0;

	for (int i = 0; i < 64; i += 8)
		hash = hold_filter_mix(hash, name + i);
	return HOLD_FILTER_KEY(HOLD_NAMES, hash);
}

static inline __attribute__((always_inline)) __u64 hold_filter_head(const char *name)
{
	return HOLD_FILTER_KEY(HOLD_HEADS, hold_filter_mix(0, name));
}

/* A device that has waited for longer than usual. */
struct hold_late_device {
	struct hold_key key;
	__u32 again; /* 1: it was announced before, and still waits */
	__u32 unused;
};

/* A device that was added. What changes about it is elsewhere, by the number: a program that has found a
 * ticket may read another one's in its place, if it is dropped at this moment. */
struct hold_ticket {
	__u64 number;
	__u64 device; /* the kernel's address of it, only to be compared */
	__u32 adder;  /* the thread that adds it */
	__u32 unused;
};

/* A ticket that is kept after its hold, and the first driver that probed its device. */
struct hold_kept {
	struct hold_key key;
	__u64 probed_number; /* of the ticket that the driver is of; written last, and read first */
	char driver[32];
};

/* How far a device has come. */
enum hold_mark {
	HOLD_WAITS,   /* the guard has not decided about the device yet */
	HOLD_DECIDED, /* the guard has decided; the device may go on */
	HOLD_PASSED,  /* it went on after the decision, before any driver looked at it */
	HOLD_EXPIRED, /* it went on without a decision: the limit came first, messages were lost, or nobody
		       * could decide */
	HOLD_PROBED_EARLY, /* a driver that was just registered probed it before the hold had ended */
	HOLD_SPARED,	   /* it went on at once: no rule can match it */
	HOLD_PASSED_EARLY, /* HOLD_PROBED_EARLY, and its hold has ended since */
};

/* Whether the hold of a ticket with this mark has not ended yet. From these marks it never goes back. */
static inline __attribute__((always_inline)) int hold_mark_is_held(__u32 mark)
{
	return mark == HOLD_WAITS || mark == HOLD_DECIDED || mark == HOLD_PROBED_EARLY;
}

/* A ticket's number and its mark in one word, which changes atomically. */
#define HOLD_WORD(number, mark) ((__u64)(number) << 3 | (mark))
#define HOLD_NUMBER(word) ((word) >> 3)
#define HOLD_MARK(word) ((__u32)((word)&7))

struct hold_counters {
	__u64 holds;
	__u64 expired; /* of these, reached the limit */
	__u64 let_go;  /* of these, ended because the guard had ended, or user space was frozen */
	__u64 no_room;
	__u64 longest_ns;
	__u64 waited_ns;	  /* in all */
	__u64 longest_decided_ns; /* of the holds that the guard's decision ended */
	__u64 added;		  /* devices on the buses that the policy can match, held or not */
	__u64 spared;		  /* devices that did not wait, since no rule can match them */
};

/* What the first hold saw that reached its limit; number 0: none has. */
struct hold_expiry {
	__u64 number;
	struct hold_key key;
	__u64 waited_ns;
	__u32 cpu;	   /* where it waited */
	__u32 runnable;	   /* tasks on that CPU, the waiting one among them */
	__u32 realtime;	   /* of these, in a real-time class */
	__u32 is_complete; /* the lines above and below have been written */
	/* The guard's threads other than the main thread. */
	__u32 asleep, running, kept_out, elsewhere; /* kept_out: runnable, but on the CPU that waited */
};
