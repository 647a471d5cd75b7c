/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sets of CPUs; see cpus.h. */
#include "guard/cpus.h"
#include "base/errno.h"

#include <errno.h>
#include <string.h>

/* More CPUs than any machine has. */
#define CPUS_MAX (1 << 17)

static int cpus_new(size_t n_cpus, struct cpus *ret)
{
	struct cpus cpus = { .set = CPU_ALLOC(n_cpus), .size = CPU_ALLOC_SIZE(n_cpus) };

	if (!cpus.set)
		return -ENOMEM;
	CPU_ZERO_S(cpus.size, cpus.set);
	*ret = cpus;
	return 0;
}

static size_t cpus_room(const struct cpus *cpus)
{
	return cpus->size * 8;
}

int cpus_take_all(struct cpus *ret)
{
	/* The kernel says EINVAL when the machine may have more CPUs than the set has room for. */
	for (size_t n_cpus = CPU_SETSIZE; n_cpus <= CPUS_MAX; n_cpus *= 2) {
		struct cpus cpus;
		int r = cpus_new(n_cpus, &cpus);

		if (r < 0)
			return r;
		/* It takes away what the cpuset does not allow. If it refuses, what there is will have to do.
		 */
		memset(cpus.set, 0xff, cpus.size);
		ignore_error(sched_setaffinity(0, cpus.size, cpus.set));
		/* Without those that are offline. */
		r = sched_getaffinity(0, cpus.size, cpus.set) < 0 ? negative_errno() : 0;
		if (r >= 0) {
			*ret = cpus;
			return 0;
		}
		cpus_done(&cpus);
		if (r != -EINVAL)
			return r;
	}
	return -EINVAL;
}

int cpus_half(const struct cpus *all, unsigned half, struct cpus *ret)
{
	struct cpus cpus;
	unsigned n = 0;
	int r = cpus_new(cpus_room(all), &cpus);

	if (r < 0)
		return r;
	if (cpus_count(all) < 2)
		memcpy(cpus.set, all->set, all->size);
	else
		for (size_t cpu = 0; cpu < cpus_room(all); cpu++)
			if (CPU_ISSET_S(cpu, all->size, all->set) && n++ % 2 == half)
				CPU_SET_S(cpu, cpus.size, cpus.set);
	*ret = cpus;
	return 0;
}

int cpus_count(const struct cpus *cpus)
{
	return CPU_COUNT_S(cpus->size, cpus->set);
}

bool cpus_equal(const struct cpus *a, const struct cpus *b)
{
	return a->set && b->set && a->size == b->size && CPU_EQUAL_S(a->size, a->set, b->set);
}

void cpus_done(struct cpus *cpus)
{
	CPU_FREE(cpus->set);
	cpus->set = NULL;
}
