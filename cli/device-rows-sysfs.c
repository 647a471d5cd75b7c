/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Devices as rows without the service: of sysfs, policy and records; see device-rows.h. */
#include "base/file.h"
#include "cli/cli.h"
#include "cli/device-rows.h"
#include "policy/decide.h"
#include "policy/policy-in-force.h"
#include "policy/policy.h"
#include "policy/vfio-driver.h"
#include "state/evaluate.h"
#include "state/record-file.h"
#include "sysfs/binding.h"
#include "sysfs/iommu.h"
#include "sysfs/sysfs.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

struct sysfs_rows {
	struct device_rows *rows;
	struct sysfs sysfs;
	struct policy *policy;
};

static void sysfs_row_evaluate(struct sysfs_device *d, const struct decision *decision, const char *driver,
			       const char *override, const struct record *record,
			       struct device_evaluation *ret)
{
	enum iommu iommu = IOMMU_GROUP;

	if (decision->kind == DECISION_DRIVER && driver_is_vfio(decision->driver))
		iommu = sysfs_device_iommu(d);
	else if (decision->group_unknown)
		iommu = IOMMU_LATER;
	device_state_evaluate(&(struct device_observation){ .decision = decision,
							    .record = record,
							    .driver = driver,
							    .override = override,
							    .kept_off = "",
							    .iommu = iommu_consequence(iommu),
							    .iommu_is_fake = iommu == IOMMU_FAKE },
			      ret);
}

static bool member_blocks_group(const struct sysfs_device *d, const char *driver)
{
	return *driver && !driver_leaves_dma(driver) && !sysfs_device_serves_vfio(d);
}

static int sysfs_row_add(struct sysfs_rows *s, struct sysfs_device *d, const struct decision *decision)
{
	const struct rule *rule = decision_is_nothing(decision) ? NULL : decision->rule;
	char driver[BOUND_MAX], override[OVERRIDE_MAX], group[64] = "", source[PATH_MAX];
	const char *path = device_text(&d->device, FACT_PATH), *text[ROW_FIELDS] = {};
	struct device_row *row = device_rows_add(s->rows);
	struct device_evaluation evaluation;
	char node[64], identity[512];
	struct record record = {};
	bool recorded;

	if (!row)
		return -ENOMEM;
	bound_driver(d, driver, sizeof(driver));
	if (sysfs_device_override(d, override) < 0)
		override[0] = '\0';
	if (sysfs_device_link(d, "iommu_group", group, sizeof(group)) < 0)
		group[0] = '\0';
	recorded = record_read(s->sysfs.state_dir, d->bus, d->name, d->inode, &record) >= 0;
	sysfs_row_evaluate(d, decision, driver, override, recorded ? &record : NULL, &evaluation);
	rule_source(rule, source, sizeof(source));
	text[ROW_BUS] = d->bus;
	text[ROW_NAME] = d->name;
	text[ROW_SYSPATH] = d->devpath;
	text[ROW_PATH] = path ? path : "";
	text[ROW_DRIVER] = driver;
	text[ROW_OVERRIDE] = override;
	text[ROW_DECISION] = decision_text(decision);
	text[ROW_RULE] = rule ? rule->label : "";
	text[ROW_SOURCE] = source;
	text[ROW_STATE] = device_state_to_string(evaluation.state);
	text[ROW_REASON] = evaluation.reason;
	text[ROW_FIRST_PROBE] =
		first_probe_to_string(first_probe_merge(record.first_probe, FIRST_PROBE_UNKNOWN));
	sysfs_device_vfio_node(d, node, sizeof(node));
	text[ROW_NODE] = node;
	sysfs_device_identity(d, device_text(&d->device, FACT_MODALIAS), identity, sizeof(identity));
	text[ROW_IDENTITY] = identity;
	text[ROW_GROUP] = group;
	row->blocks = member_blocks_group(d, driver);
	for (unsigned i = 0; i < ROW_FIELDS; i++)
		if (device_row_set(s->rows, row, i, text[i]) < 0)
			return -ENOMEM;
	return 0;
}

/* Members of one group stand together in the list, and are decided together. */
static int sysfs_rows_add_group(struct sysfs_rows *s, struct sysfs_device **v, size_t n)
{
	_cleanup_(freep) struct decision *decisions = calloc(n, sizeof(*decisions));
	struct device *alone[] = { &v[0]->device };
	int r = decisions ? 0 : -ENOMEM;

	if (r < 0)
		return r;
	policy_decide_group(s->policy, v[0]->n_members > 0 ? v[0]->members : alone, n, decisions);
	for (size_t i = 0; r >= 0 && i < n; i++)
		r = sysfs_row_add(s, v[i], &decisions[i]);
	return r;
}

int device_rows_read_sysfs(struct device_rows *rows, const struct settings *settings)
{
	_cleanup_(policy_freep) struct policy *policy = NULL;
	struct sysfs_rows s = { .rows = rows };
	struct sysfs_device **v = NULL;
	size_t n = 0;
	int r;

	sysfs_init(&s.sysfs, settings);
	/* What is listed has its links. To look for a physical function without one means looking at all
	 * siblings. */
	s.sysfs.settled = true;
	r = policy_load_settled(settings, &policy);
	for (size_t i = 0; r >= 0 && i < policy->n_errors; i++)
		(void)cli_fail("%s:%u: %s", policy->errors[i].file, policy->errors[i].line,
			       policy->errors[i].text);
	s.policy = policy;
	if (r >= 0)
		r = sysfs_enumerate(&s.sysfs, &v, &n);
	for (size_t i = 0, end; r >= 0 && i < n; i = end) {
		end = i + (v[i]->n_members > 1 ? v[i]->n_members : 1);
		r = sysfs_rows_add_group(&s, v + i, end - i);
	}
	if (v)
		sysfs_devices_free(v, n);
	sysfs_done(&s.sysfs);
	device_rows_sort(rows);
	return r;
}
