/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The words of the claims about a first probe; see first-probe-claim.h. */
#include "state/first-probe-claim.h"
#include "base/text.h"

const char *first_probe_to_string(enum first_probe claim)
{
	switch (claim) {
	case FIRST_PROBE_UNSEEN:
		return "";
	case FIRST_PROBE_GUARANTEED:
		return "guaranteed";
	case FIRST_PROBE_WON:
		return "won";
	case FIRST_PROBE_LOST:
		return "lost";
	case FIRST_PROBE_UNKNOWN:
		return "unknown";
	}
	return "";
}

enum first_probe first_probe_from_string(const char *text)
{
	for (enum first_probe claim = FIRST_PROBE_UNSEEN; claim < FIRST_PROBE_UNKNOWN; claim++)
		if (streq(text, first_probe_to_string(claim)))
			return claim;
	return FIRST_PROBE_UNKNOWN;
}

enum first_probe first_probe_merge(enum first_probe old, enum first_probe new)
{
	if (old == FIRST_PROBE_LOST || new == FIRST_PROBE_LOST)
		return FIRST_PROBE_LOST;
	if (old == FIRST_PROBE_GUARANTEED || new == FIRST_PROBE_GUARANTEED)
		return FIRST_PROBE_GUARANTEED;
	return old != FIRST_PROBE_UNSEEN ? old : new;
}
