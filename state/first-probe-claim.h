/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is claimed of the first driver probe after a device was added, and the words of that: on the bus, in
 * records and files. */
#pragma once

enum first_probe {
	FIRST_PROBE_UNSEEN,	/* nobody has looked; its word is "" */
	FIRST_PROBE_GUARANTEED, /* the kernel was held, or could not have loaded a driver, until the override
				 * stood */
	FIRST_PROBE_WON,	/* not held, but the override stood before any driver was seen */
	FIRST_PROBE_LOST,	/* another driver bound first */
	FIRST_PROBE_UNKNOWN,	/* this package came later, or cannot tell */
};

const char *first_probe_to_string(enum first_probe claim);

/* FIRST_PROBE_UNKNOWN for a word that this version does not know. */
enum first_probe first_probe_from_string(const char *text);

/*
 * Which of two claims counts, the earlier or the later one. A claim is refined and never raised: "lost" was
 * seen and is right, only a hold can guarantee, and else the first to look knows best.
 */
enum first_probe first_probe_merge(enum first_probe old, enum first_probe new);
