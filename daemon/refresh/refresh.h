/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Finds out what devices are like, in a process of its own: decided by the policy in force, recorded, seen
 * in sysfs. A device that does not answer is noted as such, and the others are surveyed without it.
 */
#pragma once

#include "daemon/service.h"

struct survey;

int surveys_new(struct service *s);
void surveys_free(struct service *s);

/*
 * Soon: with all others that are wanted by then. Whoever wants it again before that gets one for both.
 */
void survey_want(struct service *s, const char *bus, const char *name, enum trigger trigger);
void survey_want_all(struct service *s, enum trigger trigger);

/* All, if some were not looked at because too many others hung: one of those has come back. */
void survey_want_unread(struct service *s);

/* At once, one device, and then done(userdata). */
int survey_now(struct service *s, const char *bus, const char *name, void (*done)(void *userdata),
	void *userdata, struct survey **ret);
/* The same for all devices, with whatever follows from the trigger. */
int survey_all_now(struct service *s, enum trigger trigger, void (*done)(void *userdata), void *userdata,
	struct survey **ret);

/* Somebody waits for one. */
bool surveys_awaited(const struct service *s);

/* done is not called any more. */
struct survey *survey_forget(struct survey *survey);
