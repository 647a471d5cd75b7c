/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tickets in an array; see fake-hold.h. */
#include "fake-hold.h"
#include "suite.h"

#include "../../policy/util.h"

#include <stdatomic.h>

#define TICKETS 64

struct hold {
	struct {
		char bus[32], name[64];
		_Atomic(int) mark;
		bool void_; /* its hold has ended, or another device has its name */
	} v[TICKETS];
	_Atomic(uint64_t) n; /* ticket N is at N - 1 */
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

uint64_t hold_ticket(struct hold *h, const char *bus, const char *name)
{
	for (uint64_t i = atomic_load(&h->n); i > 0; i--)
		if (!h->v[i - 1].void_ && streq(h->v[i - 1].bus, bus) && streq(h->v[i - 1].name, name))
			return i;
	return 0;
}

uint64_t fake_hold_issue(struct hold *h, const char *bus, const char *name)
{
	uint64_t before = hold_ticket(h, bus, name), n = atomic_load(&h->n);

	ck_assert_uint_lt(n, TICKETS);
	if (before)
		h->v[before - 1].void_ = true;
	(void)snprintf(h->v[n].bus, sizeof(h->v[n].bus), "%s", bus);
	(void)snprintf(h->v[n].name, sizeof(h->v[n].name), "%s", name);
	atomic_store(&h->n, n + 1);
	return n + 1;
}

enum hold_mark fake_hold_mark(struct hold *h, uint64_t ticket)
{
	return (enum hold_mark)atomic_load(&h->v[ticket - 1].mark);
}

static bool change(struct hold *h, uint64_t ticket, int from, int to)
{
	return atomic_compare_exchange_strong(&h->v[ticket - 1].mark, &from, to);
}

void fake_hold_end(struct hold *h, uint64_t ticket)
{
	if (!change(h, ticket, HOLD_DECIDED, HOLD_PASSED))
		(void)change(h, ticket, HOLD_WAITS, HOLD_LET_GO);
	h->v[ticket - 1].void_ = true;
}

void fake_hold_race(struct hold *h, uint64_t ticket)
{
	if (!change(h, ticket, HOLD_WAITS, HOLD_RACED))
		(void)change(h, ticket, HOLD_DECIDED, HOLD_RACED);
}

bool hold_release(struct hold *h, uint64_t ticket)
{
	return ticket &&
	       (change(h, ticket, HOLD_WAITS, HOLD_DECIDED) || fake_hold_mark(h, ticket) == HOLD_DECIDED);
}

int hold_outcome(struct hold *h, const char *bus, uint64_t ticket)
{
	enum hold_mark mark;

	(void)bus;
	if (!ticket)
		return -ENOENT;
	mark = fake_hold_mark(h, ticket);
	return mark == HOLD_WAITS || mark == HOLD_DECIDED ? -EAGAIN : (int)mark;
}

/* As guard/holding.c, but for one that is alone. */
bool hold_siblings_wait(struct hold *h, const char *bus, const char *name)
{
	char sibling[64];
	size_t n = strlen(name);

	(void)snprintf(sibling, sizeof(sibling), "%s", name);
	for (char f = '0'; f < '8'; f++) {
		sibling[n - 1] = f;
		if (f != name[n - 1] && hold_ticket(h, bus, sibling))
			return true;
	}
	return false;
}

const char *hold_why_not(const struct hold *h)
{
	(void)h;
	return NULL;
}

void hold_set_buses(struct hold *h, const char *const *buses, size_t n)
{
	(void)h;
	(void)buses;
	(void)n;
}

void hold_release_all(struct hold *h)
{
	(void)h;
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
