/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The states of a device, and their words: on the bus, in records, in the environment and in answers. */
#pragma once

#include "base/text.h"

#include <stdbool.h>

enum device_state {
	STATE_UNKNOWN,	 /* not recorded, or a word that this version does not know; its own word is "" */
	STATE_UNMANAGED, /* no decision, no override */
	STATE_FOREIGN,	 /* an override that is not ours, or that the kernel set */
	STATE_ENFORCED,	 /* override and driver are as decided */
	STATE_HELD,	 /* without a driver because of its group */
	STATE_PENDING,	 /* decided, not yet so */
	STATE_BLOCKED,	 /* stays with its driver: in use, or Rebind=no */
	STATE_FAILED,	 /* a step failed */
	STATE_STUCK,	 /* a process of ours has not come back from the kernel */
};

const char *device_state_to_string(enum device_state state);

/* STATE_UNKNOWN for all but the eight words. */
enum device_state device_state_from_string(const char *text);

/* Whether a text is the word of this state. */
static inline bool device_state_is(const char *text, enum device_state state)
{
	return streq(text, device_state_to_string(state));
}
