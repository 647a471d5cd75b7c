/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* In place of hold.c where clang, bpftool or libbpf were missing when this was built: no hold. */
#include "guard/hold.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

struct hold {
	int nothing;
};

struct hold *hold_new(uint64_t limit_usec)
{
	(void)limit_usec;
	return calloc(1, sizeof(struct hold));
}

struct hold *hold_free(struct hold *h)
{
	free(h);
	return NULL;
}

const char *hold_why_not(const struct hold *h)
{
	(void)h;
	return "this build has no hold (meson option `hold`)";
}

void hold_set_buses(struct hold *h, const char *const *buses, size_t n)
{
	(void)h;
	(void)buses;
	(void)n;
}

uint64_t hold_ticket(struct hold *h, const char *bus, const char *name)
{
	(void)h;
	(void)bus;
	(void)name;
	return 0;
}

bool hold_release(struct hold *h, uint64_t ticket)
{
	(void)h;
	(void)ticket;
	return false;
}

void hold_release_all(struct hold *h)
{
	(void)h;
}

int hold_outcome(struct hold *h, const char *bus, uint64_t ticket)
{
	(void)h;
	(void)bus;
	(void)ticket;
	return -ENOENT;
}

void hold_disown(struct hold *h)
{
	(void)h;
}

void hold_count(const struct hold *h, struct hold_counters *ret)
{
	(void)h;
	*ret = (struct hold_counters){};
}

bool hold_has_given_up(const struct hold *h)
{
	(void)h;
	return false;
}

void hold_rearm(struct hold *h)
{
	(void)h;
}

bool hold_siblings_wait(struct hold *h, const char *bus, const char *name)
{
	(void)h;
	(void)bus;
	(void)name;
	return false;
}

struct hold_late *hold_late_new(struct hold *h)
{
	(void)h;
	return NULL;
}

int hold_late_wait(struct hold_late *late, struct hold_key *ret)
{
	(void)late;
	(void)ret;
	return -ENOENT;
}
