/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between operation.c, operation-set.c, operation-dry-run.c and operation-bulk.c only: a call on its way, and
 * the steps that all share. */
#pragma once

#include "base/macro.h"
#include "daemon/bus/polkit.h"
#include "daemon/operation/operation.h"
#include "daemon/operation/drop-in-plan.h"
#include "daemon/reconcile/rebind-queue.h"
#include "daemon/refresh/refresh.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Answered within 20 s, what comes before and after included. */
#define ANSWER_USEC (18U * UINT64_C(1000000))
/* Of the whole, for looking what has become of it. */
#define RESERVE_USEC (2U * UINT64_C(1000000))
/* And before that, where something has been written, for writing it back. */
#define RESTORE_USEC (1U * UINT64_C(1000000))

enum phase {
	PHASE_GET_SENDER, /* sends it */
	PHASE_AUTHORIZE,  /* him who is not root */
	PHASE_WAIT,	  /* for its turn */
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
	uid_t uid; /* from PHASE_AUTHORIZE on */
	char *bus, *name, *driver;
	struct options options;
	char *staging;
	struct drop_in_plan plan;
	struct drop_in_plan_work planning;
	struct rebind_result result;
	struct polkit_authorization *polkit_authorization;
	struct task *task;
	uint64_t write_usec; /* for the writer, which waits for others itself */
	struct rebind_job *rebind_job;
	struct refresh *survey;
	uint64_t deadline; /* for its answer */
	uint64_t asked;	   /* since when a person may be typing a password; 0: nobody is asked */
	sd_event_source *timer;
	struct bulk_operation *all; /* OPERATION_APPLY_ALL */
};

struct operations {
	struct operation *first; /* in the order in which they came */
	size_t n;
	uint64_t serial;
};

uint64_t operation_now(const struct service *s);
/* How much of its time is left, but for a reserve. */
uint64_t operation_left(const struct operation *o, uint64_t reserve);

/* Each of these ends the operation, and gives the others their turn. */
void operation_finish(struct operation *o);
void operation_fail_with(struct operation *o, const sd_bus_error *error);
void operation_fail(struct operation *o, const char *name, const char *format, ...) _printf_(3, 4);
void operation_fail_errno(struct operation *o, int r, const char *doing);
void operation_answer_state(struct operation *o);
/* What a task said about itself (task.h) when it did not do what it should. */
void operation_task_failed(struct operation *o, int result, const char *doing);

/* What the caller's options mean for the enforcer. */
struct rebind_request operation_order(const struct operation *o, const char *bus, const char *name);

/* operation-set.c: a call that writes policy, or has one device rebound. */
bool operation_changes_policy(const struct operation *o);
int set_operation_plan(struct operation *o, bool to_do, task_done_t done);
/* Gives it a staging directory of its own, by name. */
int operation_alloc_staging_path(struct operation *o);
void set_operation_write(struct operation *o);
void set_operation_wait(struct operation *o);
void set_operations_run_waiting(struct service *s);
void set_operation_rebind(struct operation *o);

/* operation-dry-run.c: a planned change, before set_operation_write() */
void dry_run_start(struct operation *o);
void dry_run_leave_staging(struct operation *o);

/* operation-bulk.c: calls that are about all devices. 0: under way, or ended; negative errno. */
int bulk_operation_start(struct operation *o);
void bulk_operations_run_waiting(struct service *s);
void bulk_operation_free(struct bulk_operation *all);
int reload_operation_start(struct operation *o);
