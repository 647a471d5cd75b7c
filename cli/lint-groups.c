/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* IOMMU groups that will not be viable, and companions that Group= takes from somebody. */
#include "base/arena.h"
#include "base/macro.h"
#include "base/text.h"
#include "cli/critical-devices.h"
#include "cli/lint-checks.h"
#include "cli/lint-run.h"
#include "policy/vfio-driver.h"
#include "sysfs/iommu.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

static const char *member_why_it_stays(const struct lint_device *member)
{
	if (member->decision.kind == DECISION_LEFT)
		return ", for it was there at boot, and Group=hold takes no such device";
	return member->decision.kind == DECISION_DRIVER ? ", as a rule says" : "";
}

static void lint_group(struct lint_run *run, const struct lint_device *members, size_t n)
{
	const struct lint_device *guest = NULL;

	for (size_t i = 0; i < n && !guest; i++)
		if (members[i].decision.kind == DECISION_DRIVER && members[i].decision.cause == CAUSE_RULE &&
		    driver_is_vfio(members[i].decision.driver))
			guest = &members[i];
	for (size_t i = 0; guest && i < n; i++) {
		const char *driver = lint_device_final_driver(&members[i], members[i].driver);
		const struct rule *rule = guest->decision.rule;

		if (!*driver || driver_leaves_dma(driver) ||
		    (driver == members[i].driver && sysfs_device_serves_vfio(members[i].d)))
			continue;
		lint_warn(
			run, rule,
			arena_printf(&run->lint->arena,
				     "[device %s] gives %s %s to %s, but IOMMU group %s will not be viable: "
				     "%s %s stays with %s%s",
				     rule->label, guest->d->bus, guest->d->name, guest->decision.driver,
				     guest->d->group_id, members[i].d->bus, members[i].d->name, driver,
				     member_why_it_stays(&members[i])));
		return;
	}
}

static void lint_companion(struct lint_run *run, const struct critical_devices *all,
			   const struct lint_device *member)
{
	const struct rule *rule = member->decision.rule;
	const char *loss;

	if (member->decision.cause != CAUSE_GROUP || !lint_device_is_taken(member))
		return;
	loss = critical_devices_first_below(all, member->d->devpath);
	if (loss)
		lint_warn(
			run, rule,
			arena_printf(&run->lint->arena,
				     "[device %s] takes %s %s, another member of the IOMMU group, by Group= "
				     "from %s, and with it %s",
				     rule->label, member->d->bus, member->d->name, member->driver, loss));
}

void lint_groups(struct lint_run *run)
{
	_cleanup_(critical_devices_done) struct critical_devices all = {};

	if (critical_devices_list(&all, run->settings) == -ENOMEM)
		run->r = -ENOMEM;
	for (size_t i = 0, n; i < run->n_devices; i += n) {
		n = lint_group_size(run, i);
		if (n < 2)
			continue;
		lint_group(run, &run->devices[i], n);
		for (size_t k = i; k < i + n; k++)
			lint_companion(run, &all, &run->devices[k]);
	}
}
