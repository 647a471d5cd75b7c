/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * For operation.c, operation-set.c, operation-dry-run.c and operation-bulk.c only, which are one module: a
 * call that is being worked on, and the steps that several kinds of calls share.
 */
#pragma once

#include "base/child.h"
#include "base/macro.h"
#include "daemon/bus/polkit.h"
#include "daemon/operation/drop-in-plan-worker.h"
#include "daemon/operation/operation.h"
#include "daemon/reconcile/rebind-queue.h"
#include "daemon/refresh/refresh.h"
#include "daemon/service-policy.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

/* A call is answered within 20 s, what comes before and after these 18 s included. */
#define ANSWER_USEC (18U * UINT64_C(1000000))
/* Reserved at the end for re-reading the device. */
#define RESERVE_USEC (2U * UINT64_C(1000000))
/* Reserved before that for undoing what was written to policy files. */
#define RESTORE_USEC (1U * UINT64_C(1000000))

enum phase {
	PHASE_AUTHORIZE, /* waiting for polkit; root skips it */
	PHASE_WAIT,	 /* for earlier operations on the same device or file */
	PHASE_PLAN,
	PHASE_DRY_RUN,
	PHASE_WRITE,
	PHASE_REBIND,
	PHASE_RESTORE,
	PHASE_REFRESH,
};

struct operation {
	struct operation *next;
	struct service *service;
	sd_bus_message *call;
	enum operation_kind kind;
	enum phase phase;
	uid_t uid;	 /* of the caller */
	unsigned limits; /* a bit for each enum limit that counts this call */
	char *bus, *name, *driver;
	uint64_t
		inode; /* of the device that the call was made for; another may take its name. 0: no device */
	char *modalias; /* of that device, once polkit is to be told */
	struct operation_options options;
	char *staging;
	struct drop_in_plan plan;
	struct drop_in_plan_work plan_work;
	struct rebind_result result;
	struct polkit_authorization *polkit_authorization;
	struct task *task;
	uint64_t write_usec; /* how long the writer may take, waiting for other writers included */
	struct rebind_job *rebind_job;
	struct refresh *refresh;
	uint64_t deadline; /* for the answer */
	uint64_t asked_at; /* since when a person may be typing a password; 0: nobody is asked */
	sd_event_source *timer;
	struct bulk_operation *bulk; /* of calls about all devices */
};

struct operations {
	struct operation *first; /* in the order in which the calls came */
	size_t n;
	uint64_t serial;
};

uint64_t operation_now(const struct service *s);
/* The time left until its deadline, less a reserve. */
uint64_t operation_time_left(const struct operation *o, uint64_t reserve);
/* Sets its one timer, to an absolute time. 0 or negative errno. */
int operation_set_timer(struct operation *o, uint64_t usec, sd_event_time_handler_t handler);

/* Each of these ends the operation, and starts those that waited for it. */
void operation_finish(struct operation *o);
void operation_fail_with(struct operation *o, const sd_bus_error *error);
void operation_fail(struct operation *o, const char *name, const char *format, ...) _printf_(3, 4);
void operation_fail_errno(struct operation *o, int r, const char *doing);
void operation_answer_state(struct operation *o);
/* For a task (task.h) that failed or timed out before anything was changed. */
void operation_fail_task(struct operation *o, struct child_result result, const char *doing);

/* A child that read a device's files has not come back: no more are to follow it. */
void operation_note_hang(struct operation *o, struct child_result result, const struct task_note *note);

/* What the caller's options mean for the enforcer. */
struct rebind_request operation_rebind_request(const struct operation *o, const char *bus, const char *name);

/* operation-set.c: calls that write policy, and Apply and Release, which have one device rebound. */
bool operation_changes_policy(const struct operation *o);
/* Starts the child that makes the plan; with staging, it leaves the plan in a staging directory, too. */
int set_operation_plan(struct operation *o, bool with_staging, task_done_t done);
/* Gives it the name of a staging directory that nobody else has. */
int operation_alloc_staging_path(struct operation *o);
void set_operation_write(struct operation *o);
void set_operation_wait(struct operation *o);
void set_operations_run_waiting(struct service *s);
void set_operation_rebind(struct operation *o);

/* operation-dry-run.c: between a planned change and set_operation_write(). */
void dry_run_start(struct operation *o);
void operation_remove_staging(struct operation *o);

/* operation-bulk.c: calls about all devices. 0: started, or ended already; negative errno. */
int bulk_operation_start(struct operation *o);
void bulk_operations_run_waiting(struct service *s);
void bulk_operation_free(struct bulk_operation *bulk);
int reload_operation_start(struct operation *o);
