/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Has the enforcer make a device be as decided: a process of its own for each, one at a time for one
 * device, several devices side by side.
 */
#pragma once

#include "daemon/service.h"

#include "policy/rule.h"

struct rebinding;

struct rebinding_order {
	const char *bus, *name;
	enum rebind rebind; /* REBIND_UNSET: as the rule says */
	bool overwrite;	    /* an override that is not ours, too */
	bool dry_run;
	bool look_only;			 /* a dry run that may not open anything exclusively */
	bool question;			 /* a dry run that nothing depends on */
	const char *staging;		 /* a directory of policy that comes before all others; NULL: none */
	uint64_t usec;			 /* how long it may take, waiting for its turn included */
	bool patient;			 /* nobody waits for it: usec counts from when it begins */
	void (*destroy)(void *userdata); /* once done has been called or never will be; may be NULL */
};

/* What it said at its end. */
struct rebinding_result {
	char state[16];
	char error[32]; /* "": none; else the last part of an error's name, or "Failed" */
	char reason[640];
};

int rebindings_new(struct service *s);
void rebindings_free(struct service *s);
/* Somebody still works or waits. */
bool rebindings_busy(const struct service *s);

/* The enforcer is at work on this device, and somebody waits for its end, who looks at the device then. */
bool rebinding_is_about(const struct service *s, const char *bus, const char *name);

int rebinding_start(struct service *s, const struct rebinding_order *order,
	void (*done)(void *userdata, const struct rebinding_result *result), void *userdata,
	struct rebinding **ret);

/* done is not called any more; what has begun goes on, and a question that has not is dropped. NULL is fine.
 */
struct rebinding *rebinding_forget(struct rebinding *r);

/* The error that a caller gets for a result, or what was wrong with it. */
int rebinding_error(const struct rebinding_result *result, sd_bus_error *error);
