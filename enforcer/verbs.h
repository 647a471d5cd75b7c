/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The verbs of the enforcer, and what they share: the exit status is what each returns. */
#pragma once

#include "enforce/move.h"
#include "policy/settings.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A device's `add` event, from udev: decides, writes the override, prints properties. `device` is as a caller
 * names it, or NULL for the one that udev names in the environment; of another event of that one, only what
 * is recorded is printed. writer: the other program that wrote the override last; "": not known.
 */
int verb_event(const struct settings *settings, const char *device, const char *writer);

/*
 * An event of a VFIO or UIO node, from udev, which names it in the environment: prints who may open it, and
 * its links.
 */
int verb_node(const struct settings *settings);

/* All devices present. at_boot: called by the unit that runs before udev, so first probes may still be won.
 */
int verb_sweep(const struct settings *settings, bool at_boot);

/* The boot's coldplug has been worked off: only completes the list of devices that were present at boot. */
int verb_sweep_settled(const struct settings *settings);

/* The root file system does not come: the last good policy is put in force for this boot. */
int verb_sweep_last_good(const struct settings *settings);

/* A boot has begun ("begin") or is "complete"; "retry": the policy that has failed is to be tried again. */
int verb_boot(const struct settings *settings, const char *what);

/* Clears what we set: on the named devices (a sysfs path, BUS/NAME or a name), or on all. */
int verb_release_overrides(const struct settings *settings, char *const *devices, size_t n);

/*
 * A change of this device, BUS/NAME, that was on trial was not confirmed in time: policy and the device go
 * back. Bytes of the names may be written \xHH. id: of the trial; another one, or none, is not touched.
 */
int verb_undo(const struct settings *settings, const char *text, const char *id);

/*
 * What a boot image needs of the policy: its "files", their "modules", its "digest"; or a "note" that the
 * image of a kernel (NULL with the others) has it.
 */
int verb_image(const struct settings *settings, const char *what, const char *kernel);

/* Numbers for getopt_long(), above those of settings.h. */
enum rebind_option {
	OPTION_REBIND = 0x2000,
	OPTION_OVERWRITE,
	OPTION_ONLY_IF_CHANGED,
	OPTION_RELEASE,
	OPTION_KEEP_RELEASED,
	OPTION_DRY_RUN,
	OPTION_LOOK_ONLY,
	OPTION_INODE,
	OPTION_TIMEOUT,
};

enum {
	OPTION_BOOT = OPTION_TIMEOUT + 1, /* of sweep */
	OPTION_SETTLED,			  /* of sweep */
	OPTION_LAST_GOOD,		  /* of sweep */
	OPTION_WRITTEN_BY,		  /* of event */
	OPTION_TRIAL,			  /* of undo */
	OPTION_WAIT,			  /* of rebind */
};

#define REBIND_LONG_OPTIONS                                                                                  \
	{ "rebind", required_argument, NULL, OPTION_REBIND },                                                \
		{ "overwrite", no_argument, NULL, OPTION_OVERWRITE },                                        \
		{ "only-if-changed", no_argument, NULL, OPTION_ONLY_IF_CHANGED },                            \
		{ "release", no_argument, NULL, OPTION_RELEASE },                                            \
		{ "keep-released", no_argument, NULL, OPTION_KEEP_RELEASED },                                \
		{ "dry-run", no_argument, NULL, OPTION_DRY_RUN },                                            \
		{ "look-only", no_argument, NULL, OPTION_LOOK_ONLY },                                        \
		{ "inode", required_argument, NULL, OPTION_INODE },                                          \
	{                                                                                                    \
		"timeout", required_argument, NULL, OPTION_TIMEOUT                                           \
	}

struct rebind_options {
	struct move_options move;
	/* The inodes of the devices' folders in sysfs, in the order of the devices; none: whichever devices
	 * have the names. */
	uint64_t *inodes;
	size_t n_inodes;
	uint64_t timeout_usec; /* for all of it */
};

#define REBIND_OPTIONS_INIT                                                                                  \
	{                                                                                                    \
		.timeout_usec = 15000000U                                                                    \
	}

/* Takes one of the options above. 1: taken; 0: not one of these; -EINVAL: its argument is invalid. */
int rebind_option(struct rebind_options *o, int option, const char *argument);

/* Applies the policy to devices, unbinding their drivers if needed and allowed, and prints the results. */
int verb_rebind(const struct settings *settings, const struct rebind_options *options, char *const *devices,
		size_t n);
/* The same for one device; what became of it. */
enum move_error verb_rebind_device(const struct settings *settings, const struct rebind_options *options,
				   char *device);
