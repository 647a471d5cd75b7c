/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Devices that are for a VFIO driver and cannot have one, or will not be taken by who is to have them. */
#include "base/arena.h"
#include "base/file.h"
#include "base/macro.h"
#include "base/path.h"
#include "base/text.h"
#include "cli/lint-checks.h"
#include "cli/lint-run.h"
#include "policy/vfio-driver.h"
#include "sysfs/iommu.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

static bool decision_is_vfio_of_bus(const struct decision *decision)
{
	const struct rule *rule = decision->rule;

	if (decision->kind != DECISION_DRIVER || !rule)
		return false;
	return decision->cause == CAUSE_GROUP
		       ? rule->group == GROUP_GIVE && rule->group_driver.kind == DRIVER_VFIO
		       : rule->driver.kind == DRIVER_VFIO;
}

/* Whether the kernel has a VFIO driver for devices of a bus. */
static bool bus_has_vfio_driver(const struct lint_run *run, const char *bus)
{
	static const char *const buses[] = { "pci", "platform", "amba", "fsl-mc", "cdx", "ap", "css" };
	_cleanup_(dir_close) struct dir_reader dir = { .fd = -EBADF };
	char path[PATH_MAX];
	const char *driver;

	for (size_t i = 0; i < ELEMENTSOF(buses); i++)
		if (streq(bus, buses[i]))
			return true;
	if (path_join(path, sizeof(path), run->sysfs.root, "/bus/", bus, "/drivers", NULL) < 0 ||
	    dir_open(&dir, path) < 0)
		return false;
	while ((driver = dir_next(&dir)))
		if (driver_is_vfio(driver))
			return true;
	return false;
}

/* A rule that says itself that it is for a bus without one; no device need be there. */
static void lint_bus_of_rule(struct lint_run *run, const struct rule *rule, bool *said)
{
	for (const struct condition *c = rule->conditions; c; c = c->next)
		for (const struct pattern *p = c->fact == FACT_BUS && !*said ? c->any : NULL; p;
		     p = p->next) {
			if (rule->driver.kind != DRIVER_VFIO || p->plain != p->length ||
			    bus_has_vfio_driver(run, p->text))
				continue;
			*said = true;
			lint_refuse(run, rule,
				    arena_printf(&run->lint->arena,
						 "[device %s] says Driver=vfio, but there is no VFIO driver "
						 "for bus %s",
						 rule->label, p->text));
			break;
		}
}

static void lint_bus_of_device(struct lint_run *run, const struct lint_device *device, bool *said)
{
	const struct rule *rule = device->decision.rule;

	if (*said || bus_has_vfio_driver(run, device->d->bus))
		return;
	*said = true;
	lint_refuse(run, rule,
		    arena_printf(&run->lint->arena,
				 "[device %s] gives %s %s to vfio, but there is no VFIO driver for bus %s",
				 rule->label, device->d->bus, device->d->name, device->d->bus));
}

static void lint_missing_iommu(struct lint_run *run, const struct lint_device *device, bool *said)
{
	const struct sysfs_device *d = device->d;
	const struct rule *rule = device->decision.rule;
	enum iommu iommu;
	const char *text;

	if (*said)
		return;
	/* A group that is made later is no fault. */
	iommu = sysfs_device_iommu(d);
	text = iommu_consequence(iommu);
	if (!text || iommu == IOMMU_LATER)
		return;
	*said = true;
	lint_warn(run, rule,
		  arena_printf(&run->lint->arena, "[device %s] gives %s %s to %s, but %s", rule->label,
			       d->bus, d->name, device->decision.driver, text));
}

static bool kubevirt_is_here(const struct lint_run *run)
{
	_cleanup_(dir_close) struct dir_reader dir = { .fd = -EBADF };
	char path[PATH_MAX];
	const char *name;

	if (path_join(path, sizeof(path), run->sysfs.root, "/../var/lib/kubelet/device-plugins", NULL) < 0 ||
	    dir_open(&dir, path) < 0)
		return false;
	while ((name = dir_next(&dir)))
		if (startswith(name, "kubevirt-"))
			return true;
	return false;
}

/* KubeVirt's device plugin offers a device only if its driver is literally vfio-pci. */
static void lint_kubevirt(struct lint_run *run, const struct lint_device *device, bool *said)
{
	const struct decision *decision = &device->decision;

	if (*said || !streq(device->d->bus, "pci") || streq(decision->driver, "vfio-pci"))
		return;
	*said = true;
	lint_warn(run, decision->rule,
		  arena_printf(&run->lint->arena,
			       "[device %s] means %s for %s %s by vfio, and KubeVirt's device plugin takes "
			       "only devices at vfio-pci: Driver=vfio-pci would do",
			       decision->rule->label, decision->driver, device->d->bus, device->d->name));
}

static void lint_unknown_variant(struct lint_run *run, const struct lint_device *device, bool *said)
{
	const struct decision *decision = &device->decision;
	char note[DECISION_NOTE_MAX];

	decision_vfio_note(decision, note);
	if (*said || !note[0])
		return;
	*said = true;
	lint_warn(run, decision->rule,
		  arena_printf(&run->lint->arena, "[device %s] gives %s %s to vfio, and %s",
			       decision->rule->label, device->d->bus, device->d->name, note));
}

/* What was said of a rule is not said again for its other devices. */
struct said {
	bool bus, iommu, kubevirt, variant;
};

void lint_vfio_drivers(struct lint_run *run)
{
	_cleanup_(freep) struct said *said = calloc(run->policy->n_rules + 1, sizeof(*said));
	bool kubevirt = kubevirt_is_here(run);

	if (!said) {
		run->r = -ENOMEM;
		return;
	}
	for (size_t i = 0; i < run->policy->n_rules; i++)
		lint_bus_of_rule(run, run->policy->rules[i], &said[i].bus);
	for (size_t i = 0; i < run->n_devices; i++) {
		const struct lint_device *device = &run->devices[i];
		const struct decision *decision = &device->decision;

		if (decision->kind != DECISION_DRIVER || !driver_is_vfio(decision->driver))
			continue;
		if (decision_is_vfio_of_bus(decision)) {
			lint_bus_of_device(run, device, &said[decision->rule->order].bus);
			lint_unknown_variant(run, device, &said[decision->rule->order].variant);
			if (kubevirt)
				lint_kubevirt(run, device, &said[decision->rule->order].kubevirt);
		}
		if (decision->cause == CAUSE_RULE)
			lint_missing_iommu(run, device, &said[decision->rule->order].iommu);
	}
}
