/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Places that a rule names together with a device, and in which there is another device now: a card was
 * exchanged. */
#pragma once

#include "base/arena.h"
#include "base/macro.h"
#include "policy/settings.h"

#include <stddef.h>

struct taken_place {
	const char *bus, *name; /* of the device that is there, and that the rule leaves alone */
	const char *rule;	/* its label */
	const char *source;	/* file:line */
};

struct taken_places {
	struct arena arena;
	struct taken_place *v;
	size_t n, allocated;
};

/* By policy and sysfs; nothing is said of the policy's errors. 0 or negative errno; call _done() in any case.
 */
_must_check_ int taken_places_find(struct taken_places *places, const struct settings *settings);
void taken_places_done(struct taken_places *places);
