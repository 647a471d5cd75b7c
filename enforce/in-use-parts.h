/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of in-use.h have in common. Each check: 1 in use, with the reason said; 0 free; or negative
 * errno. */
#pragma once

#include "base/arena.h"
#include "base/array.h"
#include "base/macro.h"
#include "enforce/in-use-answer.h"
#include "sysfs/fd-users.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Something that was found on the way, to be asked about when all is found. */
struct in_use_item {
	enum in_use_kind {
		IN_USE_NODE,  /* only who has it open counts */
		IN_USE_DISK,  /* can be opened exclusively, as well */
		IN_USE_GROUP, /* of VFIO: can be opened once */
	} kind;
	const char *part; /* see struct in_use */
	const char *path; /* in sysfs */
	const char *name; /* below /dev */
};

struct in_use {
	const char *root; /* of the sysfs tree */
	struct in_use_answer *answer;
	struct in_use_search *search; /* NULL: for this device alone */
	bool look_only;
	bool nodes_only; /* only to learn which nodes there are; nothing else is asked about */
	/* What is looked at dies with the device but is another: "its virtual function 0000:01:10.1". "": the
	 * device. */
	const char *part;
	struct arena arena;
	struct strings visited; /* folders: a device that is reached by two links is looked at once */
	/* Item by item, its node in the same place: who has one of them open is asked once, for all of them.
	 */
	struct in_use_item *items;
	struct node *nodes;
	size_t n, items_allocated, nodes_allocated;
};

/* Says who uses it; 1. */
int in_use_set_reason(const struct in_use *u, const char *format, ...) _printf_(2, 3);

/* Whether what was read has gone meanwhile, as what belongs to another function of the card may, which is
 * moved at the same time. r: a negative errno. Reading a file of sysfs that was opened before fails with
 * ENODEV then. */
bool in_use_has_gone(int r);

/* First line of the file PATH/attr, and the last part of where the link PATH/link points to. 0 or negative
 * errno; -ENOENT: there is no such file, or no more. */
int in_use_attr(const char *path, const char *attr, char *buf, size_t size);
int in_use_link(const char *path, const char *link, char *buf, size_t size);

/* The device number of a folder in sysfs, as text ("259:0") and in parts. 1; 0: it has none; negative errno.
 */
#define DEV_MAX 32
int in_use_device_number(const char *path, char dev[static DEV_MAX], unsigned *ret_major,
			 unsigned *ret_minor);

/* All of a file beside the sysfs tree ("proc/swaps"); malloc()ed. NULL: it cannot be read. */
char *in_use_read_file(const struct in_use *u, const char *file);

/* Looks at a device's folder, all that is below it, and all that dies with it. */
int in_use_walk_device(struct in_use *u, const char *path);

/* A path in sysfs of a network interface. */
int in_use_net(const struct in_use *u, const char *path, const char *name);

/* The folder `net` of a device: whether it has interfaces that this network namespace does not show. */
int in_use_net_elsewhere(const struct in_use *u, const char *path);

/* A folder in sysfs that may have a `dev` file: its node is remembered. 0 or negative errno. */
int in_use_add_node(struct in_use *u, const char *path, const char *subsystem);

/* The nodes of a graphics card of NVIDIA, which have no folder in sysfs: remembered likewise. */
int in_use_add_nvidia(struct in_use *u, const char *name);

/* The group of VFIO that a folder's device is in, by the link path/iommu_group: remembered likewise. */
int in_use_add_group(struct in_use *u, const char *path);

/* Whether a process has a node of one of the items open. */
int in_use_openers(struct in_use *u);

/* Whether the disk or the group of an item can be opened exclusively. */
int in_use_disk(struct in_use *u, const struct in_use_item *item, const struct node *node);
int in_use_group(struct in_use *u, const struct in_use_item *item);
