/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Makes sysfs agree with a decision about one device, as far as that goes without unbinding anything, and
 * keeps a record of it. May sleep in the kernel at every step: to be called in a process that can be left
 * behind (child.h).
 */
#pragma once

#include "policy/decide.h"
#include "state/device-state.h"
#include "sysfs/sysfs.h"

#include <stdbool.h>
#include <stddef.h>

struct outcome {
	enum device_state state;
	char reason[512];
	bool wrote;	   /* the override was written (or cleared) */
	bool needs_module; /* the decided driver is not registered with the bus yet */
};

/*
 * Adds to the reason what VFIO makes of a device that no IOMMU stands behind: that concerns whoever reads the
 * state, be it good or bad.
 */
void outcome_add_iommu(const struct decision *decision, struct outcome *o);

/* When it is done: what can be told of the device's first probe depends on it. */
enum occasion {
	OCCASION_ADDED, /* the device has just been added */
	OCCASION_BOOT,	/* at the boot's first sweep, before anything loads a driver */
	OCCASION_LATER, /* at any other time: nobody saw what came first */
};

/*
 * Compares, writes once if need be, has a driverless device probed by a decided driver that is there, looks
 * at what came of it. Never overwrites an override that is not ours. The outcome says all that there is to
 * say; failures of sysfs are outcomes, not errors.
 */
void apply_decision(const struct decision *decision, enum occasion occasion, struct outcome *ret);

/*
 * The same at any later time, replacing `override` (that stands, "": none) although it is not ours, because a
 * person wants that. Another one is still left alone.
 */
void apply_decision_over(const struct decision *decision, const char *override, struct outcome *ret);

/*
 * The first half of apply_decision(): the override, without a probe, which may take its time. Writes nothing
 * when it stands already. apply_decision() does the rest.
 */
void apply_override(const struct decision *decision, enum occasion occasion, struct outcome *ret);

/*
 * Clears what we set, forgets the device, and has it probed by its own driver when it has none. 1: cleared;
 * 0: nothing of ours is there; negative errno, *reterr_reason says more.
 */
int apply_release(struct sysfs_device *d, char *reterr_reason, size_t size);
