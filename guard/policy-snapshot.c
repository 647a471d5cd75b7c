/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A policy, counted; see policy-snapshot.h. */
#include "guard/policy-snapshot.h"
#include "base/arena.h"
#include "base/array.h"
#include "base/errno.h"
#include "base/macro.h"
#include "guard/buses.h"
#include "policy/rule-index.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

struct policy_snapshot *policy_snapshot_load(const struct settings *settings)
{
	_cleanup_(policy_snapshot_unrefp) struct policy_snapshot *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->n_refs = 1;
	if (policy_load(settings, &p->policy) < 0 || policy_build_index(p->policy) < 0 ||
	    buses_of_policy(p->policy, settings->sysfs, &p->arena, &p->buses) == -ENOMEM ||
	    hold_filter_compile(p->policy, &p->buses, &p->arena, &p->filter) < 0)
		return NULL;
	policy_digest_of(p->policy, p->digest);
	/* A list that is not there, or cannot be read, says so when it is asked. */
	if (settings->state_dir)
		ignore_error(boot_devices_load(&p->present, settings->state_dir));
	return TAKE_PTR(p);
}

struct policy_snapshot *policy_snapshot_ref(struct policy_snapshot *p)
{
	if (p)
		atomic_fetch_add(&p->n_refs, 1);
	return p;
}

struct policy_snapshot *policy_snapshot_unref(struct policy_snapshot *p)
{
	if (!p || atomic_fetch_sub(&p->n_refs, 1) > 1)
		return NULL;
	policy_free(p->policy);
	boot_devices_done(&p->present);
	strings_done(&p->buses);
	arena_done(&p->arena);
	free(p);
	return NULL;
}
