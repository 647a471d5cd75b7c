/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What sysfs shows of the members of an IOMMU group that matters to those who choose a device for a guest:
 * how it is reset, how it is linked, where it is, by which nodes VFIO offers it, and why it shares its group.
 * All of it is from attributes that everybody may read; a text is "" where they do not tell.
 */
#pragma once

#include "base/arena.h"
#include "base/array.h"
#include "base/macro.h"
#include "cli/device-rows.h"

#include <stdbool.h>
#include <stddef.h>

enum member_fact {
	MEMBER_CLASS,	       /* PCI: "020000" */
	MEMBER_RESET,	       /* PCI: "flr bus", or "none" */
	MEMBER_LINK_SPEED,     /* PCI Express: "8.0 GT/s" */
	MEMBER_LINK_WIDTH,     /* "4" */
	MEMBER_MAX_LINK_SPEED, /* what it can do in a better slot */
	MEMBER_MAX_LINK_WIDTH,
	MEMBER_NUMA_NODE, /* "0" */
	MEMBER_VFIO_NODE, /* "/dev/vfio/devices/vfio0" */
	MEMBER_ACS,	  /* below a port: "yes", it is kept apart; "no"; "unknown" */
	MEMBER_FACTS,
};

struct member_facts {
	char text[MEMBER_FACTS][128];
};

/* As the verb has it in JSON. */
const char *member_fact_key(enum member_fact fact);

/* Reads what is shown of a device that is in the tree at sysfs. */
void member_facts_read(const char *sysfs, const struct device_row *row, struct member_facts *ret);

/* "8.0 GT/s x4", or "8.0 GT/s x4 of 16" where the slot is narrower than the device. */
void member_link_text(const struct member_facts *facts, char *buf, size_t size);

/* The node of a group, "/dev/vfio/12"; "" without one. */
void group_vfio_node(const char *sysfs, const char *group, char *buf, size_t size);

/*
 * Why the n members of a group are not kept apart, a sentence each, as far as their places show it. None for
 * a group of one. 0 or -ENOMEM.
 */
_must_check_ int group_reasons(const char *sysfs, const struct device_row *const *members, size_t n,
			       struct arena *arena, struct strings *ret);
