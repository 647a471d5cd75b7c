/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guard: hears of devices from the kernel and writes their overrides before the kernel probes them.
 *
 * Several threads wait on one socket. Whichever gets an event handles it on its own, so that a device which
 * lets its thread sleep in the kernel delays no other. Everything that is slow (records, log lines) comes
 * after the device was let go.
 */
#pragma once

#include "base/arena.h"
#include "base/array.h"
#include "guard/first-probe.h"
#include "guard/hold.h"
#include "policy/policy.h"

#include <stdatomic.h>

/* A policy with what is derived from it; replaced as a whole when files change. */
struct policy_snapshot {
	atomic_int users;
	struct policy *policy;
	struct arena arena;
	struct strings buses;
};

struct guard {
	const struct settings *settings;
	int socket;
	struct hold *hold;
	struct intents *intents; /* NULL: the file could not be made */
	struct first_probe_watches *first_probe_watches;
	struct policy_snapshot *policy_snapshot; /* under policy_lock */
	void *policy_lock;
	int wake;	      /* eventfd: the main thread is wanted */
	atomic_bool draining; /* messages were lost; the queue is not at its end yet */
	atomic_bool told_alone, new_bus;
	atomic_bool overflow; /* messages were lost */
	atomic_bool settle;   /* there is something to follow up */
	atomic_int threads, idle;
	int more;		    /* eventfd: the last idle thread is busy, another is wanted */
	atomic_uint late;	    /* holds that took so long that another thread decided, too */
	atomic_uint rearmed;	    /* how often holding was taken up again of late */
	atomic_ullong rearmed_usec; /* when it was last */
	unsigned loaded;	    /* how often the policy was read; the main thread's */
	atomic_uint handled, noted; /* real and synthetic `add` events */
};

/* Reads the policy and prepares it. NULL without memory. */
struct policy_snapshot *policy_snapshot_load(const struct settings *settings);
struct policy_snapshot *policy_snapshot_ref(struct guard *g);
void policy_snapshot_unref(struct policy_snapshot *p);

/* From now on this policy decides; takes it over. */
void guard_set_policy(struct guard *g, struct policy_snapshot *p);

/* Has the kernel wait for devices of the buses that the policy can match; once there are threads to answer.
 */
void guard_hold(struct guard *g);

/* "active", or why first probes are not held right now. */
const char *guard_hold_text(const struct guard *g);

/* The main thread is wanted. */
void guard_wake_main(struct guard *g);

/*
 * We are awake, so the kernel may wait for us again; unless that went wrong again and again: then something
 * else than a stopped guard is the matter, and each try would cost the machine as many holds as it took to
 * give up.
 */
void guard_rearm_hold(struct guard *g);

/* Starts the first threads. 0 or negative errno. */
int guard_start(struct guard *g);

/* What a thread has for itself, made before its first event. NULL without memory. */
struct worker;
struct worker *worker_new(struct guard *g);
struct worker *worker_free(struct worker *w);

/* What a thread does again and again: waits for one message, and does all that follows from it. 0; negative
 * errno: there will be no more. */
int worker_process_event(struct worker *w);

/*
 * Tells other programs how the guard is doing: STATE_DIR/guard, `KEY=value` lines, among them HOLD=
 * ("active", or why not) and the counters. 0 or negative errno.
 */
int guard_write_record(const struct guard *g, const struct hold_counters *c,
		       const struct first_probe_counters *f);
