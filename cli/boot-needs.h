/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a machine needs to come up, and whether the decisions of a run leave it that. */
#pragma once

#include "cli/critical-devices.h"
#include "cli/lint-run.h"

#include <stdbool.h>
#include <stddef.h>

enum boot_need_state {
	NEED_KEPT,
	NEED_LOST,    /* a decision takes it away */
	NEED_MISSING, /* it is not here now, so nobody can tell */
};

struct boot_need {
	const char *what; /* "the root file system", "/home", "a network card", "a console" */
	const struct lint_device
		*device; /* by which it is kept, or which is taken; NULL: none of ours is in it */
	enum boot_need_state state;
	bool optional; /* the boot goes on without it */
};

struct boot_needs {
	struct critical_devices critical;
	struct boot_need *v;
	size_t n, allocated;
};

/* Finds them for the machine of run->settings. 0 or -ENOMEM. */
_must_check_ int boot_needs_find(struct boot_needs *needs, const struct lint_run *run);
void boot_needs_done(struct boot_needs *needs);

/* How many are lost, or missing, that the boot does not go on without. */
size_t boot_needs_count_lost(const struct boot_needs *needs);
/* Whether it is lost, and the boot does not go on without it; and by `before` it is not. */
bool boot_need_is_new_loss(const struct boot_need *need, const struct boot_needs *before);
const char *boot_need_state_text(enum boot_need_state state);
