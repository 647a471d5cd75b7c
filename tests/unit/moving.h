/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A device on a mock tree with a kernel behind it: its own driver, nvme, has it, and vfio-pci is loaded. It
 * is moved as the policy says.
 */
#pragma once

#include "applying.h"
#include "kernel.h"
#include "move.h"

#define RULE(driver) "[device x]\nName=0000:00:03.0\nDriver=" driver "\n"

struct stage {
	struct bench b;
	struct mock *m;
	const char *device;
	struct moved moved;
	struct record record; /* what record_of() found last */
};

struct stage stage_new(const char *policy);
void stage_done(struct stage *s);

void move(struct stage *s);
void move_with(struct stage *s, struct move_options options);

/* An event of the device, in which nothing is unbound. */
void event(struct stage *s);

/* What came of it; "" for an error that there is not. */
void assert_moved(struct stage *s, const char *state, const char *error, const char *driver,
	const char *override, bool changed);

/* As it is now; good until the next call. A pointer: check's macros outlive a returned struct. */
const struct record *record_of(struct stage *s);

/* The program by which the kernel would load modules: a script that is given modprobe's arguments; these. */
void modprobe(struct stage *s, const char *script);
const char *loaded(struct stage *s);

/* Something of the device that is in use as long as the tree has it. */
void use(struct stage *s);
