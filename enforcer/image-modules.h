/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The modules that a boot image needs so that a policy can be enforced in it. */
#pragma once

#include "base/arena.h"
#include "base/array.h"
#include "policy/policy.h"
#include "policy/settings.h"
#include "sysfs/sysfs.h"

#include <stdbool.h>

/* Names of modules, each once and with `_` for `-`, as the kernel has them. */
struct module_names {
	struct arena arena;
	struct strings list;
	bool no_memory; /* some are missing */
};

void module_names_done(struct module_names *names);

/*
 * The modules that rules name, and those of the drivers that they name; for `vfio`, the VFIO drivers that may
 * be meant. sysfs: devices that are there are looked at, too, and tell more than the rules alone; NULL: none
 * are. What is no name of a module is left out: Module= may be an alias. Sorted. 0 or -ENOMEM.
 */
int image_modules_find(const struct settings *settings, const struct policy *policy, struct sysfs *sysfs,
		       struct module_names *names);
