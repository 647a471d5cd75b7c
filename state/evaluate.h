/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is to be said of a device: its State and why, from what is decided, what is recorded and what sysfs
 * shows; and whether there is something left to do. No I/O here.
 */
#pragma once

#include "policy/decide.h"
#include "state/record.h"

#include <stdbool.h>

enum pending_action {
	ACTION_NONE,	  /* as decided, or drifted away from it: that is shown, not fought */
	ACTION_REBIND,	  /* not yet as decided since it was added or its rule changed */
	ACTION_GIVE_BACK, /* what we set is left over from a rule that is no more */
	ACTION_RECORD,	  /* as decided, and nobody has noted it yet */
};

struct device_observation {
	const struct decision *decision;
	const struct record *record; /* NULL: there is none */
	const char *driver;	     /* "": none */
	const char *override;	     /* "": none */
	bool unreadable;	     /* its files let a reader of ours hang */
	const char *kept_off;	     /* why the kernel keeps drivers off it now; "": it does not */
	/*
	 * What its IOMMU means, in a sentence: for the VFIO driver that is decided, or where its group is not
	 * known yet; NULL: nothing. iommu_is_fake: that is worth saying of a device as decided, too.
	 */
	const char *iommu;
	bool iommu_is_fake;
};

struct device_evaluation {
	enum device_state state;
	enum pending_action advice;
	char reason[640];
};

/* The state of a device that is as decided: held, where that is to have no driver for its group's sake. */
enum device_state state_as_decided(const struct decision *decision);

void device_state_evaluate(const struct device_observation *seen, struct device_evaluation *ret);
