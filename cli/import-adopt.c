/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* overridectl import adopt: overrides that stand now and are nobody's, neither ours nor another tool's. */
#include "base/path.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/import-plan.h"
#include "policy/decide.h"
#include "policy/policy-in-force.h"
#include "state/record-file.h"
#include "sysfs/iommu.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Whose the override of a device is, if anybody's; NULL: nobody's. */
static const char *override_owner(struct import_plan *plan, struct sysfs_device *d, const char *override)
{
	char path[PATH_MAX], why[512];
	struct record record;

	if (record_read(plan->settings.state_dir, d->bus, d->name, d->inode, &record) >= 0 &&
	    record_owns(&record, override))
		return "it is ours";
	if (path_join(path, sizeof(path), plan->root, "/etc/driverctl.d/", d->bus, "-", d->name, NULL) >= 0 &&
	    access(path, F_OK) == 0)
		return arena_printf(&plan->arena, "driverctl has a file for it: %s",
				    import_command(plan, (const char *[]){ "import", "driverctl", NULL }));
	if (iommu_group_is_owned(d, why, sizeof(why)))
		return "a guest is using it, and who started the guest may have set it for that alone";
	return NULL;
}

static void adopt_device(struct import_plan *plan, const struct policy *policy, struct sysfs_device *d)
{
	struct decision decision;
	char override[OVERRIDE_MAX], name[600];
	struct import_rule rule = { .driver = override };
	const char *owner;

	if (sysfs_device_override(d, override) < 0 || !override[0])
		return;
	(void)snprintf(name, sizeof(name), "%s %s", d->bus, d->name);
	policy_decide_own(policy, &d->device, &decision);
	/* A rule of this very import is one that is there already. */
	if (decision.kind != DECISION_NOTHING && decision.rule && !streq(decision.rule->file, plan->file))
		return;
	owner = decision.kind == DECISION_NOTHING ? override_owner(plan, d, override) : NULL;
	if (owner) {
		if (!streq(owner, "it is ours"))
			import_note(plan, IMPORT_NOT_CARRIED, name, "%s: %s", override, owner);
		return;
	}
	rule.from = arena_printf(&plan->arena, "the override of %s", name);
	if (!rule.from) {
		plan->r = -ENOMEM;
		return;
	}
	import_rule_set_device(plan, &rule, d->bus, d->name);
	name[strlen(d->bus)] = '-';
	rule.label = import_label(plan, name);
	(void)import_section_add_or_refuse(plan, &rule);
}

int import_adopt(struct import_plan *plan, char *const *args, size_t n)
{
	_cleanup_(policy_freep) struct policy *policy = NULL;
	int r;

	if (n > 0)
		return cli_fail_usage("%s: overrides are adopted all at once", args[0]);
	r = policy_load_settled(&plan->settings, &policy);
	if (r < 0)
		return cli_fail("reading the policy: %s", strerror(-r));
	for (size_t i = 0; i < plan->n_devices; i++)
		adopt_device(plan, policy, plan->devices[i]);
	if (plan->n > 0)
		import_note(plan, IMPORT_NOTE, "who wrote them",
			    "a script or a unit that writes driver_override itself would go on doing so: "
			    "look for it "
			    "by grep -rl driver_override /etc/udev /etc/systemd /etc/rc.local /usr/local");
	return STATUS_DONE;
}
