/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guard hears of new devices from the kernel and writes their overrides before the kernel probes them.
 *
 * Several threads (worker.h) wait on one socket. The thread that receives an event handles it alone, so a
 * device that makes its thread sleep in the kernel delays no other device. Everything slow (records, log
 * lines) is done after the device has been released. The main thread (guard.c) does what is slow and rare.
 */
#pragma once

#include "guard/cpus.h"
#include "guard/first-probe.h"
#include "guard/hand-over.h"
#include "guard/hold.h"
#include "guard/policy-snapshot.h"
#include "guard/thread.h"
#include "policy/policy-settled.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>
#include <unistd.h>

#define STANDBY_THREADS 2

struct own_view;
struct policy_watch;
struct standby;

/* How HOLD= of STATE_DIR/guard begins where the guard holds, or will hold again by itself: another guard
 * reads that. */
#define GUARD_HOLDS "active"
#define GUARD_HOLD_FROZEN "not while user space is frozen"
#define GUARD_HOLD_PAUSED "given up until the guard's next event"

/* So often is a hold resumed that was given up. */
#define GUARD_REARMS_MAX 5U

/* What only the main thread uses. */
struct guard_loop {
	int signals;		    /* signalfd */
	struct policy_watch *watch; /* NULL: the policy's directories cannot be watched */
	bool policy_changed;	    /* its files are still to be read */
	struct policy_delay policy_delay;
	int boot_watch; /* for the list of devices that were present at boot; not above 0: not watched */
	struct hold_counters reported;		 /* as of the last status */
	uint64_t limit_usec, limit_ceiling_usec; /* see limit.h */
	bool limit_is_fixed;
	uint64_t added_before;	 /* devices that the hold had seen when n_heard was 0 */
	char *black_box;	 /* where the threads were; NULL: nobody has looked */
	uint64_t black_box_usec; /* when */
	bool black_box_is_logged;
	char hold_text[256];  /* of guard_hold_text() */
	char status[2048];    /* what the last status said */
	const char *enforcer; /* path of the program whose sweep is run */
	pid_t sweep;	      /* 0: no sweep is running */
	bool sweep_again;     /* messages were lost while one was */
	unsigned n_policy_loads;
	struct own_view *view; /* NULL: it sees the files that everybody sees */
	bool from_image;       /* it began in a boot image */
	bool in_image;	       /* of the boot: the policy stays as it is until PID 1 has another root */
	struct hand_over hand_over;
};

struct guard {
	const struct settings *settings;
	int socket; /* the kernel's uevents */
	struct hold *hold;
	struct intents *intents; /* NULL: the file could not be made */
	struct first_probe_watches *first_probe_watches;
	struct policy_snapshot *policy_snapshot; /* the policy in force, under policy_lock */
	pthread_mutex_t policy_lock;
	struct guard_loop loop;

	/* Set by any thread for the main thread, which guard_wake_main() wakes. */
	int main_wakeup; /* eventfd */
	atomic_bool
		buses_changed; /* the policy must be read again: a bus has come, or is not held any more */
	atomic_bool messages_lost;    /* a sweep is wanted */
	atomic_bool settles_pending;  /* there are first probes to settle */
	atomic_bool black_box_wanted; /* see black-box.h */

	/* Among the workers. */
	int more_workers; /* eventfd: the last idle worker is busy, another is wanted */
	atomic_int n_workers, n_idle;
	struct standby *standby[STANDBY_THREADS]; /* NULL: not started; see standby.c */
	struct cpus cpus;			  /* those that the standby threads share */
	atomic_bool draining; /* messages were lost, and the queue has not been read to its end yet */
	atomic_bool thread_failure_logged;
	atomic_uint n_rearms;	       /* how often the hold was resumed lately */
	atomic_ullong last_rearm_usec; /* when it was resumed last */
	/* Of the guard that was there before this one: whether it still is; events before this one are its
	 * alone.
	 */
	atomic_bool has_predecessor;
	atomic_ullong inherited_seqnum;
	atomic_uint n_late;	   /* devices about which a standby thread decided as well */
	atomic_uint n_heard;	   /* devices that were added on the policy's buses since these were set */
	atomic_ullong heard_since; /* the number of the kernel's latest event then */
	atomic_uint n_added, n_synthetic; /* `add` events of devices: the kernel's own; those that a program
					     asked for */
};

/* The policy in force, with a reference for the caller; NULL: there is none. */
struct policy_snapshot *guard_get_policy(struct guard *g);

/* Puts a policy in force and takes over the caller's reference. */
void guard_set_policy(struct guard *g, struct policy_snapshot *p);

/* Makes the kernel wait for devices on the buses that the policy can match, once workers can answer. */
void guard_apply_buses(struct guard *g);

/* "active", perhaps with a reservation, or why first probes are not held right now. For the main thread. */
const char *guard_hold_text(struct guard *g);

void guard_wake_main(struct guard *g);

/*
 * Resumes a hold that was given up: an event was handled, so the guard is awake. A hold that fails again and
 * again is not resumed: the cause is then not a stopped guard, and each attempt would cost the machine as
 * many expired holds as it takes to give up.
 */
void guard_rearm_hold(struct guard *g);

/*
 * The main thread's loop, until SIGTERM or SIGINT: policy that changed, lost messages, first probes, status.
 * 0 or negative errno.
 */
int guard_run(struct guard *g);

/*
 * The guard is about to end: the kernel waits for no device any more, except for those about which it was
 * told to wait; these are decided about, and what was seen of first probes is written down. The threads go
 * on.
 */
void guard_finish(struct guard *g);

/* Starts the enforcer's sweep, or has it run once more when it is running already. */
void guard_start_sweep(struct guard *g);

/* Tells systemd and other programs how the guard is doing. */
void guard_report_status(struct guard *g);

/* The guard ends: its status goes, unless another guard has put its own in its place. */
void guard_withdraw_status(const struct guard *g);
