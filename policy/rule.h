/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One rule: what a `[device LABEL]` section says, checked and made ready for matching. Its keys are known in
 * rule-keys.h and the files behind it, and nowhere else.
 */
#pragma once

#include "base/macro.h"
#include "policy/device.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum driver_kind {
	DRIVER_UNSET,
	DRIVER_NAMED,
	DRIVER_NONE,	/* no driver may bind: the literal `none` is written */
	DRIVER_DEFAULT, /* exempt: the device's own driver */
	DRIVER_VFIO,	/* the VFIO driver of the device's bus */
};

struct driver_choice {
	enum driver_kind kind;
	const char *name; /* only with DRIVER_NAMED */
};

enum group_kind {
	GROUP_UNSET,
	GROUP_LEAVE,
	GROUP_HOLD, /* companions that come after the boot sweep get `none` */
	GROUP_GIVE, /* companions get a driver (or `none`), always */
};

enum rebind {
	REBIND_UNSET,
	REBIND_NO,
	REBIND_SAFE,
	REBIND_FORCE,
};

/* One value of a match key. */
struct pattern {
	struct pattern *next;
	const char *text;
	uint32_t hash;	 /* value_hash() of the text: settles nearly all comparisons of plain texts */
	uint16_t length; /* of the text */
	uint16_t plain;	 /* how many characters come before the first one that is special in a glob */
	bool fold;	 /* compare without case */
	unsigned line;	 /* where it stands in the file */
};

/* A match key with its values, any of which will do. */
struct condition {
	struct condition *next;
	enum fact fact;
	const char *attr;	    /* the attribute's name, with FACT_ATTR */
	struct pattern *any, *last; /* the first value and the last: appending costs the same for each */
};

/* Who may open the VFIO or UIO node that comes with the driver; a part that is "" is left to udev. */
struct rule_access {
	const char *user, *group; /* NULL: the rule has no Access= */
	const char *mode;	  /* in octal digits */
};

struct rule {
	const char *label;
	const char *file;      /* the path that the user knows, also when the last good copy was read */
	unsigned line;	       /* of the section's header */
	unsigned line_at_hand; /* while the file is parsed: of the key, or of what rule_finish() refuses */
	size_t order;	       /* position in the policy: the lower one decides */
	const char *text;      /* the section as it stands in the file, for rule_id() */
	size_t text_size;
	struct condition *conditions; /* cheapest fact first; all must hold */
	struct driver_choice driver;
	enum group_kind group;
	struct driver_choice group_driver; /* only with GROUP_GIVE */
	enum rebind rebind;
	const char *module; /* NULL: found from aliases and the driver's name */
	struct rule_access access;
};

/*
 * The id of a rule, from all that it says and in which file, without comments and blank lines: the same in
 * every program; never 0.
 */
uint64_t rule_id(const struct rule *rule);

/* "file:line" of a rule; "" without one, or where it does not fit. */
void rule_source(const struct rule *rule, char *buf, size_t size);

bool driver_name_is_valid(const char *name);

const char *rebind_to_string(enum rebind rebind);
/* 0 or -EINVAL. */
_must_check_ int rebind_from_string(const char *text, enum rebind *ret);
