/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Measures one change: SetOverride of `none` for a device without a driver, on a private bus and a mock tree,
 * with the enforcer that FAKE_ENFORCER names: the real one, for here nothing has to be bound. Two versions
 * are compared by the programs in the environment. On a busy machine: under `chrt -r 10`.
 */
#include "tests/bus/harness.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define RUNS 60U

static int times_compare(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void times_print(const char *what, uint64_t *usec)
{
	const size_t half = RUNS / 2;

	qsort(usec, RUNS, sizeof(*usec), times_compare);
	printf("%-24s least %6.2f  median %6.2f ms\n", what, (double)usec[0] / 1000,
	       (double)usec[half] / 1000);
}

START_TEST(bench)
{
	static uint64_t changes[RUNS], gets[RUNS];
	struct harness *h = harness_new();

	three_devices(h);
	mock_unbind(h->m, "/devices/platform/foo.0");
	service_start(h);
	for (unsigned i = 0; i < RUNS; i++) {
		uint64_t begin;

		ck_assert_str_eq(clear(h, "platform", "foo.0"), "unmanaged");
		begin = clock_usec();
		ck_assert_str_eq(set(h, "platform", "foo.0", "none"), "enforced");
		changes[i] = clock_usec() - begin;
		begin = clock_usec();
		(void)manager_property(h, "Rules", "u");
		gets[i] = clock_usec() - begin;
	}
	times_print("SetOverride", changes);
	times_print("Get of a property", gets);
	(void)fflush(stdout);
	harness_free(h);
}
END_TEST

SUITE_MAIN("bench-change", 600, bench)
