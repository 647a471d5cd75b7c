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
#include "base/log.h"
#include "base/path.h"
#include "base/text.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#define STANDBY_THREADS 2
/* A late worker had better finish by itself; a hold lasts longer, so there is time. */
#define STANDBY_RECHECK_DELAY_USEC 40000U
/* More CPUs than any machine has. */
#define CPUS_MAX (1 << 17)

struct standby {
	struct guard *guard;
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
	log_errno(LOG_WARNING, r, "a standby thread failed: %m, late holds may expire");
	return NULL;
}

static bool standby_start_one(struct guard *g, unsigned recheck_delay_usec, const cpu_set_t *cpus,
			      size_t cpus_size)
{
	struct standby *s = calloc(1, sizeof(*s));

	if (!s)
		return false;
	s->guard = g;
	s->recheck_delay_usec = recheck_delay_usec;
	s->late = hold_late_new(g->hold);
	if (!s->late || thread_start(g->hold, standby_main, s, cpus, cpus_size) < 0) {
		free(s);
		return false;
	}
	return true;
}

/* One thread on every second CPU, one on the others; the delays differ, see device-add.c. */
static void standby_start_on_halves(struct guard *g, const cpu_set_t *all, cpu_set_t *const *halves,
				    int n_cpus, size_t size)
{
	int n = 0;

	for (int i = 0; i < STANDBY_THREADS; i++)
		CPU_ZERO_S(size, halves[i]);
	for (int cpu = 0; cpu < n_cpus; cpu++)
		if (CPU_ISSET_S(cpu, size, all))
			CPU_SET_S(cpu, size, halves[n++ % STANDBY_THREADS]);
	for (int i = 0; i < STANDBY_THREADS; i++)
		if (!standby_start_one(g, (unsigned)(i + 1) * STANDBY_RECHECK_DELAY_USEC, halves[i], size))
			break;
}

void standby_start(struct guard *g)
{
	/* The kernel says EINVAL when the machine may have more CPUs than the set has room for. */
	for (int n_cpus = CPU_SETSIZE; n_cpus <= CPUS_MAX; n_cpus *= 2) {
		const size_t size = CPU_ALLOC_SIZE(n_cpus);
		cpu_set_t *all = CPU_ALLOC(n_cpus);
		cpu_set_t *halves[STANDBY_THREADS] = { CPU_ALLOC(n_cpus), CPU_ALLOC(n_cpus) };
		const bool is_enough = all && halves[0] && halves[1] && sched_getaffinity(0, size, all) >= 0;
		const int error = errno;

		/* On a single CPU no other thread could help. */
		if (is_enough && CPU_COUNT_S(size, all) >= 2)
			standby_start_on_halves(g, all, halves, n_cpus, size);
		CPU_FREE(all);
		CPU_FREE(halves[0]);
		CPU_FREE(halves[1]);
		if (is_enough || error != EINVAL)
			return;
	}
}
