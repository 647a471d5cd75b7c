/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a look does in its own process; see refresh-worker.h. */
#include "daemon/refresh/refresh-worker.h"
#include "base/errno.h"
#include "base/macro.h"
#include "base/text.h"
#include "policy/vfio-driver.h"
#include "state/evaluate.h"
#include "sysfs/binding.h"
#include "sysfs/iommu.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int refresh_worker_begin(struct refresh_worker *s, const struct service *service, FILE *out,
			 struct task_note *note)
{
	*s = (struct refresh_worker){ .service = service, .out = out, .note = note };
	sysfs_init(&s->sysfs, service->settings);
	/* udev tells us of a device long after the kernel has made its links. */
	s->sysfs.settled = true;
	return 0;
}

static void worker_note(struct refresh_worker *s, const struct sysfs_device *d)
{
	s->note->name[0] = '\0';
	text_copy(s->note->bus, sizeof(s->note->bus), d->bus);
	text_copy(s->note->name, sizeof(s->note->name), d->name);
}

/* Reads whatever the policy asks of the device, while the device is noted as the one that is read. */
static void worker_ask_device(struct refresh_worker *s, struct sysfs_device *d, bool grouped)
{
	const struct device_entry *known = devices_find(&s->service->devices, d->bus, d->name);
	struct decision own;

	if (s->blind || (known && known->hangs))
		d->unreadable = true;
	worker_note(s, d);
	policy_decide_own(s->service->policy, &d->device, &own);
	if (grouped)
		(void)device_text(&d->device, FACT_CLASS); /* bridges are no group members */
}

static void worker_put(struct refresh_worker *s, const char *text)
{
	utf8_write(s->out, text);
	(void)fputc('\0', s->out);
}

static void worker_put_number(struct refresh_worker *s, uint64_t n)
{
	(void)fprintf(s->out, "%jx", (uintmax_t)n);
	(void)fputc('\0', s->out);
}

static void worker_put_gone(struct refresh_worker *s, const char *bus, const char *name)
{
	worker_put(s, bus);
	worker_put(s, name);
	for (size_t i = 2; i < FIELD_COUNT; i++)
		worker_put(s, "");
}

/*
 * Why the kernel keeps the device's driver off, if one is to come that it would keep off; "": it does not.
 * Members of a group follow one another, so all processes are searched for the first of them only.
 */
static void worker_find_owner(struct refresh_worker *s, const struct sysfs_device *d,
			      const struct decision *decision, const char *driver, char *buf, size_t size)
{
	char group[sizeof(s->owned_group)];

	buf[0] = '\0';
	if (d->unreadable || driver[0] || decision->kind == DECISION_NONE ||
	    (decision->kind == DECISION_DRIVER && driver_leaves_dma(decision->driver)) ||
	    sysfs_device_link(d, "iommu_group", group, sizeof(group)) < 0)
		return;
	if (!streq(group, s->owned_group)) {
		text_copy(s->owned_group, sizeof(s->owned_group), group);
		(void)iommu_group_is_owned(d, s->owned, sizeof(s->owned));
	}
	text_copy(buf, size, s->owned);
}

static void worker_find_group(const struct sysfs_device *d, char *buf, size_t size)
{
	if (d->group_id)
		text_copy(buf, size, d->group_id);
	else if ((d->group_asked && d->n_members == 0) || sysfs_device_link(d, "iommu_group", buf, size) < 0)
		buf[0] = '\0';
}

static void worker_put_node(struct refresh_worker *s, const struct sysfs_device *d)
{
	char node[64];

	sysfs_device_vfio_node(d, node, sizeof(node));
	worker_put(s, node);
}

/* A modalias that cannot be read now may have been read before, if it is still the same device. */
static void worker_put_identity(struct refresh_worker *s, const struct sysfs_device *d, const char *modalias)
{
	const struct device_entry *known = devices_find(&s->service->devices, d->bus, d->name);
	char identity[512];

	if (!modalias && known && strtoull(known->field[FIELD_INODE], NULL, 16) == d->inode)
		text_copy(identity, sizeof(identity), known->field[FIELD_IDENTITY]);
	else
		sysfs_device_identity(d, modalias, identity, sizeof(identity));
	worker_put(s, identity);
}

static void worker_put_device(struct refresh_worker *s, struct sysfs_device *d,
			      const struct decision *decision)
{
	const struct rule *rule = decision_is_nothing(decision) ? NULL : decision->rule;
	char driver[256], override[OVERRIDE_MAX] = "", group[64], source[PATH_MAX], kept_off[512];
	struct device_evaluation evaluation;
	struct record record = {};
	const char *path, *modalias;
	enum iommu iommu = IOMMU_GROUP;
	bool recorded;

	worker_note(s, d);
	path = device_text(&d->device, FACT_PATH);
	modalias = device_text(&d->device, FACT_MODALIAS);
	bound_driver(d, driver, sizeof(driver));
	worker_find_group(d, group, sizeof(group));
	if (!d->unreadable && sysfs_device_override(d, override) < 0)
		override[0] = '\0';
	/* In this order: the enforcer writes the record before it writes an override. */
	recorded = record_read(s->service->settings->state_dir, d->bus, d->name, d->inode, &record) >= 0;
	worker_find_owner(s, d, decision, driver, kept_off, sizeof(kept_off));
	if (decision->kind == DECISION_DRIVER && driver_is_vfio(decision->driver))
		iommu = sysfs_device_iommu(d);
	else if (decision->group_unknown)
		iommu = IOMMU_LATER;
	device_state_evaluate(&(struct device_observation){ .decision = decision,
							    .record = recorded ? &record : NULL,
							    .driver = driver,
							    .override = override,
							    .unreadable = d->unreadable,
							    .kept_off = kept_off,
							    .iommu = iommu_consequence(iommu),
							    .iommu_is_fake = iommu == IOMMU_FAKE },
			      &evaluation);

	worker_put(s, d->bus);
	worker_put(s, d->name);
	worker_put(s, d->devpath);
	worker_put(s, path ? path : "");
	worker_put(s, driver);
	worker_put(s, override);
	worker_put(s, decision_text(decision));
	worker_put(s, rule ? rule->label : "");
	rule_source(rule, source, sizeof(source));
	worker_put(s, source);
	worker_put(s, device_state_to_string(evaluation.state));
	worker_put(s, evaluation.reason);
	worker_put(s, first_probe_to_string(first_probe_merge(record.first_probe, FIRST_PROBE_UNKNOWN)));
	worker_put_node(s, d);
	worker_put_identity(s, d, modalias);
	worker_put(s, group);
	worker_put_number(s, rule ? rule_id(rule) : 0);
	worker_put_number(s, evaluation.action);
	worker_put_number(s, d->inode);
	worker_put_number(s, sysfs_device_serves_vfio(d));
	worker_put(s, modalias ? modalias : "");
	worker_put(s, recorded && evaluation.state == STATE_BLOCKED ? record.wait_for : "");
}

int refresh_worker_find_device(struct refresh_worker *s, const char *bus, const char *name,
			       struct sysfs_device **ret)
{
	struct sysfs_device *d;
	int r = sysfs_device_find(&s->sysfs, bus, name, &d);

	if (r == -ENOMEM)
		return r;
	if (r < 0 || !sysfs_device_is_supported(d))
		return -ENODEV;
	worker_ask_device(s, d, false);
	*ret = d;
	return 0;
}

int refresh_worker_read_device(struct refresh_worker *s, const char *bus, const char *name)
{
	const struct policy *policy = s->service->policy;
	struct decision decision;
	struct sysfs_device *d;
	struct device **members;
	size_t n;
	int r;

	r = refresh_worker_find_device(s, bus, name, &d);
	if (r == -ENODEV) {
		worker_put_gone(s, bus, name);
		return 0;
	}
	if (r < 0)
		return r;
	if (policy->has_groups && d->device.ops->group(&d->device, &members, &n) >= 0)
		for (size_t i = 0; i < n; i++)
			worker_ask_device(s, to_sysfs_device(members[i]), n > 1);
	r = policy_decide(policy, &d->device, &decision);
	if (r < 0)
		return r;
	worker_put_device(s, d, &decision);
	decision_done(&decision);
	return 0;
}

/* Groups stand together in the list, and are decided together; see sysfs_enumerate(). */
static int worker_read_group(struct refresh_worker *s, struct sysfs_device **v, size_t n)
{
	_cleanup_(freep) struct decision *decisions = calloc(n, sizeof(*decisions));
	struct device *alone[] = { &v[0]->device };

	if (!decisions)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		worker_ask_device(s, v[i], n > 1);
	policy_decide_group(s->service->policy, v[0]->n_members > 0 ? v[0]->members : alone, n, decisions);
	for (size_t i = 0; i < n; i++)
		worker_put_device(s, v[i], &decisions[i]);
	return s->at_once && fflush(s->out) != 0 ? negative_errno() : 0;
}

int refresh_worker_read_all(struct refresh_worker *s)
{
	struct sysfs_device **v;
	size_t n;
	int r;

	r = sysfs_enumerate(&s->sysfs, &v, &n);
	for (size_t i = 0, end; r >= 0 && i < n; i = end) {
		end = i + (v[i]->n_members > 1 ? v[i]->n_members : 1);
		r = worker_read_group(s, v + i, end - i);
	}
	return r;
}
