/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The devices that the service knows, as texts: what the bus shows of each, put together by a look at it.
 * Small, for there may be thousands; what it takes to decide lives and dies in the process that looks.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What makes the service look at a device, and so how much may follow from the look. */
enum refresh_purpose {
	REFRESH_ONLY,	       /* nothing: only what the device is like now */
	REFRESH_AND_RECONCILE, /* the device or the policy changed: a rule not tried yet is enforced */
	REFRESH_AND_RETRY,     /* the device or the service is new, or a caller asked: even if tried before */
};

/* The texts of a device, in the order in which a look hands them over. */
enum field {
	FIELD_BUS,
	FIELD_NAME,
	FIELD_SYSFS_PATH,
	FIELD_PATH,
	FIELD_DRIVER,
	FIELD_OVERRIDE,
	FIELD_DECISION,
	FIELD_RULE,
	FIELD_SOURCE,
	FIELD_STATE,
	FIELD_REASON,
	FIELD_FIRST_PROBE,
	FIELD_NODE,	/* of VFIO, in /dev; "" if there is none */
	FIELD_IDENTITY, /* see sysfs_device_identity() */
	FIELD_GROUP,	/* the group's number, "" if none */
	/* Not for the bus. */
	FIELD_RULE_ID,
	FIELD_ADVICE,
	FIELD_INODE,
	FIELD_VFIO, /* "1": it is open to VFIO's users, whatever its driver is called; else "0" */
	FIELD_MODALIAS,
	FIELD_WAIT_FOR, /* of a blocked device: see WAIT_FOR= in state/record.h; "": nothing is waited for */
	FIELD_COUNT,
};

/* What the bus has not been told of a device yet; see daemon/bus/device-signals.h. */
struct device_untold {
	struct device_entry *before, *after; /* in the order in which it is told */
	bool queued;
	bool added;	  /* that it is there at all */
	bool decided;	  /* its decision, or who won its first probe */
	uint32_t changed; /* a bit for each field */
};

struct device_entry {
	struct device_entry *next; /* of its hash bucket */
	struct devices *table;
	char *text; /* what the fields point into */
	const char *field[FIELD_COUNT];
	uint64_t seq;	     /* of the look that delivered this */
	uint64_t tried_rule; /* the reconciler has tried this rule since it began to decide */
	bool differed;	     /* when it did so last, the policy was another one than the look's */
	uint64_t noted;	     /* what others made of it, when the enforcer was last asked to record that */
	bool hangs;	     /* a read of its files did not come back */
	bool awaited;	     /* and the process that waits for it (recovery.h) has not come back either */
	int watch;	     /* of its driver_override; 0: none; see watch-override.h */
	uint64_t n_changes;  /* how many looks have found another text in a field that the bus shows */
	struct device_untold untold;
	/* See refresh_move_begins(). */
	uint64_t half_way_seq; /* of the latest look that had begun when the enforcer did */
	unsigned moves;	       /* by the enforcer, under way */
	bool dropped; /* a look has to follow, for what one has found waits for something; its purpose: */
	enum refresh_purpose dropped_purpose;
};

/* A bus that has devices in the table. */
struct devices_bus {
	struct devices_bus *next;
	size_t n;
	char name[];
};

struct devices {
	struct device_entry **buckets;
	size_t n_buckets, n;
	struct devices_bus *buses; /* by name */
	uint64_t changes;	   /* grows whenever a text of a device changes, or one comes or goes */
};

struct device_entry *devices_find(const struct devices *devices, const char *bus, const char *name);

/* A new one without texts but for these two; NULL when out of memory. It must not be there already. */
struct device_entry *devices_add(struct devices *devices, const char *bus, const char *name);
void devices_remove(struct devices *devices, struct device_entry *entry);
void devices_done(struct devices *devices);

/*
 * Copies FIELD_COUNT texts, of which some may be the entry's own. *ret_changed has a bit for each field whose
 * text is another one now. 0 or -ENOMEM.
 */
int device_update(struct device_entry *entry, const char *const *field, uint32_t *ret_changed);

/* First: NULL. In no order; adding and removing while at it is not allowed. */
struct device_entry *devices_next(const struct devices *devices, const struct device_entry *entry);

/* All, by bus and name; malloc()ed, NULL-terminated. */
struct device_entry **devices_sorted(const struct devices *devices);
