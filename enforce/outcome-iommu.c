/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the IOMMU means for the outcome of a decision; see apply.h. */
#include "enforce/apply.h"
#include "base/log.h"
#include "policy/vfio-driver.h"
#include "sysfs/iommu.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

void outcome_add_iommu(const struct decision *decision, struct outcome *o)
{
	struct sysfs_device *d = to_sysfs_device(decision->device);
	const size_t n = strlen(o->reason);
	enum iommu iommu;
	const char *text;

	if (decision->kind != DECISION_DRIVER || !driver_is_vfio(decision->driver))
		return;
	iommu = sysfs_device_iommu(d);
	text = iommu_consequence(iommu);
	if (!text || (o->state == STATE_ENFORCED && iommu != IOMMU_FAKE))
		return;
	(void)snprintf(o->reason + n, sizeof(o->reason) - n, "%s%s", n > 0 ? "; " : "", text);
	if (o->wrote && iommu != IOMMU_LATER)
		log_line(LOG_WARNING, "%s %s: for %s, but %s", d->bus, d->name, decision->driver, text);
}
