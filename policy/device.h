/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A device as the policy sees it: facts, asked for one at a time and only when a rule needs them.
 *
 * Code that knows devices (a sysfs path, a raw uevent, the service, a test) embeds struct device in its own
 * object and fills in the operations. Answers are kept here, so that the thousandth rule that asks for a
 * name costs a comparison and not a read.
 */
#pragma once

#include "base/arena.h"
#include "base/hash.h"
#include "base/macro.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DRIVER_NAME_MAX 127

enum fact {
	FACT_BUS,	 /* the bus's name */
	FACT_NAME,	 /* the sysfs name */
	FACT_ANCESTOR,	 /* sysfs names of all ancestors */
	FACT_PATH,	 /* PCI: the topological path */
	FACT_MODALIAS,	 /* the modalias */
	FACT_ID,	 /* PCI: vvvv:dddd:ssss:ssss, lower case */
	FACT_CLASS,	 /* PCI: six hex digits, lower case */
	FACT_PHYSFN,	 /* virtual functions: the physical function's sysfs name */
	FACT_FIRMWARE,	 /* ACPI path or device-tree node, both if both */
	FACT_COMPATIBLE, /* device-tree compatible strings */
	FACT_ATTR,	 /* first line of a sysfs attribute, which is named */
	FACT_COUNT,
};

struct value {
	const char *text;
	size_t length;
	uint32_t hash; /* of the text in lower case, see value_hash() */
};

/* What a device answers: mostly one value, none when it has no such thing. */
struct values {
	struct value *v;
	size_t n;
};

struct device;
struct rule;

struct device_ops {
	/*
	 * Adds the values of a fact with device_add_value(); attr is the attribute's name for FACT_ATTR.
	 * 0: answered, be it with nothing; -EAGAIN: not known yet; other negative errno: could not ask, so
	 * that it is not known either, and why.
	 */
	int (*fact)(struct device *d, enum fact fact, const char *attr, struct values *values);
	/*
	 * All members of the device's IOMMU group, the device among them by the very same pointer. The array
	 * and the members belong to the device. -ENODATA: it is in none, or in none yet.
	 */
	int (*group)(struct device *d, struct device ***ret_members, size_t *ret_n);
	/* Whether a device that is in no group may be put into one before a driver gets it. Asked last. */
	bool (*group_may_come)(struct device *d);
	/*
	 * Where the device is, without asking it: its FACT_PATH if it is no virtual function; else this with
	 * another function in the last place and `/vfN` behind. "": it has no path. Negative errno: not
	 * known, so that it must be asked. NULL: never known.
	 */
	int (*place)(struct device *d, char *buf, size_t size);
	/*
	 * 1: a bridge, which keeps its driver whatever the group does; 0: an endpoint; negative errno: cannot
	 * tell.
	 */
	int (*is_bridge)(struct device *d);
	/*
	 * 1: was present at boot, 0: came later, -ENODATA: nobody can tell, for no sweep left its list; other
	 * negative errno: the list cannot be read.
	 */
	int (*was_present)(struct device *d);
	/*
	 * The id of the rule whose Group= this very device was given earlier in this boot; 0 if none. 0, or
	 * negative errno: cannot tell.
	 */
	int (*kept_rule)(struct device *d, uint64_t *ret);
	/*
	 * The VFIO driver that this rule has chosen for this very device earlier in this boot, else the one
	 * that is bound to it. 1: its name is in buf; 0: there is none; negative errno: cannot tell.
	 */
	int (*vfio_driver)(struct device *d, uint64_t rule_id, char buf[static DRIVER_NAME_MAX + 1]);
};

/* What must be known for a decision, and is not. */
struct missing {
	enum fact fact;	  /* that a rule compares with; FACT_COUNT: none, but `what` */
	const char *attr; /* with FACT_ATTR: its name, of the rule */
	const char *what; /* with FACT_COUNT: in words */
	int error;	  /* -EAGAIN: it may be known later; else why it cannot be read */
};

struct device {
	const struct device_ops *ops;
	struct arena arena;    /* for answers and whatever lives as long as the device */
	struct arena *scratch; /* in its place, of somebody who takes it back as a whole; NULL: none */
	struct {
		struct values values;
		int r;
		bool asked;
	} facts[FACT_ATTR];
	struct attr_answer *attrs;
	/* The rule of its own, once looked for: see own_rule() in decide.c. */
	const struct rule *own;
	const struct policy *own_policy;
	unsigned long own_serial;
	struct missing own_missing;
	int own_rule_result;
};

/* Case-insensitive, so that one hash serves both ways of comparing. */
static inline uint32_t value_hash_add(uint32_t h, char c)
{
	if (c >= 'A' && c <= 'Z')
		c = (char)(c + ('a' - 'A'));
	return fnv1a_32(h, (unsigned char)c);
}

static inline uint32_t value_hash(const char *s, size_t n)
{
	uint32_t h = FNV32_BASIS;

	for (size_t i = 0; i < n; i++)
		h = value_hash_add(h, s[i]);
	return h;
}

static inline struct arena *device_arena(struct device *d)
{
	return d->scratch ? d->scratch : &d->arena;
}

/* For device_ops.fact: one more value, copied. 0 or -ENOMEM. */
_must_check_ int device_add_value(struct device *d, struct values *values, const char *text, size_t length);

/*
 * The values of a fact, asked for once and then kept. *ret is borrowed from the device.
 * 0; -EAGAIN when the answer is not known yet; other negative errno: it cannot be read.
 */
_must_check_ int device_fact(struct device *d, enum fact fact, const char *attr, struct values *ret);

/* The first value of a fact that is no attribute; NULL when it has none or is not known. */
const char *device_text(struct device *d, enum fact fact);

/* Gives back the answers; the embedding object is the caller's. */
void device_done(struct device *d);

/* "Bus=", "Attr.": the key by which policy files call a fact, for messages. */
extern const char *const fact_keys[FACT_COUNT + 1];

static inline const char *fact_key(enum fact fact)
{
	return fact_keys[fact];
}
