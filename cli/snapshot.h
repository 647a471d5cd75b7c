/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A snapshot while it is made: lines, collected from what is read below one root. */
#pragma once

#include "base/arena.h"
#include "base/array.h"
#include "base/macro.h"
#include "cli/snapshot-format.h"
#include "policy/policy.h"
#include "sysfs/sysfs.h"

#include <stdbool.h>
#include <stddef.h>

struct snapshot {
	struct arena arena;
	struct sysfs sysfs;
	const struct settings *settings;
	const struct policy *policy; /* of this machine: its rules tell which attributes matter */
	bool with_private;	     /* numbers and addresses that only one machine has, too */
	struct strings lines;
	struct strings modaliases; /* of devices without a driver */
	struct strings masked;	   /* names of interfaces, in place of which others stand */
	int r;			   /* the first failure: -ENOMEM */
};

void snapshot_done(struct snapshot *s);

/* One more line; a path that cannot be in a snapshot is passed over. value may have any bytes. */
void snapshot_add(struct snapshot *s, enum snapshot_kind kind, const char *path, const char *value, size_t n);
void snapshot_add_text(struct snapshot *s, enum snapshot_kind kind, const char *path, const char *value);

/* Where a path of the snapshot is on the machine. 0 or -ENAMETOOLONG. */
_must_check_ int snapshot_real_path(const struct snapshot *s, const char *path, char *buf, size_t size);

/* What is there under a path of the snapshot; nothing where there is nothing. */
void snapshot_copy_file(struct snapshot *s, const char *path);
void snapshot_copy_link(struct snapshot *s, const char *path);
/* Calls `add` with the path of each entry of a folder, and its name. */
void snapshot_for_each(struct snapshot *s, const char *folder,
		       void (*add)(struct snapshot *s, const char *path, const char *name));
/* The names in a folder, as folders. */
void snapshot_copy_names(struct snapshot *s, const char *path);

/* What tells one machine from others in a path, and in a text for people: "" of it is left, or a number. */
const char *snapshot_mask_path(struct snapshot *s, const char *path);
const char *snapshot_mask_addresses(struct snapshot *s, const char *text);

/* Sorts the lines and writes them with the first and the last. *ret is malloc()ed. 0 or -ENOMEM. */
_must_check_ int snapshot_text(struct snapshot *s, char **ret, size_t *ret_size);

/* Parts of it, each in a file of its own. */
void snapshot_add_device(struct snapshot *s, struct sysfs_device *d);
void snapshot_add_buses(struct snapshot *s);
void snapshot_add_classes(struct snapshot *s);
void snapshot_add_modules(struct snapshot *s);
void snapshot_add_critical(struct snapshot *s);
void snapshot_add_beside(struct snapshot *s);
