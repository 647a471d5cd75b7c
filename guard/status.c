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

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* STATE_DIR/guard, `KEY=value` lines; driver-override-guard(8) describes them. */
static void guard_status_text(const struct guard *g, const struct hold_counters *c,
			      const struct first_probe_counters *f, char *text, size_t size)
{
	(void)snprintf(text, size,
		       "VERSION=1\nBOOT_ID=%s\nPID=%d\nHOLD=%s\nHOLDS=%llu\nEXPIRED=%llu\nNO_ROOM=%llu\n"
		       "LONGEST_NS=%llu\nLATE=%u\nPOLICY_LOADED=%u\nGUARANTEED=%u\nWON=%u\nLOST=%u\n"
		       "UNKNOWN=%u\nEVENTS=%u\nSYNTHETIC=%u\nTHREADS=%d\n",
		       boot_id(), (int)getpid(), guard_hold_text(g), (unsigned long long)c->holds,
		       (unsigned long long)c->expired, (unsigned long long)c->no_room,
		       (unsigned long long)c->longest_ns, atomic_load(&g->n_late), g->loop.n_policy_loads,
		       f->guaranteed, f->won, f->lost, f->unknown, atomic_load(&g->n_added),
		       atomic_load(&g->n_synthetic), atomic_load(&g->n_workers));
}

void guard_report_status(struct guard *g)
{
	char text[sizeof(g->loop.status)];
	struct first_probe_counters f;
	struct hold_counters c;

	hold_count(g->hold, &c);
	first_probe_watches_count(g->first_probe_watches, &f);
	g->loop.reported = c;
	guard_status_text(g, &c, &f, text, sizeof(text));
	/* The guard hears of some files in the folder of this one, and must not wake up itself. */
	if (streq(text, g->loop.status))
		return;
	notify_systemd("STATUS=hold: %s; %llu holds, %llu reached the limit, longest %.1f ms; first probes: "
		       "%u guaranteed, %u won, %u lost; %u events, %u synthetic",
		       guard_hold_text(g), (unsigned long long)c.holds, (unsigned long long)c.expired,
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
