/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The words of the states; see device-state.h. */
#include "state/device-state.h"

const char *device_state_to_string(enum device_state state)
{
	switch (state) {
	case STATE_UNKNOWN:
		return "";
	case STATE_UNMANAGED:
		return "unmanaged";
	case STATE_FOREIGN:
		return "foreign";
	case STATE_ENFORCED:
		return "enforced";
	case STATE_HELD:
		return "held";
	case STATE_PENDING:
		return "pending";
	case STATE_BLOCKED:
		return "blocked";
	case STATE_FAILED:
		return "failed";
	case STATE_STUCK:
		return "stuck";
	}
	return "";
}

enum device_state device_state_from_string(const char *text)
{
	for (enum device_state state = STATE_UNMANAGED; state <= STATE_STUCK; state++)
		if (streq(text, device_state_to_string(state)))
			return state;
	return STATE_UNKNOWN;
}
