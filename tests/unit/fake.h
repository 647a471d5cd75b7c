/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A device that exists nowhere: the test says what it answers. That it suffices shows that matching and
 * deciding need no sysfs.
 */
#pragma once

#include "device.h"

#define FAKE_VALUES 8
#define FAKE_MEMBERS 64

struct fake {
	struct device device;
	struct {
		const char *v[FAKE_VALUES];
		size_t n;
		int r; /* what asking returns; with an error no values are given */
		unsigned asked;
	} facts[FACT_COUNT];
	const char *place; /* NULL: not known without asking for the path */
	const char *attr;  /* the only attribute it has; its value is facts[FACT_ATTR].v */

	struct device *members[FAKE_MEMBERS];
	size_t n_members;
	int group_r; /* -ENODATA until it is put into a group */
	bool group_may_come;
	int present;
	uint64_t kept;
	unsigned group_asked;
};

/* All in one: nothing known, no group, not there at the boot's first sweep. */
void fake_init(struct fake *f);
void fake_done(struct fake *f);

void fake_add(struct fake *f, enum fact fact, const char *text);
/* The fact is not known (yet): -EAGAIN, or whatever went wrong. */
void fake_unknown(struct fake *f, enum fact fact, int r);
void fake_attr(struct fake *f, const char *attr, const char *text);

/* Makes the devices one group; the order is that of the array. */
void fake_group(struct fake *const *v, size_t n);

/* A PCI function with what rules mostly ask for. */
void fake_pci(struct fake *f, const char *name, const char *id, const char *class);
