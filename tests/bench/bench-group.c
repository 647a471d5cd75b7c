/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Measures a decision about a whole IOMMU group by 1,000 rules, as the group grows: the time per member, as a
 * ratio to a group of one that is measured in the same run. The ratio stays constant if the cost is linear in
 * the members. The devices exist nowhere, so only the decision is measured: with the index, as the guard and
 * the sweep use it, and without it, as `event` does.
 */
#include "base/macro.h"
#include "tests/unit/fixtures/fake-device.h"
#include "tests/bench/bench.h"
#include "policy/decide.h"
#include "policy/rule-index.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#define RULES 1000U
#define ROUNDS 60U

static struct fake members[FAKE_MEMBERS];

static struct policy *make_policy(bool index)
{
	static const struct settings settings = { .sysfs = "/nowhere" };
	struct policy *policy;
	size_t size = 0;
	char *text;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		die("open_memstream");
	for (unsigned i = 0; i < RULES - 1; i++)
		(void)fprintf(f, "[device d%u]\nId=8086:%04x\nDriver=none\n", i, 0x8000 + i);
	/* The last rule decides about all of them. */
	(void)fprintf(f, "[device last]\nName=0000:01:00.0\nDriver=vfio-pci\nGroup=none\n");
	(void)fclose(f);
	if (policy_load(&settings, &policy) < 0 || policy_parse(policy, "bench.conf", text, size) < 0 ||
	    (index && policy_build_index(policy) < 0))
		die("policy");
	return policy; /* the policy borrows the text, which is never freed */
}

/* One decision about a group of n, in microseconds. */
static double decide(const struct policy *policy, size_t n)
{
	struct decision decisions[FAKE_MEMBERS];
	struct fake *group[FAKE_MEMBERS] = {};
	double begun, took;

	for (size_t i = 0; i < n; i++) {
		static char names[FAKE_MEMBERS][32];

		(void)snprintf(names[i], sizeof(names[i]), "0000:01:%02zx.%zu", i / 8, i % 8);
		fake_pci(&members[i], names[i], "8086:10d3:8086:a01f", "020000");
		group[i] = &members[i];
	}
	fake_group(group, n);
	begun = clock_usec();
	policy_decide_group(policy, members[0].members, n, decisions);
	took = clock_usec() - begun;
	if (decisions[0].kind != DECISION_DRIVER || (n > 1 && decisions[n - 1].kind != DECISION_NONE))
		die("not decided as it should be");
	for (size_t i = 0; i < n; i++)
		fake_done(&members[i]);
	return took;
}

int main(void)
{
	static const size_t sizes[] = { 1, 2, 4, 8, 16, 32, 64 };

	for (int index = 0; index < 2; index++) {
		struct policy *policy = make_policy(index);
		static double times[ELEMENTSOF(sizes)][ROUNDS];
		double one = 0;

		/* The sizes take turns, so that other work of the machine affects all alike. */
		for (size_t round = 0; round < ROUNDS; round++)
			for (size_t i = 0; i < ELEMENTSOF(sizes); i++)
				times[i][round] = decide(policy, sizes[i]);
		printf("%s%u rules, %s\n%10s %14s %10s\n", index ? "\n" : "", RULES,
		       index ? "with their index" : "one by one", "members", "us per member", "ratio");
		for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
			double each;

			qsort(times[i], ROUNDS, sizeof(double), compare_doubles);
			each = times[i][ROUNDS / 2] / (double)sizes[i];
			one = i == 0 ? each : one;
			printf("%10zu %14.2f %10.2f\n", sizes[i], each, each / one);
		}
		policy_free(policy);
	}
	return 0;
}
