/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Has the enforcer make devices as decided: a process of its own for each job, one at a time for one device,
 * several devices side by side.
 */
#pragma once

#include "daemon/service.h"
#include "policy/rule.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>

struct rebind_job;

struct rebind_request {
	const char *bus, *name;
	uint64_t inode;	    /* of the device's folder in sysfs; 0: whichever device has that name by then */
	enum rebind rebind; /* REBIND_UNSET: as the rule says */
	bool overwrite;	    /* an override that is not ours, too */
	bool release;	    /* to be given back, whatever policy says, and left alone from then on */
	bool keep_released; /* a device that was released so is left alone */
	bool dry_run;
	bool look_only;		/* a dry run that may not open anything exclusively */
	bool query;		/* a dry run on which nothing depends */
	uid_t uid;		/* whose query it is */
	const char *written_by; /* NULL: to be moved. Else others have changed it, and only that is noted; by
				 * whom, "" if that is not known */
	const char *staging;	/* a directory of policy that comes before all others; NULL: none */
	uint64_t usec;		/* how long it may take, waiting for its turn included */
	bool background;	/* no caller waits for it: usec counts from when it begins */
	void (*destroy)(void *userdata); /* once done has been called or never will be; may be NULL */
};

/* What the enforcer said at its end. */
struct rebind_result {
	char state[16];
	bool changed;	/* sysfs was written */
	char error[32]; /* "": none; else the last part of an error's name, or "Failed" */
	char reason[640];
};

int rebind_queue_new(struct service *s);
void rebind_queue_free(struct service *s);
/* A job is under way or waits for its turn. */
bool rebind_queue_is_busy(const struct service *s);

/* The enforcer is at work on this device, and whatever started the job looks at the device when it ends. */
bool rebind_queue_is_about(const struct service *s, const char *bus, const char *name);

int rebind_job_start(struct service *s, const struct rebind_request *request,
		     void (*done)(void *userdata, const struct rebind_result *result), void *userdata,
		     struct rebind_job **ret);

/* done is not called any more; what has begun goes on, and a query that has not is dropped. NULL is fine. */
struct rebind_job *rebind_job_forget(struct rebind_job *job);

/* 0 if the result is a success; else the error that a caller gets for it, as sd_bus_error_setf(). */
int rebind_result_error(const struct rebind_result *result, sd_bus_error *error);
