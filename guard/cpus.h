/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The CPUs on which the guard's threads may run. `isolcpus=` and `CPUAffinity=` say where ordinary work is to
 * run; left at that, a guard on a machine of 64 CPUs could have no CPU to run on but the one that waits for
 * it.
 */
#pragma once

#include "base/macro.h"

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>

/* A set of CPUs, of any size. */
struct cpus {
	cpu_set_t *set;
	size_t size; /* of the set, in bytes */
};

/*
 * Has the calling thread, and the threads that it starts from now on, run on all CPUs that its cpuset allows.
 * ret: those of them that are online. 0 or negative errno.
 */
_must_check_ int cpus_take_all(struct cpus *ret);

/*
 * Every second one of them, from the first on (half 0) or from the second on (half 1). The halves of a single
 * CPU are both that one. 0 or negative errno.
 */
_must_check_ int cpus_half(const struct cpus *all, unsigned half, struct cpus *ret);

int cpus_count(const struct cpus *cpus);

/* A set without memory equals none. */
bool cpus_equal(const struct cpus *a, const struct cpus *b);

void cpus_done(struct cpus *cpus);
