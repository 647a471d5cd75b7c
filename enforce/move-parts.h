/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the way there (move.c) and the way back (move-rollback.c) have in common. */
#pragma once

#include "sysfs/binding.h"
#include "enforce/move.h"

#include <stdbool.h>

/* A device on its way: what it was like before anything was done, and what is wanted. */
struct move {
	const struct decision *decision; /* &chosen */
	struct decision chosen;
	const struct move_options *options;
	struct sysfs_device *d;
	struct move_result *ret;
	struct record record;
	const char *driver;   /* bound before; "" if none */
	const char *override; /* before; "" if none */
	char driver_before[BOUND_MAX], override_before[OVERRIDE_MAX];
	bool ours;	 /* the override was */
	bool unrecorded; /* it was, but no record says so: the guard died over it */
	bool foreign;	 /* it was somebody else's, and not what is wanted */
};

/* What was said is also what the record says; nothing has been done about the decision. */
void move_save_record(struct move *m);

bool move_driver_is_wrong(const struct move *m);

/* A step has failed, and the reason is said: back to the override and to the driver of before. */
void move_roll_back(struct move *m);
