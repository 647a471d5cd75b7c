/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Two runs over the same devices: with the policy in force, and with that of the next boot, for which no
 * runtime file, no last good copy and no record is there.
 */
#pragma once

#include "cli/boot-needs.h"
#include "cli/lint-run.h"
#include "cli/next-command-line.h"
#include "state/boot-image.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

struct rehearsed_device {
	const struct lint_device *now, *next; /* of the two runs */
	char override[OVERRIDE_MAX];	      /* that stands now */
	bool changes;			      /* it will not have the driver that it has */
};

struct rehearsal {
	struct settings next_settings;
	char command_line[PATH_MAX]; /* the file with that of the next boot; "": as in this boot, or not known
				      */
	char runtime[PATH_MAX];	     /* a folder with the rules of that; "": the runtime directory itself */
	bool has_failed;	     /* the policy of the directories: the next boot has the last good one */
	char last_good[PATH_MAX];    /* where that is */
	struct boot_image image;
	char next_state[PATH_MAX];
	struct policy *policy_now, *policy_next;
	struct lint lint; /* memory of the runs; they find nothing */
	struct lint_run now, next;
	struct rehearsed_device *devices; /* by bus and name */
	size_t n_devices;
	struct boot_needs needs;
	/* The same by the policy that the boot image has, where that is another one and is known. */
	struct settings image_settings;
	char image_folder[PATH_MAX];
	struct policy *policy_image;
	struct lint_run in_image;
	struct boot_needs image_needs;
};

/* What the next boot decides, and what it needs: policy_next, next and needs. 0 or negative errno;
 * rehearsal_done() also after a failure. */
_must_check_ int rehearsal_make_next(struct rehearsal *h, const struct settings *settings);
/* All of it: also what there is now, and what a boot image makes of it. */
_must_check_ int rehearsal_make(struct rehearsal *h, const struct settings *settings);
void rehearsal_done(struct rehearsal *h);

/* The first of what the boot image's policy takes that the policy of the disk leaves; NULL: nothing. */
const struct boot_need *rehearsal_image_loss(const struct rehearsal *h);

/* The part of the command line: h->next_settings are those of the next boot. 0 or negative errno. */
_must_check_ int rehearsal_take_command_line(struct rehearsal *h);
void rehearsal_command_line_done(struct rehearsal *h);

/* The driver that a device has after the next boot, as far as policy says; "": none, or whichever is made for
 * it. */
const char *rehearsed_driver(const struct rehearsed_device *device);
