/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the move (move.c) and its rollback (move-rollback.c) share. */
#pragma once

#include "sysfs/binding.h"
#include "enforce/in-use-answer.h"
#include "enforce/move.h"

#include <stdbool.h>

/* A device that is moved: what it was like before, and what is decided. */
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
	bool ours;	   /* the override of before is ours */
	bool unrecorded;   /* it is, but no record says so: the guard died before it could record it */
	bool foreign;	   /* it is somebody else's, and not what is decided */
	bool releases;	   /* it is to be released, or stays so: as if nothing were decided */
	bool releases_now; /* with releases: it was not released before */
};

/* Records state and reason of the result where nothing was done about the decision. */
void move_save_record(struct move *m);

bool move_driver_is_wrong(const struct move *m);

/* Restores the override and the driver of before, after a step has failed. The result has the reason already.
 */
void move_roll_back(struct move *m);

/*
 * Under Rebind=safe: whether a function that shares the device's slot, and that the same rule is to take from
 * its driver, is in use. 1: *ret says which, and by what; 0: none is; negative errno: could not look.
 */
int move_check_slot(const struct move *m, struct in_use_answer *ret);

/* After a failed probe: whether the kernel refuses the driver for the sake of the group. Then the outcome
 * says so. */
bool move_is_refused_for_group(const struct move *m, struct outcome *o);

/* As if nothing were decided, where the device is to be released, or was and that is to stay. */
void move_choose_release(struct move *m);

/*
 * Once the move begins: from here on policy counts for the device, or does not. 0 or negative errno; or
 * refuses, with the result saying why.
 */
int move_set_released(struct move *m);
bool move_set_released_or_refuse(struct move *m);

/*
 * No rule decides any more, or the device is released: clears an override of ours, deletes the record, and
 * lets any driver have the device.
 */
void move_give_back(struct move *m);

/* No override of ours is to be taken back; that a person has it released is remembered all the same. */
void move_leave_alone(struct move *m);
