/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How much of the service one user may have; see limits.h. */
#include "daemon/bus/limits.h"
#include "base/list.h"
#include "base/macro.h"
#include "daemon/bus/caller.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/types.h>

static const struct limit_numbers {
	unsigned of_user;   /* one user other than root */
	unsigned of_others; /* all users other than root together */
	unsigned of_all;    /* the rest is kept for root */
} limit_numbers[LIMIT_COUNT] = {
	[LIMIT_CALLS] = { 32, 192, 256 },
	/* The bus allows a connection 128 replies that it waits for: else one user could use them up, and
	 * nobody could be authorized. */
	[LIMIT_UNAUTHORIZED] = { 8, 64, 64 },
	[LIMIT_DRY_RUNS] = { 16, 48, 64 },
	[LIMIT_EXPLANATIONS] = { 4, 12, 16 },
	[LIMIT_ANSWERS] = { 64, 512, 1024 },
};

/* Each process that a user has started costs so much time, of which it may be so far in debt. */
#define PROCESS_USEC 100000U
#define PROCESSES_AT_ONCE 40U
/* All users other than root together may have several times as many. */
#define OTHERS_SHARE 4U
/* Each line of a long answer costs its user so much, which is some ten times what it costs us. */
#define LINE_USEC 10U
#define LINES_DEBT_USEC 2000000U

/* One that has something. Root has one, too, which is only counted. */
struct limit_user {
	struct limit_user *next;
	uid_t uid;
	unsigned n[LIMIT_COUNT];
	uint64_t paid_until;	   /* when all processes that it had started are paid for */
	uint64_t lines_paid_until; /* the same for the lines that it has read */
};

struct limits {
	struct limit_user *users;
	unsigned n_all[LIMIT_COUNT], n_others[LIMIT_COUNT];
	uint64_t others_paid_until;
};

static bool limit_user_is_idle(const struct limit_user *u, uint64_t now)
{
	for (size_t i = 0; i < LIMIT_COUNT; i++)
		if (u->n[i] > 0)
			return false;
	return u->paid_until <= now && u->lines_paid_until <= now;
}

/* Only users that have something are kept. */
static void limits_drop_idle_users(struct service *s)
{
	struct limit_user **at = &s->limits->users;
	uint64_t now = service_now(s);

	while (*at) {
		struct limit_user *u = *at;

		if (limit_user_is_idle(u, now)) {
			*at = u->next;
			free(u);
		} else
			at = &u->next;
	}
}

static struct limit_user *limit_user_find(const struct limits *l, uid_t uid)
{
	struct limit_user *u = l->users;

	while (u && u->uid != uid)
		u = u->next;
	return u;
}

/* NULL: there is no memory for another one. */
static struct limit_user *limit_user_get(struct service *s, uid_t uid)
{
	struct limit_user *u = limit_user_find(s->limits, uid);

	if (u)
		return u;
	limits_drop_idle_users(s);
	u = calloc(1, sizeof(*u));
	if (u) {
		u->uid = uid;
		u->next = s->limits->users;
		s->limits->users = u;
	}
	return u;
}

bool limit_take(struct service *s, uid_t uid, enum limit limit)
{
	const struct limit_numbers *most = &limit_numbers[limit];
	struct limits *l = s->limits;
	struct limit_user *u = limit_user_get(s, uid);
	bool is_root = caller_is_root(uid);

	if (!u || l->n_all[limit] >= most->of_all ||
	    (!is_root && (l->n_others[limit] >= most->of_others || u->n[limit] >= most->of_user)))
		return false;
	u->n[limit]++;
	l->n_all[limit]++;
	l->n_others[limit] += !is_root;
	return true;
}

void limit_give_back(struct service *s, uid_t uid, enum limit limit)
{
	struct limit_user *u = limit_user_find(s->limits, uid);

	assert(u && u->n[limit] > 0);
	u->n[limit]--;
	s->limits->n_all[limit]--;
	s->limits->n_others[limit] -= !caller_is_root(uid);
}

static uint64_t later_of(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

bool limit_take_processes(struct service *s, uid_t uid, unsigned n)
{
	const uint64_t cost = (uint64_t)n * PROCESS_USEC, debt = (uint64_t)PROCESSES_AT_ONCE * PROCESS_USEC;
	struct limit_user *u = limit_user_get(s, uid);
	uint64_t now = service_now(s), user_until, others_until;

	if (caller_is_root(uid))
		return true;
	if (!u)
		return false;
	user_until = later_of(u->paid_until, now) + cost;
	others_until = later_of(s->limits->others_paid_until, now) + cost / OTHERS_SHARE;
	if (user_until > now + debt || others_until > now + debt)
		return false;
	u->paid_until = user_until;
	s->limits->others_paid_until = others_until;
	return true;
}

uint64_t limit_take_lines(struct service *s, uid_t uid, size_t n)
{
	struct limit_user *u = limit_user_get(s, uid);
	uint64_t now = service_now(s), until;

	if (caller_is_root(uid))
		return 0;
	if (!u)
		return LINES_DEBT_USEC;
	until = later_of(u->lines_paid_until, now);
	if (until > now + LINES_DEBT_USEC)
		return until - now - LINES_DEBT_USEC;
	u->lines_paid_until = until + n * LINE_USEC;
	return 0;
}

int limits_new(struct service *s)
{
	s->limits = calloc(1, sizeof(*s->limits));
	return s->limits ? 0 : -ENOMEM;
}

void limits_free(struct service *s)
{
	struct limits *l = TAKE_PTR(s->limits);

	for (struct limit_user *u = l ? l->users : NULL, *next; u; u = next) {
		next = u->next;
		free(u);
	}
	free(l);
}
