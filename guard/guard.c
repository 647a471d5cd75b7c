/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The main thread's loop, and the state that the guard's threads share; see guard.h. */
#include "guard/guard.h"
#include "base/child.h"
#include "base/errno.h"
#include "base/log.h"
#include "base/macro.h"
#include "base/time.h"
#include "guard/black-box.h"
#include "guard/limit.h"
#include "guard/own-view.h"
#include "guard/uevent.h"
#include "policy/policy-watch.h"
#include "state/boot-devices.h"
#include "state/intent.h"
#include "state/policy-copy.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

/* After a quiet quarter of an hour the count of GUARD_REARMS_MAX starts again. */
#define REARMS_FORGET_USEC (15U * 60U * 1000000U)
/* Devices that are held when the guard is told to end go on within this time, as does FirstProbe. */
#define FINISH_USEC 1000000U

struct policy_snapshot *guard_get_policy(struct guard *g)
{
	struct policy_snapshot *p;

	(void)pthread_mutex_lock(&g->policy_lock);
	p = policy_snapshot_ref(g->policy_snapshot);
	(void)pthread_mutex_unlock(&g->policy_lock);
	return p;
}

void guard_set_policy(struct guard *g, struct policy_snapshot *p)
{
	struct policy_snapshot *old;

	/* What the policy before could not match, this one may. */
	hold_suspend_filter(g->hold);
	(void)pthread_mutex_lock(&g->policy_lock);
	old = g->policy_snapshot;
	g->policy_snapshot = p;
	(void)pthread_mutex_unlock(&g->policy_lock);
	policy_snapshot_unref(old);
	guard_apply_buses(g);
}

void guard_apply_buses(struct guard *g)
{
	struct hold_counters c;

	hold_set_filter(g->hold, &g->policy_snapshot->filter);
	/* Additions that the hold must see from now on; see guard_hold_text(). */
	hold_count(g->hold, &c);
	g->loop.added_before = c.added;
	atomic_store(&g->heard_since, uevent_latest(g->settings->sysfs));
	atomic_store(&g->n_heard, 0);
}

void guard_wake_main(struct guard *g)
{
	(void)eventfd_write(g->main_wakeup, 1);
}

/* Whether no thread of the guard could run while a hold keeps a CPU to itself. */
static bool guard_has_one_cpu(void)
{
	return sysconf(_SC_NPROCESSORS_ONLN) == 1;
}

void guard_rearm_hold(struct guard *g)
{
	const unsigned long long now = now_usec();

	if (!hold_has_given_up(g->hold))
		return;
	/* Each hold would do it again. */
	if (hold_keeps_guard_out(g->hold) && guard_has_one_cpu())
		return;
	/* What happened long ago had another cause: a machine that was suspended, a guard that was stopped.
	 */
	if (now - atomic_load(&g->last_rearm_usec) > REARMS_FORGET_USEC)
		atomic_store(&g->n_rearms, 0);
	if (atomic_load(&g->n_rearms) >= GUARD_REARMS_MAX)
		return;
	atomic_store(&g->last_rearm_usec, now);
	if (atomic_fetch_add(&g->n_rearms, 1) < GUARD_REARMS_MAX)
		hold_rearm(g->hold);
	guard_wake_main(g);
}

/* Until guard_return_from_system() the main thread sees the files of the running system. 0 or negative errno.
 */
static int guard_visit_system(struct guard *g)
{
	return g->loop.view ? own_view_visit(g->loop.view) : 0;
}

static bool guard_visit_system_or_log(struct guard *g)
{
	int r = guard_visit_system(g);

	if (r < 0)
		log_errno(LOG_ERR, r,
			  "cannot enter the mount namespace of PID 1: %m, its policy is not read");
	return r >= 0;
}

static void guard_return_from_system(struct guard *g)
{
	if (g->loop.view)
		own_view_return(g->loop.view);
}

static int guard_start_sweep_program(struct guard *g, struct child *ret)
{
	const char *argv[SETTINGS_ARGV_MAX + 3] = { g->loop.enforcer };
	const struct child_program program = { .argv = argv, .out = -1, .err = -1 };
	size_t n = settings_to_argv(g->settings, NULL, argv, 1);
	int r;

	argv[n++] = "sweep";
	r = guard_visit_system(g);
	if (r < 0)
		return r;
	r = child_start_program(ret, &program);
	guard_return_from_system(g);
	return r;
}

void guard_start_sweep(struct guard *g)
{
	struct child child;
	int r;

	g->loop.sweep_again = g->loop.sweep != 0;
	if (g->loop.sweep_again)
		return;
	r = guard_start_sweep_program(g, &child);
	if (r < 0) {
		log_errno(LOG_ERR, r, "cannot start %s sweep: %m, devices added unheard are left alone",
			  g->loop.enforcer);
		return;
	}
	/* Its end comes as a signal; the guard never kills it. */
	g->loop.sweep = child.pid;
	child_forget(&child);
}

static void guard_reap_sweep(struct guard *g)
{
	while (waitpid(-1, NULL, WNOHANG) > 0)
		g->loop.sweep = 0;
	/* The sweep at the start has examined everything that a previous guard left behind. */
	if (g->loop.sweep == 0)
		intents_forget_others(g->intents);
	if (g->loop.sweep == 0 && g->loop.sweep_again)
		guard_start_sweep(g);
}

/* Reads everything again, whatever changed; policy_copies_update() logs what is wrong with policy files. */
static bool guard_reload_snapshot_or_log(struct guard *g)
{
	struct policy_snapshot *p = NULL;

	if (!guard_visit_system_or_log(g))
		return false;
	p = policy_snapshot_load(g->settings);
	if (p)
		policy_copies_update(g->settings->state_dir, p->policy);
	guard_return_from_system(g);
	if (!p) {
		log_errno(LOG_ERR, ENOMEM,
			  "cannot read the policy again: %m, the policy before stays in force");
		return false;
	}
	guard_set_policy(g, p);
	return true;
}

static void guard_reload_policy(struct guard *g)
{
	if (guard_reload_snapshot_or_log(g))
		g->loop.n_policy_loads++;
}

/* Reads the policy where that is due. Returns in how many milliseconds to ask again; -1: not before an event.
 */
static int guard_follow_policy(struct guard *g)
{
	/* A bus that has just been registered is one more that the policy may match. */
	bool due = atomic_exchange(&g->buses_changed, false);
	uint64_t again_usec = 0;

	if (g->loop.policy_changed) {
		due = !policy_delay_goes_on(&g->loop.policy_delay, g->settings, &again_usec) || due;
		g->loop.policy_changed = again_usec > 0;
	}
	if (due) {
		guard_reload_policy(g);
		guard_report_status(g);
	}
	return again_usec > 0 ? (int)(again_usec / 1000) + 1 : -1;
}

static void guard_log_expired_holds(struct guard *g)
{
	struct hold_counters c;

	hold_count(g->hold, &c);
	if (c.expired == g->loop.reported.expired)
		return;
	log_line(LOG_WARNING,
		 "%llu holds reached the limit: these devices were probed without a decision (hold: %s)",
		 (unsigned long long)(c.expired - g->loop.reported.expired), guard_hold_text(g));
	black_box_log(g);
}

/* 1: go on; 0: the guard was told to end; negative errno. */
static int guard_handle_signal(struct guard *g)
{
	struct signalfd_siginfo info;

	if (read(g->loop.signals, &info, sizeof(info)) != sizeof(info))
		return negative_errno();
	if (info.ssi_signo != SIGCHLD)
		return 0;
	guard_reap_sweep(g);
	return 1;
}

/* Does what other threads have asked for. Returns the time-out of the next poll(), in milliseconds. */
static int guard_do_pending(struct guard *g)
{
	uint64_t next_usec;

	black_box_follow(g);
	if (atomic_exchange(&g->messages_lost, false)) {
		log_line(LOG_WARNING,
			 "the kernel's messages came faster than they were read: some are lost, sweeping");
		guard_start_sweep(g);
	}
	/* Before the watches are looked at: one that is added from here on wakes this thread again. */
	atomic_store(&g->settles_pending, false);
	next_usec = first_probe_watches_settle(g->first_probe_watches);
	if (first_probe_watches_told(g->first_probe_watches)) {
		guard_follow_limit(g);
		guard_log_expired_holds(g);
		guard_report_status(g);
	}
	return next_usec ? (int)(next_usec / 1000) + 1 : -1;
}

/* Of two time-outs of poll(). */
static int guard_sooner(int a, int b)
{
	return a < 0 || (b >= 0 && b < a) ? b : a;
}

/* The list of a boot that is over never changes, and other files of its folder often do. */
static void guard_end_boot_watch(struct guard *g)
{
	if (g->loop.boot_watch > 0 && g->policy_snapshot->present.complete) {
		(void)close(g->loop.boot_watch);
		g->loop.boot_watch = 0;
	}
}

/* PID 1 has another root, and with it another policy: reads that one, and watches its files. */
static void guard_follow_root(struct guard *g)
{
	int r;

	log_line(LOG_INFO, "the system has another root: following its policy");
	g->loop.in_image = false;
	g->loop.watch = policy_watch_free(g->loop.watch);
	if (guard_visit_system_or_log(g)) {
		r = policy_watch_new(g->settings, &g->loop.watch);
		if (r < 0)
			log_errno(LOG_ERR, r,
				  "cannot watch the policy's directories: %m, changes will not be noticed");
		guard_return_from_system(g);
	}
	guard_reload_policy(g);
	guard_report_status(g);
}

static bool guard_policy_files_changed(struct guard *g)
{
	bool changed;

	if (!guard_visit_system_or_log(g)) {
		/* Its descriptor would stay readable, and be asked about without end. */
		g->loop.watch = policy_watch_free(g->loop.watch);
		return false;
	}
	changed = policy_watch_changed(g->loop.watch);
	guard_return_from_system(g);
	return changed;
}

/* For a guard with a view of its own; mounts_changed: poll() says so. Returns a time-out of poll(). */
static int guard_follow_view(struct guard *g, bool mounts_changed)
{
	int again = -1;

	if (g->loop.view && own_view_root_changed(g->loop.view, mounts_changed, &again))
		guard_follow_root(g);
	return again;
}

int guard_run(struct guard *g)
{
	int timeout = -1;

	guard_end_boot_watch(g);
	for (;;) {
		struct pollfd p[] = {
			{ .fd = g->loop.signals, .events = POLLIN },
			{ .fd = g->main_wakeup, .events = POLLIN },
			{ .fd = g->loop.watch ? policy_watch_fd(g->loop.watch) : -1, .events = POLLIN },
			{ .fd = g->loop.boot_watch > 0 ? g->loop.boot_watch : -1, .events = POLLIN },
			{ .fd = g->loop.view ? g->loop.view->mounts : -1, .events = POLLPRI },
		};
		eventfd_t ignored;
		int again;

		if (poll(p, ELEMENTSOF(p), timeout) < 0 && errno != EINTR)
			return negative_errno();
		if (p[0].revents) {
			int r = guard_handle_signal(g);

			if (r <= 0)
				return r;
		}
		if (p[1].revents)
			(void)eventfd_read(g->main_wakeup, &ignored);
		again = guard_follow_view(g, p[4].revents != 0);
		/* The watch may be another one by now. */
		if (p[2].revents && g->loop.watch && policy_watch_fd(g->loop.watch) == p[2].fd &&
		    guard_policy_files_changed(g))
			g->loop.policy_changed = true;
		timeout = guard_follow_policy(g);
		/* The boot is over: a companion that comes from now on was not present at it. */
		if (p[3].revents && boot_devices_watch_changed(g->loop.boot_watch) &&
		    guard_reload_snapshot_or_log(g))
			guard_end_boot_watch(g);
		timeout = guard_sooner(guard_sooner(timeout, again), guard_do_pending(g));
	}
}

void guard_finish(struct guard *g)
{
	const uint64_t until = now_usec() + FINISH_USEC;
	uint64_t left_usec;

	hold_set_filter(g->hold, NULL);
	while (hold_is_waiting(g->hold) && now_usec() < until)
		sleep_usec(1000);
	while ((left_usec = first_probe_watches_settle(g->first_probe_watches)) &&
	       now_usec() + left_usec < until)
		sleep_usec(left_usec);
}
