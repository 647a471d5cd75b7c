/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The devices that a person names: 0000:03:00.0, 03:00.0, pci/0000:03:00.0, a path in sysfs, an interface, a
 * disk, a node below /dev, /dev/vfio/12 for the members of a group, a pattern, or by the rule that decides
 * about them. Of another machine, which has no /sys here: what its service lists.
 */
#pragma once

#include "base/arena.h"
#include "base/macro.h"
#include "cli/command-line.h"

#include <stdbool.h>
#include <stddef.h>

struct device_name {
	const char *bus, *name;
};

struct device_names {
	struct arena arena;
	struct device_name *v; /* in the order in which they were named, each once */
	size_t n, allocated;
};

void device_names_done(struct device_names *names);

/* Each once. 0 or -ENOMEM. */
_must_check_ int device_names_add(struct device_names *names, const char *bus, const char *name);

/*
 * All that the arguments name, and the option --rule; `absent`: a device that is not there may be named in
 * full, as BUS/NAME. STATUS_DONE, or another exit status, and the reason was said.
 */
_must_check_ int device_names_find_or_fail(struct device_names *names, const struct cli *cli,
					   char *const *args, size_t n, bool absent);

/* The same where it must be one device. */
_must_check_ int device_name_find_or_fail(struct device_names *names, const struct cli *cli,
					  char *const *args, size_t n);
