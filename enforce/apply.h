/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Makes sysfs agree with a decision about one device, as far as possible without unbinding anything, and
 * records the result. Every step may sleep in the kernel, so call it in a process that can be left behind
 * (child.h).
 */
#pragma once

#include "policy/decide.h"
#include "state/device-state.h"
#include "state/record.h"
#include "sysfs/sysfs.h"

#include <stdbool.h>
#include <stddef.h>

struct outcome {
	enum device_state state;
	char reason[512];
	bool wrote;	   /* the override was written (or cleared) */
	bool other_driver; /* a driver is bound that was not decided */
	bool needs_module; /* the decided driver is not registered with the bus yet */
	bool gone;	   /* the device has gone meanwhile: there is nothing to say of it */
	bool not_bound;	   /* the driver was asked to probe the device, and has not bound it */
	bool released;	   /* a person has had it released, so nothing was done */
	bool unrecorded;   /* the record could not be written; that is logged, or the reason says so */
};

/*
 * Adds to the reason what it means for VFIO that no IOMMU confines the device: whoever reads the state must
 * know, whether it is good or bad.
 */
void outcome_add_iommu(const struct decision *decision, struct outcome *o);

/*
 * Adds that it is not known which VFIO driver was made for the device, where that is so, and logs it unless
 * the record of before (empty: none) said so already.
 */
void outcome_add_vfio(const struct decision *decision, const struct record *old, struct outcome *o);

/* Logs why the decision could not be carried out. */
void outcome_log_failure(const struct decision *decision, const struct outcome *o);

/* When a decision is applied. What is known of the device's first probe depends on it. */
enum occasion {
	OCCASION_ADDED, /* the device has just been added */
	OCCASION_BOOT,	/* at the boot's first sweep, before anything loads a driver */
	OCCASION_LATER, /* at any other time: nobody saw what came first */
	/* The same at an event that is asked for again and again, mostly by others: a device that was as
	 * decided and was changed by others since is left to them. */
	OCCASION_AGAIN,
};

/*
 * Compares, writes at most once, has a device without a driver probed by the decided driver if that is
 * registered, and looks at the result. Never overwrites an override that is not ours. The outcome is
 * complete: failures of sysfs are outcomes, not errors. Logs what others have changed, once for each change.
 * Nothing is done to a device that a person has had released.
 */
void apply_decision(const struct decision *decision, enum occasion occasion, struct outcome *ret);

/*
 * The same at any later time, replacing the override that stands, `override` ("": none), although it is not
 * ours, because a person asked for that. Any other value is still left alone.
 */
void apply_decision_over(const struct decision *decision, const char *override, struct outcome *ret);

/*
 * What OCCASION_AGAIN does, after another program has changed the device: it is recorded and logged that this
 * `writer` ("": not known) was the last to write its override.
 */
void apply_decision_after(const struct decision *decision, const char *writer, struct outcome *ret);

/*
 * The first half of apply_decision(): the override without the probe, which may take long. Writes nothing
 * if the override stands already. apply_decision() does the rest.
 */
void apply_override(const struct decision *decision, enum occasion occasion, struct outcome *ret);

/*
 * Clears the text "(null)" where it may be the override of a device without a driver, which cannot be told
 * from none. True: a newline was written.
 */
bool apply_clear_null_text(struct sysfs_device *d);

/*
 * Clears an override of ours, deletes the record (but for `released`, where it says so), and has the device
 * probed by its own driver if it has no driver and its bus is not probed by hand. Clears the text "(null)" as
 * well. 1: cleared; 0: there was no override of ours; negative errno with the reason in reterr_reason.
 */
int apply_release(struct sysfs_device *d, char *reterr_reason, size_t size);
