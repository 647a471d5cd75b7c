/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How long the kernel waits for the guard at most; see limit.h. */
#include "guard/limit.h"
#include "base/file.h"
#include "base/log.h"
#include "base/macro.h"
#include "base/path.h"
#include "guard/guard.h"

#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/*
 * Measured decisions take 0.1 to 5 ms in emulation; the worst of 120 plugs, on a host four times
 * oversubscribed, took 366 ms: there one first probe may be lost, and then the limit rises. A longer limit
 * would cost each machine whose guard is stopped, three times.
 */
#define LIMIT_USEC_DEFAULT 250000U
#define LIMIT_USEC_LEARNT_MAX 1000000U
/* So many times what was needed is waited, since the next device may need more. */
#define NEEDS_PER_LIMIT 4U

uint64_t limit_ceiling_usec(const char *root)
{
	static const struct {
		const char *file;
		uint64_t unit_usec; /* of the number in it, after which the detector speaks; 0: it is off */
	} detectors[] = {
		{ "/proc/sys/kernel/watchdog_thresh", 1000000 },
		{ "/sys/module/rcupdate/parameters/rcu_cpu_stall_timeout", 1000000 },
		{ "/sys/module/rcupdate/parameters/rcu_exp_cpu_stall_timeout", 1000 },
	};
	uint64_t ceiling_usec = LIMIT_USEC_MAX;

	for (size_t i = 0; i < ELEMENTSOF(detectors); i++) {
		char path[PATH_MAX], text[32];
		uint64_t usec;

		if (path_printf(path, sizeof(path), "%s%s", root, detectors[i].file) < 0 ||
		    read_first_line(path, text, sizeof(text)) < 0)
			continue;
		usec = strtoull(text, NULL, 10) * detectors[i].unit_usec;
		if (usec > 0 && usec / 2 < ceiling_usec)
			ceiling_usec = usec / 2;
	}
	return ceiling_usec;
}

uint64_t limit_for_need_usec(uint64_t needed_usec, uint64_t ceiling_usec)
{
	uint64_t limit_usec = needed_usec * NEEDS_PER_LIMIT;

	if (limit_usec < LIMIT_USEC_DEFAULT)
		limit_usec = LIMIT_USEC_DEFAULT;
	if (limit_usec > LIMIT_USEC_LEARNT_MAX)
		limit_usec = LIMIT_USEC_LEARNT_MAX;
	return limit_usec < ceiling_usec ? limit_usec : ceiling_usec;
}

uint64_t guard_first_limit(struct guard *g, uint64_t wanted_usec)
{
	g->loop.limit_ceiling_usec = limit_ceiling_usec("");
	g->loop.limit_is_fixed = wanted_usec > 0;
	g->loop.limit_usec = wanted_usec ? wanted_usec : limit_for_need_usec(0, g->loop.limit_ceiling_usec);
	if (g->loop.limit_usec > g->loop.limit_ceiling_usec) {
		g->loop.limit_usec = g->loop.limit_ceiling_usec;
		log_line(LOG_WARNING,
			 "a hold's limit is %u ms and not %u, so that the kernel does not take a hold for a "
			 "lockup",
			 (unsigned)(g->loop.limit_usec / 1000), (unsigned)(wanted_usec / 1000));
	}
	return g->loop.limit_usec;
}

void guard_follow_limit(struct guard *g)
{
	const uint64_t needed_usec = hold_needed_usec(g->hold);
	const uint64_t limit_usec = limit_for_need_usec(needed_usec, g->loop.limit_ceiling_usec);

	/* What the guard has begun when it is told to end takes it so long. */
	if (needed_usec > HOLD_GRACE_USEC)
		hold_set_grace(g->hold, needed_usec < g->loop.limit_usec ? needed_usec : g->loop.limit_usec);
	if (g->loop.limit_is_fixed || limit_usec <= g->loop.limit_usec)
		return;
	log_line(LOG_NOTICE, "a hold needed %u ms: from now on the limit is %u ms",
		 (unsigned)(needed_usec / 1000), (unsigned)(limit_usec / 1000));
	g->loop.limit_usec = limit_usec;
	hold_set_limit(g->hold, limit_usec);
}
