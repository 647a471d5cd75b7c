/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The standby threads: they decide about devices whose hold takes too long.
 *
 * Without kernel preemption, a worker that slept on a lock can be woken on the very CPU that is busy-waiting
 * for it, and cannot run before the hold expires. Two standby threads are pinned to disjoint halves of the
 * CPUs, so one of them can run. Whichever is second finds the override set and writes nothing. A device that
 * still waits later is announced a second time, should the first of the two be stuck.
 */
#include "guard/worker.h"
#include "guard/black-box.h"
#include "base/errno.h"
#include "base/log.h"
#include "base/path.h"
#include "base/text.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

/* A late worker had better finish by itself; a hold lasts longer, so there is time. */
#define STANDBY_RECHECK_DELAY_USEC 40000U

struct standby {
	struct guard *guard;
	atomic_int tid; /* 0: the thread has not begun yet, or has ended */
	struct hold_late *late;
	unsigned recheck_delay_usec;
};

/*
 * The device that the kernel waits for, by its name, as an event would announce it; path is memory for that.
 * False: it has gone.
 */
static bool standby_find_device(const struct worker *w, const struct hold_key *key,
				char path[static PATH_MAX], struct uevent *ret)
{
	const char *root = w->sysfs.root;
	char link[PATH_MAX];

	if (path_printf(link, sizeof(link), "%s/bus/%s/devices/%s", root, key->bus.name, key->name) < 0 ||
	    !realpath(link, path) || !startswith(path, root))
		return false;
	*ret = (struct uevent){ .action = UEVENT_ADD,
				.devpath = path + strlen(root),
				.subsystem = key->bus.name,
				.seqnum = uevent_latest(root) };
	return true;
}

static void *standby_main(void *userdata)
{
	struct standby *s = userdata;
	struct worker *w = worker_new(s->guard);
	char path[PATH_MAX];
	struct hold_late_device late;
	struct uevent e;
	int r = w ? 0 : -ENOMEM;

	atomic_store(&s->tid, (int)gettid());
	if (w) {
		w->recheck_delay_usec = s->recheck_delay_usec;
		w->is_standby = true;
	}
	while (r >= 0) {
		r = hold_late_wait(s->late, &late);
		if (r != 1 || !hold_ticket(s->guard->hold, late.key.bus.name, late.key.name))
			continue;
		if (late.again)
			black_box_want(s->guard);
		else
			atomic_fetch_add(&s->guard->n_late, 1);
		if (standby_find_device(w, &late.key, path, &e))
			worker_add_device(w, &e);
	}
	atomic_store(&s->tid, 0);
	log_errno(LOG_WARNING, r, "a standby thread failed: %m, late holds may expire");
	return NULL;
}

/* Starts the thread whose recheck delay is so many times the usual one; see device-add.c. */
static struct standby *standby_new(struct guard *g, unsigned delays, const struct cpus *cpus)
{
	struct standby *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->guard = g;
	s->recheck_delay_usec = delays * STANDBY_RECHECK_DELAY_USEC;
	s->late = hold_late_new(g->hold);
	if (!s->late || thread_start(g->hold, standby_main, s, cpus) < 0) {
		free(s);
		return NULL;
	}
	return s;
}

/* Starts a standby thread on its half of the CPUs, or moves it there. 0; negative errno: to be tried again.
 */
static int standby_place(struct guard *g, unsigned i, const struct cpus *all)
{
	struct standby *s = g->standby[i];
	struct cpus half;
	pid_t tid;
	int r = cpus_half(all, i, &half);

	if (r < 0)
		return r;
	if (!s) {
		g->standby[i] = standby_new(g, i + 1, &half);
		r = g->standby[i] ? 0 : -EAGAIN;
	} else {
		tid = atomic_load(&s->tid);
		if (tid == 0)
			r = -EAGAIN;
		else if (sched_setaffinity(tid, half.size, half.set) < 0)
			r = negative_errno();
	}
	cpus_done(&half);
	return r;
}

void standby_follow_cpus(struct guard *g)
{
	struct cpus all;
	int r = cpus_take_all(&all);

	if (r < 0 || cpus_equal(&all, &g->cpus)) {
		if (r >= 0)
			cpus_done(&all);
		return;
	}
	/* On a single CPU no other thread could help. */
	if (g->standby[0] || cpus_count(&all) >= 2)
		for (unsigned i = 0; i < STANDBY_THREADS && r >= 0; i++)
			r = standby_place(g, i, &all);
	/* What could not be done is tried again at the next call. */
	cpus_done(&g->cpus);
	if (r >= 0)
		g->cpus = all;
	else
		cpus_done(&all);
}
