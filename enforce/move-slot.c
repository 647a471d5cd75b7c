/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The functions of one card: those that share slot and IOMMU group with a device and that the same rule is to
 * take from their drivers move together or not at all. A card whose graphics is in use by the host and whose
 * sound is a guest's is of no use to either, and moving one function under a driver of the other has ended in
 * a panic (runtime power).
 */
#include "base/text.h"
#include "enforce/in-use.h"
#include "enforce/move-parts.h"
#include "policy/decide.h"
#include "sysfs/pci.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* Whether the rule that moves m's device moves this one, too. */
static bool function_is_to_move(const struct move *m, struct sysfs_device *function)
{
	char driver[BOUND_MAX];
	struct decision decision;
	bool moves = false;

	if (policy_decide(m->options->policy, &function->device, &decision) < 0)
		return false;
	bound_driver(function, driver, sizeof(driver));
	if (decision.rule == m->decision->rule && driver[0])
		moves = decision.kind == DECISION_NONE ||
			(decision.kind == DECISION_DRIVER && !streq(driver, decision.driver));
	decision_done(&decision);
	return moves;
}

int move_check_slot(const struct move *m, struct in_use_answer *ret)
{
	struct device **members;
	struct in_use_answer user;
	size_t n;

	if (!m->options->policy || !m->decision->rule ||
	    m->d->device.ops->group(&m->d->device, &members, &n) < 0)
		return 0;
	for (size_t i = 0; i < n; i++) {
		struct sysfs_device *function = to_sysfs_device(members[i]);
		int r;

		if (function == m->d || !pci_share_slot(m->d, function) || !function_is_to_move(m, function))
			continue;
		r = in_use_check(function, m->options->search, m->options->dry_run && m->options->look_only,
				 &user);
		if (r == 0)
			continue;
		if (r < 0)
			return r;
		(void)snprintf(ret->reason, sizeof(ret->reason), "%.64s, which shares its slot: %.400s",
			       function->name, user.reason);
		(void)strcpy(ret->wait_for, user.wait_for);
		return 1;
	}
	return 0;
}
