/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One guard takes over from another, so that there is no moment in which none is there: the new one holds
 * first, then it tells those before it to end. Which guards there are, and who came before whom, is in the
 * locks of STATE_DIR/guards: each guard keeps the byte of its process id locked, and the kernel tells whose a
 * lock is. So nothing is left behind by a guard that is killed, and no process that has come to its id is
 * mistaken for it.
 *
 * While both are there the kernel waits for both, and both decide about each device. The new one lets the
 * other write first.
 */
#pragma once

#include "base/macro.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PREDECESSORS_MAX 8

struct predecessor {
	pid_t pid;
	int pidfd;
};

struct hand_over {
	int locks; /* STATE_DIR/guards, for as long as this process lives */
	struct predecessor predecessors[PREDECESSORS_MAX];
	size_t n_predecessors;
};

/* Joins the guards of this folder, as the last of them, and finds those that were there before. 0 or negative
 * errno. */
_must_check_ int hand_over_join(const char *state_dir, struct hand_over *ret);

/* Tells the guards before this one to end. To be called when this one holds. */
void hand_over_dismiss(const struct hand_over *h);

/*
 * Waits until they have given up their locks, usec microseconds at most, then kills those that have not: one
 * that is stopped would have the kernel wait for it. How many these are. A process may last for longer, while
 * a thread of its is asleep in the kernel, or the kernel takes its programs away.
 */
size_t hand_over_wait(struct hand_over *h, uint64_t usec);
