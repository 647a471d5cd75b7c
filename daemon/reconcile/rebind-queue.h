/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Has the enforcer make a device be as decided: a process of its own for each, one at a time for one
 * device, several devices side by side.
 */
#pragma once

#include "daemon/service.h"
#include "policy/rule.h"

#include <stdbool.h>
#include <stdint.h>

struct rebind_job;

struct rebind_request {
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
struct rebind_result {
	char state[16];
	char error[32]; /* "": none; else the last part of an error's name, or "Failed" */
	char reason[640];
};

int rebind_queue_new(struct service *s);
void rebind_queue_free(struct service *s);
/* Somebody still works or waits. */
bool rebind_queue_is_busy(const struct service *s);

/* The enforcer is at work on this device, and somebody waits for its end, who looks at the device then. */
bool rebind_queue_is_about(const struct service *s, const char *bus, const char *name);

int rebind_job_start(struct service *s, const struct rebind_request *order,
		     void (*done)(void *userdata, const struct rebind_result *result), void *userdata,
		     struct rebind_job **ret);

/* done is not called any more; what has begun goes on, and a question that has not is dropped. NULL is fine.
 */
struct rebind_job *rebind_job_forget(struct rebind_job *r);

/* The error that a caller gets for a result, or what was wrong with it. */
int rebind_result_error(const struct rebind_result *result, sd_bus_error *error);
