/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Why a member keeps its IOMMU group from a guest, and the commands that would change it. */
#pragma once

#include "base/arena.h"
#include "base/macro.h"
#include "cli/command-line.h"
#include "cli/critical-devices.h"
#include "cli/device-rows.h"

#include <stddef.h>

struct group_command {
	const char *command; /* as a shell takes it */
	const char *effect;  /* in a few words */
};

struct group_why {
	const char *why; /* a sentence without its end */
	struct group_command commands[2];
	size_t n_commands;
};

/*
 * Finds out why `member` blocks the group of n members that it is in. critical: what the machine cannot lose,
 * which is named where the member has it; may be empty. Texts are the arena's. 0 or -ENOMEM.
 */
_must_check_ int group_why_find(const struct cli *cli, const struct device_row *member,
				const struct device_row *const *group, size_t n,
				const struct critical_devices *critical, struct arena *arena,
				struct group_why *ret);
