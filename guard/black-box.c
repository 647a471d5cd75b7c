/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where the guard's threads were when a hold was about to reach its limit; see black-box.h. */
#include "guard/black-box.h"
#include "base/errno.h"
#include "base/file.h"
#include "base/log.h"
#include "base/path.h"
#include "base/time.h"
#include "guard/guard.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A thread takes some 500 bytes, of its functions' names. */
#define BLACK_BOX_BYTES 32768U

void black_box_want(struct guard *g)
{
	atomic_store(&g->black_box_wanted, true);
	guard_wake_main(g);
}

static void black_box_look(struct guard *g)
{
	struct guard_loop *loop = &g->loop;

	if (loop->black_box_is_logged)
		return;
	if (!loop->black_box)
		loop->black_box = malloc(BLACK_BOX_BYTES);
	if (!loop->black_box)
		return;
	loop->black_box[0] = '\0';
	loop->black_box_usec = now_usec();
	/* What the hold itself has seen is logged in any case. */
	ignore_error(hold_show_guard(g->hold, loop->black_box, BLACK_BOX_BYTES));
}

void black_box_follow(struct guard *g)
{
	if (atomic_exchange(&g->black_box_wanted, false))
		black_box_look(g);
}

static char thread_state_letter(unsigned state)
{
	static const char letters[] = "SDTt";

	for (unsigned i = 0; letters[i]; i++)
		if (state & (1U << i))
			return letters[i];
	return state ? '?' : 'R';
}

/* A line of hold_show_guard(), in words. */
static void black_box_log_thread(const char *line)
{
	char path[PATH_MAX], wchan[64] = "";
	int tid, cpu, priority, at = 0;
	unsigned state;

	if (sscanf(line, "%d %x %d %d %n", &tid, &state, &cpu, &priority, &at) < 4)
		return;
	if (path_printf(path, sizeof(path), "/proc/self/task/%d/wchan", tid) >= 0)
		ignore_error(read_first_line(path, wchan, sizeof(wchan)));
	log_line(LOG_WARNING, "thread %d, state %c, CPU %d, priority %d, waits now in %s: %s", tid,
		 thread_state_letter(state), cpu, priority, wchan[0] && wchan[0] != '0' ? wchan : "nothing",
		 line + at);
}

void black_box_log(struct guard *g)
{
	struct hold_expiry e;
	char *saved = NULL;

	if (g->loop.black_box_is_logged || !hold_first_expiry(g->hold, &e))
		return;
	if (!g->loop.black_box)
		black_box_look(g);
	g->loop.black_box_is_logged = true;
	log_line(LOG_WARNING,
		 "%s %s: the first hold that reached its limit: it waited for %.1f ms on CPU %u, "
		 "where %u tasks could run, %u of them real-time; "
		 "the guard's threads: %u asleep, %u running, %u kept out by this hold, %u waiting for other "
		 "CPUs",
		 e.key.bus.name, e.key.name, (double)e.waited_ns / 1e6, e.cpu, e.runnable, e.realtime,
		 e.asleep, e.running, e.kept_out, e.elsewhere);
	if (!g->loop.black_box)
		return;
	log_line(LOG_WARNING, "where the guard's threads were %u ms ago:",
		 (unsigned)((now_usec() - g->loop.black_box_usec) / 1000));
	for (const char *line = strtok_r(g->loop.black_box, "\n", &saved); line;
	     line = strtok_r(NULL, "\n", &saved))
		black_box_log_thread(line);
	free(g->loop.black_box);
	g->loop.black_box = NULL;
}
