/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Has the enforcer make devices as decided: a process of its own for each job, one at a time for one device,
 * several devices side by side. A job may be about several devices, which the enforcer then moves side by
 * side.
 */
#pragma once

#include "daemon/reconcile/rebind-result.h"
#include "daemon/service.h"
#include "policy/rule.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct rebind_job;

struct rebind_device {
	const char *bus, *name;
	uint64_t inode; /* of the device's folder in sysfs; 0: whichever device has that name by then */
};

struct rebind_request {
	const struct rebind_device *devices;
	size_t n_devices;
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

int rebind_queue_new(struct service *s);
void rebind_queue_free(struct service *s);
/* A job is under way or waits for its turn. */
bool rebind_queue_is_busy(const struct service *s);

/* The enforcer is at work on this device, and whatever started the job looks at the device when it ends. */
bool rebind_queue_is_about(const struct service *s, const char *bus, const char *name);

/* done gets a result for each of the devices, in their order. */
int rebind_job_start(struct service *s, const struct rebind_request *request,
		     void (*done)(void *userdata, const struct rebind_result *results), void *userdata,
		     struct rebind_job **ret);

/* done is not called any more; what has begun goes on, and a query that has not is dropped. NULL is fine. */
struct rebind_job *rebind_job_forget(struct rebind_job *job);
