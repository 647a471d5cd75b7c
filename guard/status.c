/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How the guard is doing, for systemd and for other programs; see guard.h. */
#include "guard/guard.h"
#include "base/errno.h"
#include "base/file.h"
#include "base/macro.h"
#include "base/notify.h"
#include "base/path.h"
#include "base/text.h"
#include "state/state-file.h"

#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* So many additions are heard of before it is said that the hold has seen none of them. */
#define UNSEEN_ADDITIONS 2U

/*
 * Why no device waits, although all is attached; NULL: nothing speaks against it. The kernel may call a
 * function at other places than where it is traced (the compiler has put it into its callers), or not trace
 * at all just now.
 */
static const char *guard_hold_misses(struct guard *g, const struct hold_counters *c)
{
	const unsigned heard = atomic_load(&g->n_heard);
	struct first_probe_counters f;
	char enabled[16];

	if (heard >= UNSEEN_ADDITIONS && c->added == g->loop.added_before) {
		const bool off =
			read_first_line("/proc/sys/kernel/ftrace_enabled", enabled, sizeof(enabled)) >= 0 &&
			streq(enabled, "0");

		(void)snprintf(
			g->loop.hold_text, sizeof(g->loop.hold_text),
			"not holding: %u devices were added, and the kernel called none of the programs%s",
			heard, off ? " (kernel.ftrace_enabled is 0)" : "");
		return g->loop.hold_text;
	}
	first_probe_watches_count(g->first_probe_watches, &f);
	if (c->holds == 0 && f.unheld > 0)
		return "not holding: devices got tickets, but went to their first probe without waiting";
	return NULL;
}

const char *guard_hold_text(struct guard *g)
{
	const char *why_not = hold_why_not(g->hold);
	struct hold_counters c;

	if (why_not)
		return why_not;
	if (hold_is_frozen(g->hold))
		return GUARD_HOLD_FROZEN;
	if (hold_has_given_up(g->hold)) {
		if (hold_keeps_guard_out(g->hold))
			return "off: a hold kept the guard itself from running, on a kernel that does not "
			       "preempt";
		return atomic_load(&g->n_rearms) >= GUARD_REARMS_MAX
			       ? "given up for a quarter of an hour: the limit was reached again and again"
			       : GUARD_HOLD_PAUSED ": holds reached the limit one after the other";
	}
	hold_count(g->hold, &c);
	why_not = guard_hold_misses(g, &c);
	if (why_not)
		return why_not;
	(void)snprintf(g->loop.hold_text, sizeof(g->loop.hold_text), GUARD_HOLDS "%s%s",
		       c.holds > 0 ? "" : ", not yet seen to hold", hold_reservation(g->hold));
	return g->loop.hold_text;
}

/* STATE_DIR/guard, `KEY=value` lines; driver-override-guard(8) describes them. */
static void guard_status_text(const struct guard *g, const char *hold, const struct hold_counters *c,
			      const struct first_probe_counters *f, char *text, size_t size)
{
	char filter[512];

	if (hold_why_not(g->hold))
		(void)strcpy(filter, "off");
	else
		hold_filter_text(&g->policy_snapshot->filter, filter, sizeof(filter));
	(void)snprintf(text, size,
		       "VERSION=1\nBOOT_ID=%s\nPID=%d\nFROM_IMAGE=%s\nHOLD=%s\nFILTER=%s\nLIMIT_MS=%u\nHOLDS="
		       "%llu\nSPARED=%llu\n"
		       "EXPIRED=%llu\nLET_GO=%llu\n"
		       "NO_ROOM=%llu\nLONGEST_NS=%llu\nWAITED_MS=%llu\nLATE=%u\nPOLICY=%s\nPOLICY_LOADED=%"
		       "u\nGUARANTEED=%"
		       "u\nWON=%u\nLOST=%u\n"
		       "UNKNOWN=%u\nEVENTS=%u\nSYNTHETIC=%u\nTHREADS=%d\n",
		       boot_id(), (int)getpid(), g->loop.from_image ? "yes" : "no", hold, filter,
		       (unsigned)(g->loop.limit_usec / 1000), (unsigned long long)c->holds,
		       (unsigned long long)c->spared, (unsigned long long)c->expired,
		       (unsigned long long)c->let_go, (unsigned long long)c->no_room,
		       (unsigned long long)c->longest_ns, (unsigned long long)(c->waited_ns / 1000000),
		       atomic_load(&g->n_late), g->policy_snapshot->digest, g->loop.n_policy_loads,
		       f->guaranteed, f->won, f->lost, f->unknown, atomic_load(&g->n_added),
		       atomic_load(&g->n_synthetic), atomic_load(&g->n_workers));
}

void guard_report_status(struct guard *g)
{
	char text[sizeof(g->loop.status)];
	const char *hold = guard_hold_text(g);
	struct first_probe_counters f;
	struct hold_counters c;

	hold_count(g->hold, &c);
	first_probe_watches_count(g->first_probe_watches, &f);
	g->loop.reported = c;
	guard_status_text(g, hold, &c, &f, text, sizeof(text));
	/* The guard hears of some files in the folder of this one, and must not wake up itself. */
	if (streq(text, g->loop.status))
		return;
	notify_systemd("STATUS=hold: %s; %llu holds, %llu reached the limit, longest %.1f ms; first probes: "
		       "%u guaranteed, %u won, %u lost; %u events, %u synthetic",
		       hold, (unsigned long long)c.holds, (unsigned long long)c.expired,
		       (double)c.longest_ns / 1e6, f.guaranteed, f.won, f.lost, atomic_load(&g->n_added),
		       atomic_load(&g->n_synthetic));
	/* Nothing depends on the file; what could not be written is tried again with the next status. */
	if (!g->settings->state_dir || state_write(g->settings->state_dir, "guard", text) >= 0)
		(void)strcpy(g->loop.status, text);
}

void guard_withdraw_status(const struct guard *g)
{
	const char *state_dir = g->settings->state_dir;
	_cleanup_(freep) char *text = NULL;
	char path[PATH_MAX], line[32];

	(void)snprintf(line, sizeof(line), "\nPID=%d\n", (int)getpid());
	if (state_dir && path_join(path, sizeof(path), state_dir, "/guard", NULL) >= 0 &&
	    state_file_read(path, &text) >= 0 && strstr(text, line))
		/* If it stays, its PID= is that of a process that has ended. */
		ignore_error(state_remove(state_dir, "guard"));
}
