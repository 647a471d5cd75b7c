/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The policy that is in force, and whether the kernel waits for us; see guard.h. */
#include "guard/guard.h"
#include "base/arena.h"
#include "base/array.h"
#include "base/child.h"
#include "base/time.h"
#include "guard/buses.h"
#include "policy/rule-index.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#define REARM_MAX 5U
#define REARM_FORGET_USEC (15U * 60U * 1000000U)

struct policy_snapshot *policy_snapshot_load(const struct settings *settings)
{
	struct policy_snapshot *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->users = 1;
	if (policy_load(settings, &p->policy) < 0 || policy_build_index(p->policy) < 0 ||
	    buses_of_policy(p->policy, settings->sysfs, &p->arena, &p->buses) == -ENOMEM) {
		policy_snapshot_unref(p);
		return NULL;
	}
	return p;
}

void policy_snapshot_unref(struct policy_snapshot *p)
{
	if (!p || atomic_fetch_sub(&p->users, 1) > 1)
		return;
	policy_free(p->policy);
	strings_done(&p->buses);
	arena_done(&p->arena);
	free(p);
}

struct policy_snapshot *policy_snapshot_ref(struct guard *g)
{
	struct policy_snapshot *p;

	(void)pthread_mutex_lock(g->policy_lock);
	p = g->policy_snapshot;
	if (p)
		atomic_fetch_add(&p->users, 1);
	(void)pthread_mutex_unlock(g->policy_lock);
	return p;
}

void guard_set_policy(struct guard *g, struct policy_snapshot *p)
{
	struct policy_snapshot *old;

	(void)pthread_mutex_lock(g->policy_lock);
	old = g->policy_snapshot;
	g->policy_snapshot = p;
	(void)pthread_mutex_unlock(g->policy_lock);
	policy_snapshot_unref(old);
	guard_hold(g);
}

void guard_hold(struct guard *g)
{
	hold_set_buses(g->hold, g->policy_snapshot->buses.v, g->policy_snapshot->buses.n);
}

void guard_wake_main(struct guard *g)
{
	(void)eventfd_write(g->wake, 1);
}

void guard_rearm_hold(struct guard *g)
{
	const unsigned long long now = now_usec();

	if (!hold_has_given_up(g->hold))
		return;
	/* Long ago is another story: a machine that was suspended, a person who stopped it. */
	if (now - atomic_load(&g->rearmed_usec) > REARM_FORGET_USEC)
		atomic_store(&g->rearmed, 0);
	if (atomic_load(&g->rearmed) >= REARM_MAX)
		return;
	atomic_store(&g->rearmed_usec, now);
	if (atomic_fetch_add(&g->rearmed, 1) < REARM_MAX)
		hold_rearm(g->hold);
	guard_wake_main(g);
}

const char *guard_hold_text(const struct guard *g)
{
	const char *why_not = hold_why_not(g->hold);

	if (why_not)
		return why_not;
	if (hold_has_given_up(g->hold))
		return atomic_load(&g->rearmed) >= REARM_MAX ? "given up for a quarter of an hour: the limit "
							       "was reached again and again"
							     : "given up until the guard's next event: holds "
							       "reached the limit one after the other";
	return "active";
}
