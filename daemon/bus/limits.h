/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How much of the service one user may have. Counted by user, not by connection, of which a user can have
 * hundreds. Users other than root share what is left after the places that are kept for root, and may have
 * only so many processes started in a time: a call that starts one costs the machine more than its caller.
 */
#pragma once

#include "daemon/service.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What a user has several of at the same time. */
enum limit {
	LIMIT_CALLS,	    /* calls that change something, and their dry runs */
	LIMIT_UNAUTHORIZED, /* those among them that wait for polkit, or are checked before it is asked */
	LIMIT_DRY_RUNS,
	LIMIT_EXPLANATIONS,
	LIMIT_ANSWERS, /* see bus-answers.h */
	LIMIT_COUNT,
};

int limits_new(struct service *s);
void limits_free(struct service *s);

/* True: counted, to be given back later. False: this user has too many, or all users have. */
bool limit_take(struct service *s, uid_t uid, enum limit limit);
void limit_give_back(struct service *s, uid_t uid, enum limit limit);

/*
 * Before any process is started for a call that needs no authorization, or has none yet. False: this user has
 * had too many started lately. Root always may.
 */
bool limit_take_processes(struct service *s, uid_t uid, unsigned n);

/*
 * Before an answer of so many lines of ListDevices is made. 0: taken; else so many microseconds are to pass
 * first. Root always may.
 */
uint64_t limit_take_lines(struct service *s, uid_t uid, size_t n);
