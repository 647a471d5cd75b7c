/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The State of a device and the reason for it, from the decision, the record and what sysfs shows; and
 * whether something is left to do. No I/O here.
 */
#pragma once

#include "policy/decide.h"
#include "state/device-state.h"
#include "state/record.h"

#include <stdbool.h>
#include <stddef.h>

/* The Reason of a device that a person has had released; see record.h. */
#define REASON_RELEASED "released: policy counts for it again after apply, or the next boot"

enum pending_action {
	ACTION_NONE,	  /* as decided, or drifted away from it: that is shown, not fought */
	ACTION_REBIND,	  /* not yet as decided since it was added or its rule changed */
	ACTION_GIVE_BACK, /* what we set is left over from a rule that has gone */
	ACTION_RECORD,	  /* as decided, and no record says so yet */
	ACTION_NOTE,	  /* what others have made of the device is not what is recorded */
};

struct device_observation {
	const struct decision *decision;
	const struct record *record; /* NULL: there is none */
	const char *driver;	     /* "": none */
	const char *override;	     /* "": none */
	bool unreadable;	     /* a process that read its files did not come back */
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
	enum pending_action action;
	char reason[640];
};

/*
 * The reason of a device that others have changed: its override is not ours, or it was as decided until then.
 * Who wrote it may follow in a record.
 */
void reason_set_foreign(char *buf, size_t size, const char *override);
void reason_set_drift(char *buf, size_t size, const char *override, const char *driver);

/* Whether a recorded reason is this one, with or without who wrote it. */
bool reason_tells(const char *recorded, const char *reason);

/* Whether a record says that others have changed the device since it was as decided. */
bool record_tells_of_others(const struct record *record);

void device_state_evaluate(const struct device_observation *observation, struct device_evaluation *ret);

/*
 * Whether override and driver are what is decided. False without a decision, and while the kernel refuses a
 * device the driver of its own that it is to have.
 */
bool observation_is_as_decided(const struct device_observation *observation);

/*
 * Whether the device has a driver that it must be taken from: not the decided one, or, where it is to have
 * its own or nothing is decided, one that came by an override of ours.
 */
bool observation_has_wrong_driver(const struct device_observation *observation);

/* The state of a device that is as decided: held, where that is to have no driver for its group's sake. */
enum device_state state_as_decided(const struct decision *decision);
