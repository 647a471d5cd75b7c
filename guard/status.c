/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How the guard is doing, for other programs; see guard.h. */
#include "guard/guard.h"
#include "base/file.h"
#include "base/path.h"
#include "state/store.h"

#include <unistd.h>

int guard_write_record(const struct guard *g, const struct hold_counters *c,
		       const struct first_probe_counters *f)
{
	char text[1024];
	int r;

	if (!g->settings->state_dir)
		return 0;
	r = path_printf(
		text, sizeof(text),
		"VERSION=1\nBOOT_ID=%s\nPID=%d\nHOLD=%s\nHOLDS=%llu\nEXPIRED=%llu\nNO_ROOM=%llu\nLONGEST_NS=%"
		"llu\nLATE=%u\n"
		"POLICY_LOADED=%u\nGUARANTEED=%u\nWON=%u\nLOST=%u\nUNKNOWN=%u\nEVENTS=%u\nSYNTHETIC=%"
		"u\nTHREADS=%d\n",
		boot_id(), (int)getpid(), guard_hold_text(g), (unsigned long long)c->holds,
		(unsigned long long)c->expired, (unsigned long long)c->no_room,
		(unsigned long long)c->longest_ns, atomic_load(&g->late), g->loaded, f->guaranteed, f->won,
		f->lost, f->unknown, atomic_load(&g->handled), atomic_load(&g->noted),
		atomic_load(&g->threads));
	return r < 0 ? r : state_write(g->settings->state_dir, "guard", text);
}
