/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The BPF programs of the hold, loaded and attached. What hold.c works on; nobody else includes this. */
#pragma once

#include "guard/bpf/hold-abi.h"
#include "guard/hold.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stddef.h>
#include <stdint.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wcast-qual" /* generated */
#include "hold.skel.h"
#pragma GCC diagnostic pop

/* What the hold can do without, in part: programs that this kernel does not take. */
enum hold_without {
	WITHOUT_PCI = 1,	  /* PCI devices are not held */
	WITHOUT_REALLY_PROBE = 2, /* it is not seen which driver probes first */
	WITHOUT_DROP = 4,	  /* a failed addition is not seen */
	WITHOUT_EXIT = 8,	  /* the guard's end is not seen, unless it tells of it */
	WITHOUT_FREEZER = 16,	  /* it is not seen that user space is frozen */
	WITHOUT_WITNESS = 32,	  /* threads' stacks cannot be read */
	WITHOUT_SIGNAL = 64,	  /* the guard's end is seen a little later */
};
#define WITHOUT_ALL 127U

/* More than there are programs. */
#define HOLD_LINKS_MAX 32

/* Descriptors and shared memory are all that is left of the programs here; libbpf has forgotten them. */
struct hold {
	struct hold_bpf__bss *bss;		     /* their variables; NULL: there is no hold */
	int tickets, buses, kept, filter_keys, late; /* their maps */
	int links[HOLD_LINKS_MAX];		     /* they keep the programs attached */
	size_t n_links;
	int show_guard;	  /* one of the links; -EBADF: there is none */
	unsigned without; /* enum hold_without */
	uint64_t late_ns; /* of holds that the guard was too late for: how long they would have lasted */
	char why_not[256];
};

/* 0; negative errno with h->why_not. */
int hold_load(struct hold *h, uint64_t limit_usec);

/* Detaches the programs, if there are any. */
void hold_unload(struct hold *h);
